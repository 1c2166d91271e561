package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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

const inFlight = 200 // creates at once; beyond it the pace slows down

// load creates sandboxes with a missing claim each, looks whether the claim is
// there, and deletes both.
type load struct {
	namespace string
	clients   *kubernetes.Clientset
	halt      context.CancelFunc
	done      chan struct{}

	mu       sync.Mutex
	created  int
	failures []failure
	took     []time.Duration // of creates
}

// failure is a create that did not end with 201 and a claim.
type failure struct {
	at   time.Time // when the create began
	what string
}

// start begins to create, in a namespace of its own, until finish is called.
func (g *ground) start(t *testing.T, namespace string, p pace) *load {
	t.Helper()
	g.enabled(t, namespace)
	l := &load{namespace: namespace, done: make(chan struct{})}
	config := rest.CopyConfig(g.Config)
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json" // to be shown
	config.Wrap(l.witness)
	var err error
	if l.clients, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.halt = cancel
	// The namespace's label is news to the webhook at first.
	eventually(t, 10*time.Second, "the namespace is known", func() error {
		pod := sandbox("first", "first")
		got, err := g.clients.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && got.Annotations[created] == "" {
			err = fmt.Errorf("no claim was made")
		}
		return err
	})
	go l.run(ctx, p)
	t.Cleanup(func() { cancel(); <-l.done })
	return l
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
				defer func() { <-free }()
				l.one(context.WithoutCancel(ctx), name)
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// one is the life of one sandbox.
func (l *load) one(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	pods, claims := l.clients.CoreV1().Pods(l.namespace), l.clients.CoreV1().PersistentVolumeClaims(l.namespace)
	begin := time.Now()
	pod, err := pods.Create(ctx, sandbox(name, name), metav1.CreateOptions{})
	took := time.Since(begin)
	if err != nil {
		if status := apierrors.APIStatus(nil); !errors.As(err, &status) { // an answer was witnessed
			l.fail(begin, fmt.Sprintf("creating the pod: %v", err))
		}
		return
	}
	if got := pod.Annotations[created]; got != name {
		l.fail(begin, fmt.Sprintf("the pod was admitted with %s: %q", created, got))
	}
	claim, err := claims.Get(ctx, name, metav1.GetOptions{})
	switch {
	case err != nil:
		l.fail(begin, fmt.Sprintf("looking for the claim: %v", err))
	case claim.Spec.Resources.Requests.Storage().String() != "1Mi":
		l.fail(begin, fmt.Sprintf("the claim is not as asked: %+v", claim.Spec))
	}
	l.mu.Lock()
	l.created++
	l.took = append(l.took, took)
	l.mu.Unlock()
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

func (l *load) fail(at time.Time, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, failure{at, what})
}

// witness sees every answer to a create of a pod: client-go repeats some by
// itself, and tells nobody.
func (l *load) witness(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		begin := time.Now()
		response, err := next.RoundTrip(request)
		if err == nil && request.Method == http.MethodPost && strings.HasSuffix(request.URL.Path, "/pods") && response.StatusCode != http.StatusCreated {
			body, _ := io.ReadAll(response.Body) // what is lost of it the client will miss as well
			response.Body.Close()
			response.Body = io.NopCloser(bytes.NewReader(body))
			l.fail(begin, fmt.Sprintf("%s: %.400s", response.Status, body))
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// count is how many pods were created so far.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.created
}

// since are the failures of creates that began at a time or later.
func (l *load) since(at time.Time) []failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.failures), func(f failure) bool { return f.at.Before(at) })
}

// finish ends the load and waits until the last sandbox is gone.
func (l *load) finish() {
	l.halt()
	<-l.done
}

// summary says how long creates took. It is called after finish.
func (l *load) summary() string {
	if len(l.took) == 0 {
		return "no creates"
	}
	took := slices.Sorted(slices.Values(l.took))
	at := func(share float64) string {
		return took[int(share*float64(len(took)-1))].Round(100 * time.Microsecond).String()
	}
	return fmt.Sprintf("%d creates; the median took %s, 99%% at most %s, the slowest %s", l.created, at(0.5), at(0.99), at(1))
}

// wantNone fails the test for failures, and shows the first of them.
func wantNone(t *testing.T, failures []failure) {
	t.Helper()
	for i, f := range failures {
		if i == 20 {
			t.Errorf("and %d more", len(failures)-i)
			return
		}
		t.Errorf("%s: %s", f.at.UTC().Format("15:04:05.000"), f.what)
	}
}
