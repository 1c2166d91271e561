package reconcile

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func newOwner(name, uid string) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "agents.x-k8s.io/v1beta1", Kind: "Sandbox", Name: name, UID: types.UID(uid)}
}

// eventually insists until it holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not so: ", what)
		}
	}
}

// TestLead: what a leader finds when it begins, and what happens from then on. A
// follower does nothing, and a leader that ends leaves nothing behind.
func TestLead(t *testing.T) {
	w := newWorld(t, newPod("ns", "p", "home"))
	if err := w.pods.Add(newPod("ns", "late", "data")); err != nil {
		t.Fatal(err)
	}
	if len(w.calls) > 0 {
		t.Errorf("a follower calls %q", w.calls)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.Lead(ctx); close(ended) }()
	exists := func(name string) func() bool { return func() bool { return w.claim(name) != nil } }
	eventually(t, "what waited is healed", exists("home"))

	if err := w.live.Create(t.Context(), newPod("ns", "new", "work")); err != nil {
		t.Fatal(err)
	}
	if err := w.pods.Add(newPod("ns", "new", "work")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new pod is healed", exists("work"))

	home := w.claim("home")
	if err := w.Ensurer.Claims.Add(home); err != nil {
		t.Fatal(err)
	}
	if err := w.live.Delete(t.Context(), home); err != nil {
		t.Fatal(err)
	}
	if err := w.Ensurer.Claims.Delete(home); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a deleted claim comes back", exists("home"))

	enabled := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "off", Labels: map[string]string{"volumes.opensandbox.io/auto-create": "enabled"}}}
	enabled.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	off := newPod("off", "o", "cache")
	if err := w.live.Create(t.Context(), off); err != nil {
		t.Fatal(err)
	}
	if err := w.pods.Add(off.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	if err := w.Ensurer.Cached.(client.Client).Create(t.Context(), enabled); err != nil {
		t.Fatal(err)
	}
	w.NamespaceChanged("off")
	eventually(t, "a namespace that is switched on heals", func() bool {
		return w.live.Get(t.Context(), client.ObjectKey{Namespace: "off", Name: "cache"}, ours("cache", 0)) == nil
	})
	end()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the leader does not end")
	}
	w.calls = nil
	if err := w.pods.Add(newPod("ns", "after", "after")); err != nil || w.leading() != nil || len(w.calls) > 0 {
		t.Errorf("%v, calls %q", err, w.calls)
	}
}

// TestAPanicCostsAKeyItsTurn and not the replica.
func TestAPanicCostsAKeyItsTurn(t *testing.T) {
	w := newWorld(t)
	if !w.safely(t.Context(), named("x"), func(context.Context, types.NamespacedName) bool { panic("a defect") }) {
		t.Error("it does not come back")
	}
}
