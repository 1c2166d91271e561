package reconcile

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
	"github.com/ensure-volumes/ensure-volumes/pkg/records"
)

// maxHints is how many bytes of annotations and labels are kept of a pod. Whoever
// may create pods may write 256 KiB of them on each.
const maxHints = 16 << 10

// fresh is for how long a record of a pod counts as what the API server would say
// now. After an outage, where claims are made by the thousand, reading each pod
// again would halve the pace.
const fresh = 10 * time.Second

// waiting is a Pending pod, cut down to what it asks for.
type waiting struct {
	provision.Request
	uid     types.UID
	created time.Time
	heard   time.Time // when the API server said so
	ended   bool      // not Pending any more, or about to be deleted
	partial bool      // its hints are too many to be kept: they are to be read live
}

// Take cuts a pod down, for the store.
func (w *waiting) Take(pod *corev1.Pod) {
	w.fill(pod)
	size := 0
	for _, hints := range []map[string]string{w.Annotations, w.Labels} {
		for key, value := range hints {
			size += len(key) + len(value)
		}
	}
	if size > maxHints {
		w.Annotations, w.Labels, w.partial = nil, nil, true
	}
}

func (w *waiting) fill(pod *corev1.Pod) {
	w.Request = provision.ForPod(pod)
	w.uid, w.created, w.heard = pod.UID, pod.CreationTimestamp.Time, time.Now()
	w.ended = pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodPending
}

// Kept reports whether the pod waits and has claims.
func (w *waiting) Kept() bool { return !w.ended && len(w.Claims) > 0 }

// Key is the pod's namespace and name.
func (w *waiting) Key() types.NamespacedName {
	return types.NamespacedName{Namespace: w.Namespace, Name: w.PodName}
}

// GetObjectMeta has the names alone; client-go's stores want them.
func (w *waiting) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: w.Namespace, Name: w.PodName}
}

// asks reports whether the pod asks for something that it did not ask for before.
func (w *waiting) asks(before *waiting) bool {
	return before == nil || before.uid != w.uid || w.partial || before.partial || !reflect.DeepEqual(before.Request, w.Request)
}

// claims are the names of the claims that the pod refers to.
func (w *waiting) claims() []types.NamespacedName {
	names := make([]types.NamespacedName, len(w.Claims))
	for i, use := range w.Claims {
		names[i] = types.NamespacedName{Namespace: w.Namespace, Name: use.Name}
	}
	return names
}

// controller is the UID of the pod's controller, or "".
func (w *waiting) controller() types.UID {
	if w.Controller == nil {
		return ""
	}
	return w.Controller.UID
}

// pods knows the Pending pods of the cluster that have claims, and by claim.
type pods struct {
	records.Store[*corev1.Pod, waiting, *waiting]

	mu    sync.Mutex
	users map[types.NamespacedName]map[types.NamespacedName]bool // of a claim
}

// run lists and watches until ctx ends.
func (p *pods) run(ctx context.Context, cluster typedcorev1.PodsGetter) {
	all := cluster.Pods(metav1.NamespaceAll)
	pending := fields.OneTermEqualSelector("status.phase", string(corev1.PodPending)).String()
	p.Run(ctx, "pending pods", &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = pending
			return all.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = pending
			return all.Watch(ctx, o)
		},
	})
}

// index keeps users up to date with a change of the store.
func (p *pods) index(old, now *waiting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old != nil {
		for _, claim := range old.claims() {
			delete(p.users[claim], old.Key())
			if len(p.users[claim]) == 0 {
				delete(p.users, claim)
			}
		}
	}
	if now == nil {
		return
	}
	if p.users == nil {
		p.users = map[types.NamespacedName]map[types.NamespacedName]bool{}
	}
	for _, claim := range now.claims() {
		if p.users[claim] == nil {
			p.users[claim] = map[types.NamespacedName]bool{}
		}
		p.users[claim][now.Key()] = true
	}
}

// of are the pods that refer to a claim.
func (p *pods) of(claim types.NamespacedName) []types.NamespacedName {
	p.mu.Lock()
	defer p.mu.Unlock()
	var keys []types.NamespacedName
	for key := range p.users[claim] {
		keys = append(keys, key)
	}
	return keys
}

// wanted reports whether a pod that waits refers to a claim.
func (p *pods) wanted(claim types.NamespacedName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.users[claim]) > 0
}

// page is how many pods are read at a time.
const page = 500

// podsIn reads the pods of a namespace, whatever their phase, until see has seen enough.
func (t *term) podsIn(ctx context.Context, namespace string, see func(*corev1.Pod) (enough bool)) error {
	list := &corev1.PodList{}
	for {
		if err := t.Ensurer.Live.List(ctx, list, client.InNamespace(namespace), client.Limit(page), client.Continue(list.Continue)); err != nil {
			return fmt.Errorf("listing the pods of namespace %s: %w", namespace, err)
		}
		for i := range list.Items {
			if see(&list.Items[i]) {
				return nil
			}
		}
		if list.Continue == "" {
			return nil
		}
	}
}
