package e2e

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"
)

// arrivals knows since when each claim of a namespace is there, by a watch: what
// that sees late came late.
type arrivals struct {
	mu     sync.Mutex
	claims map[string]*arrival
}

type arrival struct {
	at   time.Time
	seen chan struct{} // closed once it is
}

// watchClaims watches the claims of a namespace until the test's end.
func (g *ground) watchClaims(t *testing.T, namespace string) *arrivals {
	t.Helper()
	a := &arrivals{claims: map[string]*arrival{}}
	_, watch := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(g.clients.CoreV1().RESTClient(), "persistentvolumeclaims", namespace, fields.Everything()),
		ObjectType:    &corev1.PersistentVolumeClaim{},
		Handler: cache.ResourceEventHandlerFuncs{AddFunc: func(claim any) {
			now := time.Now()
			c := a.claim(claim.(*corev1.PersistentVolumeClaim).Name)
			a.mu.Lock()
			defer a.mu.Unlock()
			if c.at.IsZero() {
				c.at = now
				close(c.seen)
			}
		}},
	})
	go watch.RunWithContext(t.Context())
	eventually(t, 10*time.Second, "the claims are listed", func() error {
		if !watch.HasSynced() {
			return errors.New("they are not")
		}
		return nil
	})
	return a
}

func (a *arrivals) claim(name string) *arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.claims[name]
	if c == nil {
		c = &arrival{seen: make(chan struct{})}
		a.claims[name] = c
	}
	return c
}

// of waits for a claim and says since when it is there.
func (a *arrivals) of(ctx context.Context, name string) (time.Time, error) {
	c := a.claim(name)
	select {
	case <-c.seen:
		return c.at, nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// silence is the longest time without an arrival within a time.
func (a *arrivals) silence(from, to time.Time) (longest time.Duration) {
	times := []time.Time{from, to}
	a.mu.Lock()
	for _, c := range a.claims {
		if c.at.After(from) && c.at.Before(to) {
			times = append(times, c.at)
		}
	}
	a.mu.Unlock()
	slices.SortFunc(times, time.Time.Compare)
	for i := range times[1:] {
		longest = max(longest, times[i+1].Sub(times[i]))
	}
	return longest
}
