package records

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// named keeps the names of ConfigMaps that have data.
type named struct {
	key  types.NamespacedName
	data int
}

func (n *named) Take(c *corev1.ConfigMap) {
	n.key, n.data = types.NamespacedName{Namespace: c.Namespace, Name: c.Name}, len(c.Data)
}
func (n *named) Kept() bool                { return n.data > 0 }
func (n *named) Key() types.NamespacedName { return n.key }
func (n *named) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: n.key.Namespace, Name: n.key.Name}
}

type store = Store[*corev1.ConfigMap, named, *named]

func object(name string, data ...string) *corev1.ConfigMap {
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Data: map[string]string{}}
	for _, key := range data {
		c.Data[key] = ""
	}
	return c
}

// changes notes what a store tells.
func changes(s *store) *[]string {
	var told []string
	s.Changed = func(old, now *named) {
		text := ""
		for _, r := range []*named{old, now} {
			if r == nil {
				text += "- "
			} else {
				text += fmt.Sprintf("%s/%d ", r.key.Name, r.data)
			}
		}
		told = append(told, text)
	}
	return &told
}

// TestStore: what client-go's reflector asks of a store, and what that tells.
func TestStore(t *testing.T) {
	var s store
	told := changes(&s)
	expect := func(do string, err error, want ...string) {
		t.Helper()
		if err != nil || !slices.Equal(*told, want) {
			t.Errorf("%s: %v, told %q, want %q", do, err, *told, want)
		}
		*told = nil
	}
	if s.Synced() || s.Len() != 0 || s.Get("ns", "a") != nil {
		t.Error("the zero value knows something")
	}
	expect("an early event", s.Add(object("early", "x")), "- early/1 ")
	if s.Synced() {
		t.Error("synced without a list")
	}
	streamed, err := s.Transformer()(object("streamed", "x", "y"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Replace([]any{object("listed", "x"), streamed, object("empty")}, "7"); err != nil {
		t.Fatal(err)
	}
	slices.Sort(*told)
	expect("a list", nil, "- listed/1 ", "- streamed/2 ", "early/1 - ")
	if !s.Synced() || s.Lists() != 1 || s.Len() != 2 || s.Get("ns", "empty") != nil {
		t.Errorf("after the list: %d records, %d lists", s.Len(), s.Lists())
	}
	expect("a change", s.Update(object("listed", "x", "y")), "listed/1 listed/2 ")
	expect("a change to what is not kept", s.Update(object("listed")), "listed/2 - ")
	expect("the same again", s.Update(object("listed")))
	expect("what never was kept goes", s.Delete(object("empty")))
	expect("a deletion found late", s.Delete(cache.DeletedFinalStateUnknown{Key: "ns/streamed", Obj: object("streamed")}), "streamed/2 - ")
	if n := len(slices.Collect(s.All())); n != 0 {
		t.Errorf("%d records are left", n)
	}
	if s.Add(&corev1.Pod{}) == nil || s.Delete("x") == nil || s.Replace([]any{1}, "") == nil || s.Resync() != nil {
		t.Error("something else was taken")
	}
}

// TestConcurrently is for the race detector: one writes, many read.
func TestConcurrently(t *testing.T) {
	var s store
	var wg sync.WaitGroup
	end := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				for r := range s.All() {
					if got := s.Get("ns", r.key.Name); got != nil && got.key != r.key {
						t.Error("another record")
					}
				}
			}
		})
	}
	for i := range 2000 {
		name := fmt.Sprint("n", i%20)
		var err error
		switch i % 3 {
		case 0:
			err = s.Add(object(name, "x"))
		case 1:
			err = s.Delete(object(name))
		case 2:
			err = s.Replace([]any{object(name, "x")}, "")
		}
		if err != nil {
			t.Error(err)
		}
	}
	close(end)
	wg.Wait()
}
