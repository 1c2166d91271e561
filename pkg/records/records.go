// Package records keeps small records of API objects, and keeps them up to date.
//
// A typed informer holds whole objects, of which decisions need little: 50,000
// claims are 142 MiB of heap as typed objects and 7 MiB as records. A [Store]
// takes from each object what its record keeps, already while client-go's
// reflector streams the first list, so that the list of whole objects is never
// held.
package records

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// Of is a pointer to a record R that is made of objects O.
type Of[O runtime.Object, R any] interface {
	*R
	// Take fills an empty record. It keeps nothing of the object alive that the
	// record does not need.
	Take(O)
	// Kept reports whether the record is worth to be kept: a store knows only such.
	Kept() bool
	// Key is the object's namespace and name.
	Key() types.NamespacedName
	// GetObjectMeta has the object's namespace and name, for client-go's stores.
	GetObjectMeta() metav1.Object
}

// Store knows the records of the objects O. Its zero value is empty and not
// synced. It may be used by many goroutines at once; a record is never changed
// once it is in the store.
//
// It is a store of client-go's reflector: Add, Update, Delete, Replace, Resync
// and Transformer are the reflector's to call, while [Store.Run] runs.
type Store[O runtime.Object, R any, P Of[O, R]] struct {
	// Changed, where it is set, is told of every change: the record before,
	// nil where there was none, and the record now, nil where there is none any more.
	// After a new list these are its differences and what stayed. It is set before
	// Run, and called without a lock by the goroutine that changes the store.
	Changed func(old, now P)

	mu      sync.RWMutex
	records map[types.NamespacedName]P
	lists   int
}

// Run lists and watches until ctx ends. Trouble with the API server is retried
// for ever with a back-off; meanwhile the records stay as they were. name is for logs.
func (s *Store[O, R, P]) Run(ctx context.Context, name string, lw *cache.ListWatch) {
	var object O
	options := cache.ReflectorOptions{Name: name}
	cache.NewReflectorWithOptions(lw, object, s, options).RunWithContext(ctx)
}

// Synced reports whether the records are complete: what is not among them did
// not exist when the API server last spoke.
func (s *Store[O, R, P]) Synced() bool { return s.Lists() > 0 }

// Lists is how many complete lists there were. Between two of them changes may
// have come and gone unseen.
func (s *Store[O, R, P]) Lists() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.lists
}

// Get is the record of an object, or nil where there is none.
func (s *Store[O, R, P]) Get(namespace, name string) P {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.records[types.NamespacedName{Namespace: namespace, Name: name}]
}

// Len is how many records there are.
func (s *Store[O, R, P]) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.records)
}

// All are the records there are at the time of the call, in no order.
func (s *Store[O, R, P]) All() iter.Seq[P] {
	s.mu.RLock()
	all := slices.AppendSeq(make([]P, 0, len(s.records)), maps.Values(s.records))
	s.mu.RUnlock()
	return slices.Values(all)
}

// Transformer turns an object into its record; for client-go's reflector.
func (s *Store[O, R, P]) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) { return s.record(obj) }
}

func (s *Store[O, R, P]) record(obj any) (P, error) {
	switch o := obj.(type) {
	case P:
		return o, nil
	case O:
		r := P(new(R))
		r.Take(o)
		return r, nil
	case cache.DeletedFinalStateUnknown:
		return s.record(o.Obj)
	}
	var object O
	return nil, fmt.Errorf("a store of %T holds no %T", object, obj)
}

// Add stores an object; for client-go's reflector.
func (s *Store[O, R, P]) Add(obj any) error {
	r, err := s.record(obj)
	if err != nil {
		return err
	}
	if !r.Kept() {
		return s.Delete(r)
	}
	s.mu.Lock()
	if s.records == nil {
		s.records = make(map[types.NamespacedName]P)
	}
	old := s.records[r.Key()]
	s.records[r.Key()] = r
	s.mu.Unlock()
	s.tell(old, r)
	return nil
}

// Update stores an object; for client-go's reflector.
func (s *Store[O, R, P]) Update(obj any) error { return s.Add(obj) }

// Delete forgets an object; for client-go's reflector.
func (s *Store[O, R, P]) Delete(obj any) error {
	r, err := s.record(obj)
	if err != nil {
		return err
	}
	s.mu.Lock()
	old := s.records[r.Key()]
	delete(s.records, r.Key())
	s.mu.Unlock()
	s.tell(old, nil)
	return nil
}

// Replace stores a complete list, after which the records are synced; for
// client-go's reflector.
func (s *Store[O, R, P]) Replace(list []any, _ string) error {
	records := make(map[types.NamespacedName]P, len(list))
	for _, obj := range list {
		r, err := s.record(obj)
		if err != nil {
			return err
		}
		if r.Kept() {
			records[r.Key()] = r
		}
	}
	s.mu.Lock()
	before := s.records
	s.records = records
	s.lists++
	s.mu.Unlock()
	if s.Changed == nil {
		return nil
	}
	for key, old := range before {
		if records[key] == nil {
			s.tell(old, nil)
		}
	}
	for key, now := range records { // only this goroutine writes to it
		s.tell(before[key], now)
	}
	return nil
}

// Resync has nothing to do; for client-go's reflector.
func (s *Store[O, R, P]) Resync() error { return nil }

func (s *Store[O, R, P]) tell(old, now P) {
	if s.Changed != nil && (old != nil || now != nil) {
		s.Changed(old, now)
	}
}
