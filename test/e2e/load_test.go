package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// pace is how pods are created: so many at once, so often.
type pace struct {
	atOnce int
	every  time.Duration
}

const (
	inFlight = 200 // sandboxes at once, or creates where claims may come late; beyond it the pace slows down
	endings  = 8   // sandboxes that end at once: what is measured are creates
)

// load creates sandboxes with a missing claim each, looks whether the claim is
// there, and deletes both.
type load struct {
	namespace string
	clients   *kubernetes.Clientset
	arrivals  *arrivals // of claims that may come after their pods; nil: none may
	halt      context.CancelFunc
	done      chan struct{}
	ends      chan struct{} // has one for each sandbox that ends

	mu       sync.Mutex
	created  int
	failures []failure
	took     []time.Duration // of creates
	waits    []*wait
}

// wait is a pod that was admitted without its claim, which came at to, or has
// not come yet.
type wait struct{ from, to time.Time }

// failure is a create that did not end with 201 and a claim.
type failure struct {
	at   time.Time // when the create began
	what string
}

// start begins to create, in a namespace of its own, until finish is called.
func (g *ground) start(t *testing.T, namespace string, p pace) *load {
	t.Helper()
	g.enabled(t, namespace)
	l := g.newLoad(t, namespace)
	// The namespace's label is news to the webhook at first.
	g.knows(t, namespace)
	l.start(t, p)
	return l
}

// startLate is start for a namespace that is enabled, with pods whose claims may
// come after them.
func (g *ground) startLate(t *testing.T, namespace string, p pace) *load {
	t.Helper()
	l := g.newLoad(t, namespace)
	l.arrivals = g.watchClaims(t, namespace)
	l.start(t, p)
	return l
}

func (g *ground) newLoad(t *testing.T, namespace string) *load {
	t.Helper()
	l := &load{namespace: namespace, done: make(chan struct{}), ends: make(chan struct{}, endings)}
	config := rest.CopyConfig(g.Config)
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json" // to be shown
	config.Wrap(l.witness)
	var err error
	if l.clients, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *load) start(t *testing.T, p pace) {
	ctx, cancel := context.WithCancel(t.Context())
	l.halt = cancel
	go l.run(ctx, p)
	t.Cleanup(func() { cancel(); <-l.done })
}

// knows waits until the webhook knows that a namespace is enabled.
func (g *ground) knows(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, 10*time.Second, "the namespace is known", func() error {
		pod := sandbox("first", "first")
		got, err := g.clients.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && got.Annotations[created] == "" {
			err = fmt.Errorf("no claim was made")
		}
		return err
	})
}

func (l *load) run(ctx context.Context, p pace) {
	defer close(l.done)
	var all sync.WaitGroup
	defer all.Wait()
	free := make(chan struct{}, inFlight)
	ticker := time.NewTicker(p.every)
	defer ticker.Stop()
	for n := 0; ; {
		for range p.atOnce {
			n++
			name := fmt.Sprintf("load-%06d", n)
			free <- struct{}{}
			all.Go(func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
				defer cancel()
				leave := sync.OnceFunc(func() { <-free })
				defer leave()
				begin := time.Now()
				pod := l.create(ctx, begin, name)
				if l.arrivals != nil {
					leave() // who waits for a claim does not slow down the pace
				}
				if pod != nil {
					l.one(ctx, begin, pod)
				}
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// create creates a sandbox. It is nil where that failed.
func (l *load) create(ctx context.Context, begin time.Time, name string) *corev1.Pod {
	pod, err := l.clients.CoreV1().Pods(l.namespace).Create(ctx, sandbox(name, name), metav1.CreateOptions{})
	took := time.Since(begin)
	if err != nil {
		if status := apierrors.APIStatus(nil); !errors.As(err, &status) { // an answer was witnessed
			l.fail(begin, fmt.Sprintf("creating the pod: %v", err))
		}
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.created++
	l.took = append(l.took, took)
	return pod
}

// one is the life of one sandbox that was created.
func (l *load) one(ctx context.Context, begin time.Time, pod *corev1.Pod) {
	name := pod.Name
	if got := pod.Annotations[created]; got != name {
		l.late(ctx, begin, name, got)
	}
	l.ends <- struct{}{}
	defer func() { <-l.ends }()
	pods, claims := l.clients.CoreV1().Pods(l.namespace), l.clients.CoreV1().PersistentVolumeClaims(l.namespace)
	claim, err := claims.Get(ctx, name, metav1.GetOptions{})
	switch {
	case err != nil:
		l.fail(begin, fmt.Sprintf("looking for the claim: %v", err))
	case claim.Spec.Resources.Requests.Storage().String() != "1Mi":
		l.fail(begin, fmt.Sprintf("the claim is not as asked: %+v", claim.Spec))
	}
	now := int64(0)
	for _, err := range []error{
		pods.Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &now}),
		claims.Delete(ctx, name, metav1.DeleteOptions{}),
	} {
		if err != nil {
			l.fail(begin, fmt.Sprintf("deleting: %v", err))
		}
	}
}

// late waits for the claim of a pod that was admitted without it.
func (l *load) late(ctx context.Context, begin time.Time, name, annotation string) {
	if l.arrivals == nil || annotation != "" {
		l.fail(begin, fmt.Sprintf("the pod was admitted with %s: %q", created, annotation))
		return
	}
	w := &wait{from: time.Now()}
	l.mu.Lock()
	l.waits = append(l.waits, w)
	l.mu.Unlock()
	at, err := l.arrivals.of(ctx, name)
	if err != nil {
		l.fail(begin, fmt.Sprintf("waiting for the claim of %s: %v", name, err))
		at = time.Now()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w.to = at
}

// hold keeps sandboxes from ending until they are released, so that the machine
// has nothing to do for them.
func (l *load) hold() (release func()) {
	for range cap(l.ends) {
		l.ends <- struct{}{}
	}
	return func() {
		for range cap(l.ends) {
			<-l.ends
		}
	}
}

// finish ends the load and waits until the last sandbox is gone.
func (l *load) finish() {
	l.halt()
	<-l.done
}
