package reconcile

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "ns", Name: name}
}

// drain takes all keys.
func drain(q *queue) (names []string) {
	for q.Len() > 0 {
		key, _ := q.Get()
		names = append(names, key.Name)
		q.Done(key)
	}
	return names
}

// TestUrgentOvertakes: what is new comes before what was there, each once.
func TestUrgentOvertakes(t *testing.T) {
	q := newQueue()
	defer q.ShutDown()
	for _, name := range []string{"a", "b", "c", "d"} {
		q.Add(named(name))
	}
	q.hurry(named("new"), 0)
	q.hurry(named("c"), 0) // it is in the queue already, and moves
	q.hurry(named("c"), 0)
	q.Add(named("new")) // hurried before; it does not fall back
	if got, want := drain(q), []string{"new", "c", "a", "b", "d"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// Once it was looked at it is as any other.
	q.Add(named("a"))
	q.Add(named("c"))
	if got, want := drain(q), []string{"a", "c"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestRetriesAreBounded: no pause is longer than what is promised, and what is
// hurried begins anew.
func TestRetriesAreBounded(t *testing.T) {
	q := newQueue()
	defer q.ShutDown()
	for range 100 {
		q.AddRateLimited(named("a"))
	}
	if n := q.NumRequeues(named("a")); n != 100 {
		t.Errorf("%d tries", n)
	}
	if lastRetry >= 30e9 {
		t.Errorf("the last pause is %s", lastRetry)
	}
	q.hurry(named("a"), 0)
	if n := q.NumRequeues(named("a")); n != 0 {
		t.Errorf("%d tries after it was hurried", n)
	}
}
