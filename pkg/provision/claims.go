package provision

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
)

// Claims knows every claim of the cluster as a [Record], and keeps up with the
// API server while [Claims.Run] runs. The zero value is empty and not synced. It
// may be used by many goroutines at once.
//
// It implements client-go's TransformingStore, so that a claim becomes a record
// while the first list still streams in: the list of whole claims is never held.
type Claims struct {
	mu      sync.RWMutex
	records map[types.NamespacedName]*Record
	synced  bool
}

var _ cache.TransformingStore = (*Claims)(nil)

// Run lists and watches the claims of all namespaces until ctx ends. Trouble
// with the API server is retried for ever with a back-off; meanwhile the records
// stay as they were.
func (c *Claims) Run(ctx context.Context, cluster typedcorev1.PersistentVolumeClaimsGetter) {
	claims := cluster.PersistentVolumeClaims(metav1.NamespaceAll)
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return claims.List(ctx, o)
		},
		WatchFuncWithContext: claims.Watch,
	}
	cache.NewReflectorWithOptions(lw, &corev1.PersistentVolumeClaim{}, c, cache.ReflectorOptions{Name: "claims"}).RunWithContext(ctx)
}

// Synced reports whether the records are complete: what is not among them did
// not exist when the API server last spoke.
func (c *Claims) Synced() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.synced
}

// Get is the record of a claim, or nil where there is none.
func (c *Claims) Get(namespace, name string) *Record {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.records[types.NamespacedName{Namespace: namespace, Name: name}]
}

// Len is how many claims are known.
func (c *Claims) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.records)
}

// Transformer turns a claim into its record; for client-go's reflector.
func (c *Claims) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) { return toRecord(obj) }
}

func toRecord(obj any) (*Record, error) {
	switch o := obj.(type) {
	case *Record:
		return o, nil
	case *corev1.PersistentVolumeClaim:
		return record(o), nil
	case cache.DeletedFinalStateUnknown:
		return toRecord(o.Obj)
	}
	return nil, fmt.Errorf("the claim cache holds no %T", obj)
}

func key(r *Record) types.NamespacedName {
	return types.NamespacedName{Namespace: r.namespace.Value(), Name: r.name}
}

// Add stores a claim; for client-go's reflector.
func (c *Claims) Add(obj any) error {
	r, err := toRecord(obj)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.records == nil {
		c.records = make(map[types.NamespacedName]*Record)
	}
	c.records[key(r)] = r
	return nil
}

// Update stores a claim; for client-go's reflector.
func (c *Claims) Update(obj any) error { return c.Add(obj) }

// Delete forgets a claim; for client-go's reflector.
func (c *Claims) Delete(obj any) error {
	r, err := toRecord(obj)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.records, key(r))
	return nil
}

// Replace stores a complete list, after which the records are synced; for
// client-go's reflector.
func (c *Claims) Replace(list []any, _ string) error {
	records := make(map[types.NamespacedName]*Record, len(list))
	for _, obj := range list {
		r, err := toRecord(obj)
		if err != nil {
			return err
		}
		records[key(r)] = r
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records, c.synced = records, true
	return nil
}

// Resync has nothing to do; for client-go's reflector.
func (c *Claims) Resync() error { return nil }
