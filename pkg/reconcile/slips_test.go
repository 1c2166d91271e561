package reconcile

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// leads makes the world's term the one that the caches' changes go to.
func (w *world) leads() *world {
	w.Net.term = w.term
	return w
}

// add tells the cache of pods.
func (w *world) add(pods ...*corev1.Pod) {
	w.Helper()
	for _, pod := range pods {
		if err := w.pods.Add(pod); err != nil {
			w.Fatal(err)
		}
	}
}

// TestAClockThatIsBehind does not lengthen the pause after which a pod is looked at.
func TestAClockThatIsBehind(t *testing.T) {
	w := newWorld(t).leads()
	pod := newPod("ns", "p", "home")
	pod.CreationTimestamp.Time = time.Now().Add(time.Hour)
	w.add(pod)
	eventually(t, "the pod is due", func() bool { return w.podsDue.Len() == 1 })
}

// TestOnlyNewsIsUrgent: neither a list that says the same nor a status that
// somebody keeps writing ends a pod's pauses.
func TestOnlyNewsIsUrgent(t *testing.T) {
	pod := newPod("ns", "p", "home")
	w := newWorld(t, pod).leads()
	w.podsDue.AddRateLimited(named("p"))
	pod.Status.Message = "another"
	w.add(pod)
	w.sync()
	if w.podsDue.NumRequeues(named("p")) != 1 || w.podsDue.Len() != 0 {
		t.Errorf("%d tries, %d due", w.podsDue.NumRequeues(named("p")), w.podsDue.Len())
	}
	pod.Annotations = map[string]string{"volumes.opensandbox.io/storage": "5Gi"}
	w.add(pod)
	eventually(t, "other hints are news", func() bool { return w.podsDue.Len() == 1 && w.podsDue.NumRequeues(named("p")) == 0 })
}

// TestANameThatIsTakenAgain: what was found of the pod before is forgotten.
func TestANameThatIsTakenAgain(t *testing.T) {
	pod := newPod("ns", "p", "home")
	pod.Annotations = map[string]string{"volumes.opensandbox.io/storage": "10 GB"}
	w := newWorld(t, pod).leads()
	w.heal(t.Context(), named("p"))
	if w.stories.failing() != 1 {
		t.Fatalf("%d fail", w.stories.failing())
	}
	another := newPod("ns", "p", "home")
	another.UID = "another"
	w.add(another)
	if w.stories.failing() != 0 {
		t.Errorf("%d fail", w.stories.failing())
	}
}

// TestManyHints are not kept in memory, and count all the same.
func TestManyHints(t *testing.T) {
	pod := newPod("ns", "p", "home")
	pod.Annotations = map[string]string{"volumes.opensandbox.io/storage": "5Gi", "x.volumes.opensandbox.io/storage": strings.Repeat("1", maxHints)}
	w := newWorld(t, pod)
	if kept := w.pods.Get("ns", "p"); len(kept.Annotations) > 0 {
		t.Errorf("%d annotations are kept", len(kept.Annotations))
	}
	if w.heal(t.Context(), named("p")) || w.claim("home").Spec.Resources.Requests.Storage().String() != "5Gi" {
		t.Errorf("claim %+v", w.claim("home"))
	}
	w.sync()
	w.heal(t.Context(), named("p"))
	if got := w.events(); len(got) != 1 || !strings.Contains(got[0], "x") {
		t.Errorf("a hint for another claim: events %q", got)
	}
}

// TestAControllerThatIsBeingDeleted takes its pods with it.
func TestAControllerThatIsBeingDeleted(t *testing.T) {
	sandbox := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: "s", UID: "uid-s", Finalizers: []string{"foregroundDeletion"}, DeletionTimestamp: &metav1.Time{Time: time.Now()},
	}}
	sandbox.SetGroupVersionKind(schema.GroupVersionKind{Group: "agents.x-k8s.io", Version: "v1beta1", Kind: "Sandbox"})
	w := newWorld(t, sandbox, of(newPod("ns", "p", "home"), "s", "uid-s"))
	if !w.heal(t.Context(), named("p")) || w.claim("home") != nil {
		t.Errorf("%q", w.calls)
	}
}

// TestAMisspeltClass in many pods has the PersistentVolumes listed once.
func TestAMisspeltClass(t *testing.T) {
	var pods []client.Object
	for _, name := range []string{"a", "b", "c"} {
		pod := newPod("ns", name, name)
		pod.Annotations = map[string]string{"volumes.opensandbox.io/storageClass": "fsat"}
		pods = append(pods, pod)
	}
	w := newWorld(t, pods...)
	w.Ensurer.MissingClass = provision.DenyMissingClass
	for _, pod := range pods {
		if !w.heal(t.Context(), client.ObjectKeyFromObject(pod)) {
			t.Errorf("%s: it does not come back", pod.GetName())
		}
	}
	lists := slices.DeleteFunc(slices.Clone(w.calls), func(c string) bool { return !strings.HasPrefix(c, "list ") })
	if len(lists) != 2 { // StorageClasses and PersistentVolumes
		t.Errorf("%d lists", len(lists))
	}
	if got := w.events(); len(got) != 3 {
		t.Errorf("events %q", got)
	}
}

// TestResync finds a pod whose claim came and went while nobody was told.
func TestResync(t *testing.T) {
	w, p := patrolled(t, newPod("ns", "p", "home"), newPod("ns", "well", "data"), ours("data", time.Hour))
	p.resync()
	if w.podsDue.Len() != 1 {
		t.Errorf("%d pods are due", w.podsDue.Len())
	}
	if key, _ := w.podsDue.Get(); key != named("p") {
		t.Errorf("pod %s is due", key)
	}
}

// TestAClaimThatBecomesExclusive under a pod of another sandbox is looked at.
func TestAClaimThatBecomesExclusive(t *testing.T) {
	w := newWorld(t, of(newPod("ns", "second", "home"), "t", "uid-t")).leads()
	if err := w.Ensurer.Claims.Add(ownedAlone(ours("home", 0), "s", "uid-s")); err != nil {
		t.Fatal(err)
	}
	if w.claimsDue.Len() != 1 {
		t.Errorf("%d claims are due", w.claimsDue.Len())
	}
}

// TestAnOwnerThatWasMadeAnew does not get its predecessor's data, which is about to
// be deleted, as long as its pod has no node; one that has may have written.
func TestAnOwnerThatWasMadeAnew(t *testing.T) {
	pod := of(newPod("ns", "p", "home"), "s", "uid-new")
	w := newWorld(t, ownedAlone(ours("home", time.Hour), "s", "uid-old"), pod)
	if !w.heal(t.Context(), named("p")) || !w.guard(t.Context(), named("home")) || len(w.claim("home").OwnerReferences) != 1 {
		t.Errorf("claim %+v", w.claim("home").ObjectMeta)
	}
	pod.Spec.NodeName = "node"
	pod.ResourceVersion = ""
	if err := w.live.Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	if w.guard(t.Context(), named("home")) || len(w.claim("home").OwnerReferences) != 0 {
		t.Errorf("claim %+v", w.claim("home").ObjectMeta)
	}
}

// TestASharedClaimIsToldOf also where that fails at first.
func TestASharedClaimIsToldOf(t *testing.T) {
	w := newWorld(t, ownedAlone(ours("home", time.Hour), "s", "uid-s"), of(newPod("ns", "second", "home"), "t", "uid-t"))
	w.fails = func(_ string, object client.Object) error {
		if _, is := object.(*corev1.Event); is {
			return errors.New("no")
		}
		return nil
	}
	w.heal(t.Context(), named("second"))
	if !w.guard(t.Context(), named("home")) || len(w.claim("home").OwnerReferences) != 0 {
		t.Errorf("claim %+v", w.claim("home").ObjectMeta)
	}
	w.fails = nil
	if w.guard(t.Context(), named("home")) || len(w.events()) != 1 {
		t.Errorf("events %q", w.events())
	}
	if len(w.suspicions.claims) != 0 {
		t.Error("it is still under suspicion")
	}
}

// TestOrphansCountWithoutEvents: whoever forbids Events neither hides orphans nor keeps them.
func TestOrphansCountWithoutEvents(t *testing.T) {
	w, p := amongOthers(t)
	w.DeleteOrphans = true
	w.fails = func(_ string, object client.Object) error {
		if _, is := object.(*corev1.Event); is {
			return forbidden("exceeded quota: count/events")
		}
		return nil
	}
	p.round(t.Context())
	certain := 0
	for _, o := range p.orphans {
		if o.certain {
			certain++
		}
	}
	if certain != 2 {
		t.Errorf("%d orphans are certain", certain)
	}
	p.anHourLater()
	p.round(t.Context())
	if got := deletions(w); !slices.Equal(got, []string{"delete *v1.PersistentVolumeClaim old-orphan"}) {
		t.Errorf("%q", got)
	}
}
