package safety

import (
	"fmt"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"
)

// history is what has become of every claim, from a watch that misses nothing.
// For use by several goroutines at once.
type history struct {
	mu    sync.Mutex
	lives map[types.UID]*life
	err   error // the watch has ended
}

// life is that of one claim.
type life struct {
	name
	first, last *corev1.PersistentVolumeClaim
	owners      map[types.UID]bool // that it ever had
	bound       bool               // whether it ever was
	gone        bool
}

// watchClaims watches the claims until the test ends.
func watchClaims(t *testing.T, clients kubernetes.Interface) (*history, error) {
	claims := clients.CoreV1().PersistentVolumeClaims(metav1.NamespaceAll)
	list, err := claims.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	h := &history{lives: map[types.UID]*life{}}
	events, err := toolswatch.NewRetryWatcherWithContext(t.Context(), list.ResourceVersion, &cache.ListWatch{WatchFuncWithContext: claims.Watch})
	if err != nil {
		return nil, err
	}
	go func() {
		for e := range events.ResultChan() {
			h.take(e)
		}
	}()
	return h, nil
}

func (h *history) take(e watch.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pvc, ok := e.Object.(*corev1.PersistentVolumeClaim)
	if !ok {
		h.err = fmt.Errorf("watching the claims: %s %v", e.Type, e.Object)
		return
	}
	l := h.lives[pvc.UID]
	if l == nil {
		l = &life{name: name{Namespace: pvc.Namespace, Name: pvc.Name}, first: pvc, owners: map[types.UID]bool{}}
		h.lives[pvc.UID] = l
	}
	l.last = pvc
	l.bound = l.bound || pvc.Spec.VolumeName != "" || pvc.Status.Phase == corev1.ClaimBound
	l.gone = e.Type == watch.Deleted
	for _, ref := range pvc.OwnerReferences {
		l.owners[ref.UID] = true
	}
}
