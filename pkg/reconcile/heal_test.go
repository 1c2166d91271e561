package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestHeals: a pod that waits gets its claims as at admission, and quietly.
func TestHeals(t *testing.T) {
	pod := newPod("ns", "p", "home", "data")
	pod.Annotations = map[string]string{"home.volumes.opensandbox.io/storage": "5Gi", "not-ours": "x"}
	pod.Labels = map[string]string{"opensandbox.io/id": "abc"}
	w := newWorld(t, pod, ours("data", time.Hour))
	if w.heal(t.Context(), named("p")) {
		t.Error("it comes back although all is well")
	}
	home := w.claim("home")
	if home == nil || home.Spec.Resources.Requests.Storage().String() != "5Gi" || home.Labels["opensandbox.io/id"] != "abc" ||
		home.Annotations["volumes.opensandbox.io/created-for"] != "p" {
		t.Fatalf("claim %+v", home)
	}
	if _, by := home.Annotations["volumes.opensandbox.io/requested-by"]; by {
		t.Error("somebody is said to have asked, whom nobody knows")
	}
	if got, want := w.made(), []string{"create *v1.PersistentVolumeClaim home"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestLeavesAlone: what costs no call at all, and what is looked at and left.
func TestLeavesAlone(t *testing.T) {
	running, deleted := newPod("ns", "running", "a"), newPod("ns", "deleted", "b")
	running.Status.Phase = corev1.PodRunning
	deleted.DeletionTimestamp, deleted.Finalizers = &metav1.Time{Time: time.Now()}, []string{"x/y"}
	mirror := newPod("ns", "mirror", "c")
	mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	w := newWorld(t, running, deleted, mirror, newPod("off", "elsewhere", "d"), newPod("ns", "well", "e"), newPod("ns", "without"), ours("e", time.Hour))
	for _, pod := range []*corev1.Pod{running, deleted, mirror, newPod("off", "elsewhere"), newPod("ns", "well"), newPod("ns", "without")} {
		if w.heal(t.Context(), client.ObjectKeyFromObject(pod)) {
			t.Errorf("%s: it comes back", pod.Name)
		}
	}
	if len(w.calls) > 0 {
		t.Errorf("calls %q", w.calls)
	}
	// What the caches do not know yet: the pod is gone, is another, or runs.
	for name, change := range map[string]func(*corev1.Pod){
		"gone":    nil,
		"another": func(p *corev1.Pod) { p.UID = "new" },
		"runs":    func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning },
	} {
		pod := newPod("ns", name, "x")
		w := newWorld(t)
		if err := w.pods.Add(pod.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		w.pods.Get("ns", name).heard = time.Now().Add(-time.Minute)
		if change != nil {
			change(pod)
			if err := w.live.Create(t.Context(), pod); err != nil {
				t.Fatal(err)
			}
		}
		if w.heal(t.Context(), named(name)) || w.claim("x") != nil {
			t.Errorf("%s: %q", name, w.calls)
		}
	}
}

// TestController: its hints count as at admission; where it is gone nothing is made.
func TestController(t *testing.T) {
	sandbox := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: "s", UID: "uid-s", Annotations: map[string]string{"volumes.opensandbox.io/storage": "3Gi"},
	}}
	sandbox.SetGroupVersionKind(schema.GroupVersionKind{Group: "agents.x-k8s.io", Version: "v1beta1", Kind: "Sandbox"})
	w := newWorld(t, sandbox, of(newPod("ns", "p", "a"), "s", "uid-s"), of(newPod("ns", "q", "b"), "s", "uid-before"))
	if w.heal(t.Context(), named("p")) || w.claim("a").Spec.Resources.Requests.Storage().String() != "3Gi" {
		t.Errorf("claim %+v", w.claim("a"))
	}
	if !w.heal(t.Context(), named("q")) || w.claim("b") != nil {
		t.Errorf("a claim was made for a pod whose controller is gone: %q", w.calls)
	}
	if got := w.events(); len(got) != 2 || !strings.HasPrefix(got[0], "Pod/q Warning FailedEnsureClaims x1: Sandbox \"s\" (uid uid-before), the pod's controller, is gone or being deleted") ||
		!strings.HasPrefix(got[1], "Sandbox/s Warning FailedEnsureClaims x1: ") {
		t.Errorf("events %q", got)
	}
}

func forbidden(message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: message,
	}}
}

// TestTellsOnceForEachChange: refused, refused again, otherwise, as before, and at
// last not any more.
func TestTellsOnceForEachChange(t *testing.T) {
	w := newWorld(t, of(newPod("ns", "p", "home"), "s", "uid-s"))
	w.Ensurer.OwnerKinds = nil // a controller of any kind is told
	says := "-"
	w.fails = func(verb string, object client.Object) error {
		if _, is := object.(*corev1.PersistentVolumeClaim); is && verb == "create" && says != "" {
			return forbidden(says)
		}
		return nil
	}
	step := func(message string, again bool, want ...string) {
		t.Helper()
		says = message
		if got := w.heal(t.Context(), named("p")); got != again {
			t.Errorf("%q: it comes back: %t", message, got)
		}
		if got := w.events(); !slices.Equal(got, want) {
			t.Errorf("%q: events\n%s\nwant\n%s", message, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	event := func(on, of string) string { return on + " " + of }
	const fiveSaid, sixSaid = "exceeded quota: few, requested: 2, used: 4, limited: 5", "exceeded quota: few, requested: 2, used: 4, limited: 6"
	const five, six = "Warning FailedEnsureClaims x1: " + fiveSaid, "Warning FailedEnsureClaims x1: " + sixSaid
	step(fiveSaid, true, event("Pod/p", five), event("Sandbox/s", five))
	step("exceeded quota: few, requested: 2, used: 5, limited: 5", true, event("Pod/p", five), event("Sandbox/s", five)) // others use it
	step(sixSaid, true, event("Pod/p", five), event("Pod/p", six), event("Sandbox/s", five), event("Sandbox/s", six))
	twice := strings.Replace(five, "x1", "x2", 1)
	step(fiveSaid, true, event("Pod/p", six), event("Pod/p", twice), event("Sandbox/s", six), event("Sandbox/s", twice))
	if w.stories.failing() != 1 {
		t.Errorf("%d pods fail", w.stories.failing())
	}
	const well = "Normal ClaimsEnsured x1: the pod's claims exist"
	step("", false, event("Pod/p", well), event("Pod/p", six), event("Pod/p", twice), event("Sandbox/s", well), event("Sandbox/s", six), event("Sandbox/s", twice))
	if w.stories.failing() != 0 {
		t.Errorf("%d pods fail", w.stories.failing())
	}
	// A successor knows nothing of what was told. What has come back after all was well is told,
	// and that it is well again, too.
	later(w, well)
	w.stories = stories{}
	if err := w.live.Delete(t.Context(), w.claim("home")); err != nil {
		t.Fatal(err)
	}
	sixTwice, wellTwice := strings.Replace(six, "x1", "x2", 1), strings.Replace(well, "x1", "x2", 1)
	step(sixSaid, true, event("Pod/p", well), event("Pod/p", twice), event("Pod/p", sixTwice), event("Sandbox/s", well), event("Sandbox/s", twice), event("Sandbox/s", sixTwice))
	// Another one finds it as it was told, and does not tell it again.
	later(w, sixTwice)
	w.stories = stories{}
	step(sixSaid, true, event("Pod/p", well), event("Pod/p", twice), event("Pod/p", sixTwice), event("Sandbox/s", well), event("Sandbox/s", twice), event("Sandbox/s", sixTwice))
	step("", false, event("Pod/p", wellTwice), event("Pod/p", twice), event("Pod/p", sixTwice), event("Sandbox/s", wellTwice), event("Sandbox/s", twice), event("Sandbox/s", sixTwice))
	// What is remembered of a pod goes with it.
	if err := w.live.Delete(t.Context(), newPod("ns", "p")); err != nil {
		t.Fatal(err)
	}
	w.Net.term = w.term
	w.sync()
	if len(w.stories.pods) != 0 {
		t.Errorf("%d pods are remembered", len(w.stories.pods))
	}
}

// later makes Events of which a text says "type reason xN: message" a minute younger: they know seconds only.
func later(w *world, text string) {
	w.Helper()
	var list corev1.EventList
	if err := w.live.List(context.Background(), &list); err != nil {
		w.Fatal(err)
	}
	for _, e := range list.Items {
		if fmt.Sprintf("%s %s x%d: %s", e.Type, e.Reason, e.Count, e.Message) == text {
			e.LastTimestamp = metav1.NewTime(e.LastTimestamp.Add(time.Minute))
			if err := w.live.Update(context.Background(), &e); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// TestTheEndIsToldInTheEnd: an Event that says that all is well, or warns, is tried again where it could not be written.
func TestTheEndIsToldInTheEnd(t *testing.T) {
	w := newWorld(t, newPod("ns", "p", "home"))
	refused, lost := true, false
	w.fails = func(verb string, object client.Object) error {
		switch object.(type) {
		case *corev1.PersistentVolumeClaim:
			if refused && verb == "create" {
				return forbidden("no room")
			}
		case *corev1.Event:
			if lost {
				return apierrors.NewTooManyRequestsError("later")
			}
		}
		return nil
	}
	if !w.heal(t.Context(), named("p")) {
		t.Error("what failed does not come back")
	}
	refused, lost = false, true
	if !w.heal(t.Context(), named("p")) {
		t.Error("what could not be told does not come back")
	}
	lost = false
	if w.heal(t.Context(), named("p")) {
		t.Error("what was told comes back")
	}
	if got, want := w.events(), []string{"Pod/p Normal ClaimsEnsured x1: the pod's claims exist", "Pod/p Warning FailedEnsureClaims x1: no room"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// TestAnAPIServerThatHangs: what takes all the time there is leaves enough to tell of it.
func TestAnAPIServerThatHangs(t *testing.T) {
	w := newWorld(t, newPod("ns", "p", "home"))
	ctx, cancel := context.WithTimeout(t.Context(), toTell+100*time.Millisecond)
	defer cancel()
	for range toldAfter {
		w.podsDue.AddRateLimited(named("p"))
	}
	w.hangs = func(verb string, object client.Object) bool {
		_, is := object.(*corev1.PersistentVolumeClaim)
		return is && verb == "create"
	}
	if !w.heal(ctx, named("p")) {
		t.Error("it does not come back")
	}
	if got, want := w.events(), []string{"Pod/p Warning FailedEnsureClaims x1: the API server does not answer in time; it is asked again"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// TestAnEventThatCannotBeWritten is news again the next time.
func TestAnEventThatCannotBeWritten(t *testing.T) {
	pod := newPod("ns", "p", "home")
	pod.Annotations = map[string]string{"volumes.opensandbox.io/storage": "10 GB"}
	w := newWorld(t, pod)
	w.fails = func(_ string, object client.Object) error {
		if _, is := object.(*corev1.Event); is {
			return errors.New("no")
		}
		return nil
	}
	w.heal(t.Context(), named("p"))
	w.fails = nil
	w.heal(t.Context(), named("p"))
	if got := w.events(); len(got) != 1 || !strings.Contains(got[0], `invalid quantity "10 GB"; write it as "10Gi"`) || !strings.Contains(got[0], " x1: ") {
		t.Errorf("events %q", got)
	}
}

// TestPassingTrouble is told only where it stays.
func TestPassingTrouble(t *testing.T) {
	w := newWorld(t, newPod("ns", "p", "home"))
	w.fails = func(_ string, object client.Object) error {
		if _, is := object.(*corev1.PersistentVolumeClaim); is {
			return apierrors.NewInternalError(errors.New("etcd is away"))
		}
		return nil
	}
	for try := range toldAfter + 1 {
		if !w.heal(t.Context(), named("p")) {
			t.Error("it does not come back")
		}
		if told := len(w.events()) > 0; told != (try >= toldAfter) {
			t.Errorf("after %d tries: told %t", try, told)
		}
		w.podsDue.AddRateLimited(named("p"))
	}
	w.fails = nil
	if w.heal(t.Context(), named("p")) || w.claim("home") == nil {
		t.Error("it does not heal")
	}
}

// TestDrift is told, and counted once for each change.
func TestDrift(t *testing.T) {
	pod := newPod("ns", "p", "home")
	pod.Annotations = map[string]string{"volumes.opensandbox.io/storage": "5Gi", "volumes.opensandbox.io/accessModes": "RWX"}
	w := newWorld(t, pod, ours("home", time.Hour))
	for range 2 {
		if w.heal(t.Context(), named("p")) {
			t.Error("it comes back")
		}
	}
	if got := w.events(); len(got) != 1 || !strings.HasPrefix(got[0], `Pod/p Warning ClaimWarning x1: claim "home" exists: accessModes RWX asked, it has`) ||
		!strings.Contains(got[0], "; claim \"home\" exists: storage 5Gi asked") {
		t.Errorf("events %q", got)
	}
}

// TestLongMessages: an Event takes 1024 bytes, and names of 253.
func TestLongMessages(t *testing.T) {
	name := strings.Repeat("a", 235) + "." + strings.Repeat("b", 17)
	w := newWorld(t, newPod("ns", name, "home"))
	w.fails = func(verb string, object client.Object) error {
		if _, is := object.(*corev1.PersistentVolumeClaim); is && verb == "create" {
			return forbidden("exceeded quota: " + strings.Repeat("ä", 1000))
		}
		return nil
	}
	w.heal(t.Context(), named(name))
	var list corev1.EventList
	if err := w.live.List(t.Context(), &list); err != nil || len(list.Items) != 1 {
		t.Fatalf("%v, %d events", err, len(list.Items))
	}
	e := list.Items[0]
	if len(e.Message) > 1024 || !strings.HasSuffix(e.Message, "ä...") || len(e.Name) > 253 || strings.Contains(e.Name, "..") {
		t.Errorf("%d bytes, named %q", len(e.Message), e.Name)
	}
}
