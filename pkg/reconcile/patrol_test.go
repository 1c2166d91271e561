package reconcile

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// patrolled is a leader's patrol with metrics.
func patrolled(t *testing.T, objects ...client.Object) (*world, *patrol) {
	t.Helper()
	w := newWorld(t, objects...)
	m, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w.Metrics = m
	return w, newPatrol(w.term)
}

// amongOthers has orphans, and claims that are none for one reason each.
func amongOthers(t *testing.T) (*world, *patrol) {
	t.Helper()
	bound, volume, young, lost, deleted := ours("bound", time.Hour), ours("volume", time.Hour), ours("young", 50*time.Second), ours("lost", time.Hour), ours("deleted", time.Hour)
	bound.Status.Phase, bound.Spec.VolumeName = corev1.ClaimBound, "pv"
	volume.Spec.VolumeName = "pv"
	lost.Status.Phase = corev1.ClaimLost
	deleted.Finalizers = []string{"x/y"}
	byHand := ours("by-hand", time.Hour)
	byHand.Labels = nil
	copied := ours("copied", time.Hour)
	copied.CreationTimestamp.Time = copied.CreationTimestamp.Add(2 * time.Minute)
	done := newPod("ns", "done", "of-a-done-pod")
	done.Status.Phase = corev1.PodFailed
	w, p := patrolled(t, bound, volume, young, lost, deleted, byHand, copied, done, ours("of-a-done-pod", time.Hour),
		newPod("ns", "waits", "wanted"), ours("wanted", time.Hour), ours("orphan", 2*time.Minute), ours("old-orphan", time.Hour))
	if err := w.live.Delete(t.Context(), deleted.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	w.sync()
	return w, p
}

// TestOrphans: what is one and what is not; it is told once and kept.
func TestOrphans(t *testing.T) {
	w, p := amongOthers(t)
	p.round(t.Context())
	if got := testutil.ToFloat64(w.Metrics.orphaned); got != 2 {
		t.Errorf("%v orphans", got)
	}
	if got := testutil.ToFloat64(w.Metrics.foreign); got != 1 {
		t.Errorf("%v foreign claims", got)
	}
	const text = ` Normal ClaimOrphaned x1: the claim was created for Pod "some-pod", was never bound, and no pod refers to it: it is kept; delete it where nobody needs it`
	want := []string{
		"PersistentVolumeClaim/copied Warning ClaimForeign x1: the claim carries the labels of ensure-volumes, which did not create it: " +
			"it is a copy, or was restored; it is used like any other, and ensure-volumes never deletes it; with an owner of its own, Kubernetes does",
		"PersistentVolumeClaim/old-orphan" + text, "PersistentVolumeClaim/orphan" + text,
	}
	if got := w.events(); !slices.Equal(got, want) {
		t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	w.calls = nil
	p.round(t.Context())
	if len(w.calls) > 0 || testutil.ToFloat64(w.Metrics.orphaned) != 2 {
		t.Errorf("a second round: %v orphans, calls %q", testutil.ToFloat64(w.Metrics.orphaned), w.calls)
	}
	// A pod comes after all.
	if err := w.pods.Add(newPod("ns", "late", "orphan")); err != nil {
		t.Fatal(err)
	}
	p.round(t.Context())
	if got := testutil.ToFloat64(w.Metrics.orphaned); got != 1 {
		t.Errorf("%v orphans, one of them wanted", got)
	}
}

// TestOrphansAreDeleted only where that is wanted, they are old, and are what was looked at.
func TestOrphansAreDeleted(t *testing.T) {
	w, p := amongOthers(t)
	w.DeleteOrphans = true
	p.round(t.Context())
	if got := deletions(w); len(got) > 0 {
		t.Errorf("deleted at first sight: %q", got)
	}
	p.anHourLater()
	p.round(t.Context())
	if got, want := deletions(w), []string{"delete *v1.PersistentVolumeClaim old-orphan"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := testutil.ToFloat64(w.Metrics.removed); got != 1 {
		t.Errorf("%v deletions", got)
	}
	if got := testutil.ToFloat64(w.Metrics.orphaned); got != 1 {
		t.Errorf("%v orphans are left", got)
	}
	if w.claim("old-orphan") != nil || w.claim("orphan") == nil {
		t.Error("the wrong one is gone")
	}

	// Bound, or used, since the cache was told: not deleted.
	for name, change := range map[string]func(w *world){
		"bound": func(w *world) {
			c := w.claim("old-orphan")
			c.Spec.VolumeName, c.Status.Phase = "pv", corev1.ClaimBound
			if err := w.live.Update(w.Context(), c); err != nil {
				w.Fatal(err)
			}
		},
		"used": func(w *world) {
			if err := w.live.Create(w.Context(), newPod("ns", "new", "old-orphan")); err != nil {
				w.Fatal(err)
			}
		},
		"bound in the last moment": func(w *world) {
			w.fails = func(verb string, object client.Object) error {
				if verb != "delete" {
					return nil
				}
				w.fails = nil
				c := &corev1.PersistentVolumeClaim{}
				err := w.live.Get(w.Context(), client.ObjectKeyFromObject(object), c)
				c.Spec.VolumeName, c.Status.Phase = "pv", corev1.ClaimBound
				return errors.Join(err, w.live.Update(w.Context(), c))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := amongOthers(t)
			w.DeleteOrphans = true
			p.round(t.Context())
			p.anHourLater()
			change(w)
			p.round(t.Context())
			if w.claim("old-orphan") == nil {
				t.Errorf("it is deleted: %q", w.calls)
			}
		})
	}
}

// anHourLater is as if everything had been seen an hour ago.
func (p *patrol) anHourLater() {
	for _, o := range p.orphans {
		o.since, o.looked = o.since.Add(-time.Hour), o.looked.Add(-time.Hour)
	}
}

func deletions(w *world) []string {
	return slices.DeleteFunc(w.made(), func(c string) bool { return !strings.HasPrefix(c, "delete ") })
}

// TestSecondUser: our ownerReference is dropped, nobody else's, and the claim kept;
// what is its owner's alone stays so.
func TestSecondUser(t *testing.T) {
	shared := ownedAlone(ours("shared", time.Hour), "s", "uid-s")
	shared.OwnerReferences = append(shared.OwnerReferences, newOwner("other", "uid-other"))
	runs := of(newPod("ns", "runs", "shared"), "t", "uid-t")
	runs.Status.Phase = corev1.PodRunning
	w, p := patrolled(t, shared, ownedAlone(ours("alone", time.Hour), "s", "uid-s"), ownedAlone(ours("waits", time.Hour), "s", "uid-s"),
		of(newPod("ns", "first", "shared", "alone", "waits"), "s", "uid-s"), runs, newPod("ns", "second", "waits"))
	// Of the one that waits the pod's record tells, of the one that runs the audit.
	if !w.heal(t.Context(), named("second")) {
		t.Error("the pod that waits does not come back")
	}
	if err := p.audit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.claimsDue.Len() != 2 {
		t.Errorf("%d claims are suspected", w.claimsDue.Len())
	}
	for _, name := range []string{"shared", "waits", "alone"} {
		if w.guard(t.Context(), named(name)) {
			t.Errorf("%s: it comes back", name)
		}
	}
	if c := w.claim("shared"); len(c.OwnerReferences) != 1 || c.OwnerReferences[0].UID != "uid-other" || c.Annotations["volumes.opensandbox.io/delete-with-owner"] != "false" {
		t.Errorf("shared: %+v", c.ObjectMeta)
	}
	if c := w.claim("alone"); len(c.OwnerReferences) != 1 {
		t.Errorf("alone: %+v", c.ObjectMeta)
	}
	want := []string{
		"PersistentVolumeClaim/shared Warning ClaimShared x1: Pod runs uses the claim, which belonged to Sandbox.agents.x-k8s.io/s (uid uid-s) alone: " +
			"it is kept when that is deleted; delete it where nobody needs it any more",
		"PersistentVolumeClaim/waits Warning ClaimShared x1: Pod second uses the claim, which belonged to Sandbox.agents.x-k8s.io/s (uid uid-s) alone: " +
			"it is kept when that is deleted; delete it where nobody needs it any more",
	}
	if got := w.events(); !slices.Equal(got, want) {
		t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := testutil.ToFloat64(w.Metrics.share); got != 2 {
		t.Errorf("%v were counted", got)
	}
}

// TestGuardLeavesAlone: claims that are not ours, or are being deleted, and a
// claim that changes while it is looked at.
func TestGuardLeavesAlone(t *testing.T) {
	foreign := ownedAlone(ours("foreign", time.Hour), "s", "uid-s")
	foreign.CreationTimestamp.Time = foreign.CreationTimestamp.Add(time.Hour)
	deleted := ownedAlone(ours("deleted", time.Hour), "s", "uid-s")
	deleted.Finalizers = []string{"x/y"}
	changing := ownedAlone(ours("changing", time.Hour), "s", "uid-s")
	w := newWorld(t, foreign, deleted, changing, of(newPod("ns", "second", "foreign", "deleted", "changing"), "t", "uid-t"))
	if err := w.live.Delete(t.Context(), deleted.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	w.calls = nil
	for _, name := range []string{"foreign", "deleted", "gone"} {
		if w.guard(t.Context(), named(name)) || len(w.made()) > 0 {
			t.Errorf("%s: %q", name, w.made())
		}
	}
	if err := w.audit(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.fails = func(verb string, object client.Object) error {
		if verb != "patch" {
			return nil
		}
		w.fails = nil
		c := &corev1.PersistentVolumeClaim{}
		err := w.live.Get(w.Context(), client.ObjectKeyFromObject(object), c)
		c.Labels["by"] = "somebody"
		return errors.Join(err, w.live.Update(w.Context(), c))
	}
	if !w.guard(t.Context(), named("changing")) {
		t.Error("a claim that has changed meanwhile does not come back")
	}
	if c := w.claim("changing"); len(c.OwnerReferences) != 1 {
		t.Errorf("a version was changed that nobody looked at: %+v", c.ObjectMeta)
	}
	if w.guard(t.Context(), named("changing")) || len(w.claim("changing").OwnerReferences) != 0 {
		t.Error("it is not released the second time")
	}
}
