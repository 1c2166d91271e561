package mutate_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestClaimsAreCreatedAtOnce: each create waits until the other has begun, so one
// after the other would end at the deadline.
func TestClaimsAreCreatedAtOnce(t *testing.T) {
	var begun sync.WaitGroup
	begun.Add(2)
	h, c := newHandler(t, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			begun.Done()
			all := make(chan struct{})
			go func() { begun.Wait(); close(all) }()
			select {
			case <-all:
				return c.Create(ctx, obj, opts...)
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	})
	second := `,{"name":"w","persistentVolumeClaim":{"claimName":"home"}}]`
	w := post(h, "/mutate?timeout=5s", strings.Replace(goodReview, "]", second, 1))
	var list corev1.PersistentVolumeClaimList
	if err := c.List(t.Context(), &list); err != nil || w.Code != http.StatusOK || len(list.Items) != 2 {
		t.Errorf("answered %d %s, %d claims, %v", w.Code, w.Body, len(list.Items), err)
	}
}

// filling is a cache that is not filled yet: reads wait, as controller-runtime's do.
type filling struct{ client.Reader }

func (filling) Get(ctx context.Context, _ client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	<-ctx.Done()
	return errors.New("the cache is not started")
}

// TestNamespacesNotSynced: a Namespace that is not known yet is no Namespace that
// is not enabled: the review is repeated, not waved through.
func TestNamespacesNotSynced(t *testing.T) {
	h, c := newHandler(t, interceptor.Funcs{})
	h.Ensurer.Cached = filling{c}
	w := post(h, "/mutate?timeout=400ms", goodReview)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "reading Namespace sandboxes") {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

// TestClassesNotSynced: the same for StorageClasses.
func TestClassesNotSynced(t *testing.T) {
	h, c := newHandler(t, interceptor.Funcs{})
	h.Ensurer.Cached = unlisted{c}
	w := post(h, "/mutate?timeout=400ms", goodReview)
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "reading StorageClasses") {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	var list corev1.PersistentVolumeClaimList
	if err := c.List(t.Context(), &list); err != nil || len(list.Items) > 0 {
		t.Errorf("claims left behind: %v %v", list.Items, err)
	}
}

// unlisted has Namespaces and waits for everything that is listed.
type unlisted struct{ client.Reader }

func (unlisted) List(ctx context.Context, _ client.ObjectList, _ ...client.ListOption) error {
	<-ctx.Done()
	return errors.New("the cache is not started")
}

// TestTheCallersDeadlineIsOurs: what hangs is ended by the deadline of the request, not by a client's patience.
func TestTheCallersDeadlineIsOurs(t *testing.T) {
	begun := make(chan time.Time, 1)
	h, _ := newHandler(t, interceptor.Funcs{
		Create: func(ctx context.Context, _ client.WithWatch, _ client.Object, _ ...client.CreateOption) error {
			deadline, _ := ctx.Deadline()
			begun <- deadline
			return errors.New("connection refused")
		},
	})
	start := time.Now()
	post(h, "/mutate?timeout=2s", goodReview)
	if allowed := (<-begun).Sub(start); allowed < time.Second || allowed > 1700*time.Millisecond+100*time.Millisecond {
		t.Errorf("the create was allowed %v of the request's 2 s less 300 ms", allowed)
	}
}
