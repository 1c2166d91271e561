package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Reasons of our Events.
const (
	reasonFailed   = "FailedEnsureClaims" // Warning, on a pod and its controller
	reasonWarning  = "ClaimWarning"       // Warning, on a pod and its controller
	reasonEnsured  = "ClaimsEnsured"      // Normal, on a pod that had failed, and its controller
	reasonOrphaned = "ClaimOrphaned"      // Normal, on a claim
	reasonForeign  = "ClaimForeign"       // Warning, on a claim
	reasonShared   = "ClaimShared"        // Warning, on a claim
)

// component is the source of our Events.
const component = "ensure-volumes"

// maxMessage is how long an Event's message may be (events.k8s.io/v1).
const maxMessage = 1024

// note is what an Event says. The zero note says that all is well.
type note struct {
	reason, message string
	passing         bool // not worth telling yet, and no sign that all is well
}

// stories are what was told of each pod, by UID, so that it is told once for each
// change. Its zero value is empty. It may be used by several goroutines at once.
type stories struct {
	mu   sync.Mutex
	pods map[types.UID]*story
}

type story struct {
	last  note
	times map[note]int // how often it was told
}

// maxNotes bounds what is remembered of a pod whose trouble never says the same twice.
const maxNotes = 16

// turn reports whether a note is news, how often it was told with this time, and
// what was told before.
func (s *stories) turn(pod types.UID, n note) (news bool, times int, before note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pods[pod]
	if p == nil {
		if n.reason == "" {
			return false, 0, note{}
		}
		if s.pods == nil {
			s.pods = map[types.UID]*story{}
		}
		p = &story{}
		s.pods[pod] = p
	}
	if p.last == n {
		return false, 0, note{}
	}
	if p.times == nil || len(p.times) >= maxNotes {
		p.times = map[note]int{}
	}
	before, p.last = p.last, n
	p.times[n]++
	return true, p.times[n], before
}

// untold takes back what could not be told: it is news again the next time.
func (s *stories) untold(pod types.UID, n, before note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pods[pod]; p != nil && p.last == n {
		p.last = before
		p.times[n]--
	}
}

func (s *stories) forget(pod types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pods, pod)
}

// failing is of how many pods the last that was told is that they failed.
func (s *stories) failing() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pods {
		if p.last.reason == reasonFailed {
			n++
		}
	}
	return n
}

// tell writes what is news of a pod as an Event on it and on its controller. It
// returns drifts where it was news, 0 otherwise.
func (t *term) tell(ctx context.Context, pod *waiting, n note, drifts int) int {
	if n.passing {
		return 0
	}
	news, times, before := t.stories.turn(pod.uid, n)
	if !news {
		return 0
	}
	shown := n
	if n.reason == "" {
		if before.reason != reasonFailed {
			return 0
		}
		shown = note{reason: reasonEnsured, message: "the pod's claims exist"}
	}
	about := []corev1.ObjectReference{{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.PodName, UID: pod.uid}}
	if c := pod.Controller; c != nil {
		about = append(about, corev1.ObjectReference{APIVersion: c.APIVersion, Kind: c.Kind, Namespace: pod.Namespace, Name: c.Name, UID: c.UID})
	}
	for _, object := range about {
		if err := t.post(ctx, object, shown, times); err != nil {
			t.Log.Info("an Event could not be written", "namespace", pod.Namespace, "pod", pod.PodName, "reason", err.Error())
			t.stories.untold(pod.uid, n, before)
			return 0
		}
	}
	if t.pods.Get(pod.Namespace, pod.PodName) == nil { // it went meanwhile, and will not be forgotten again
		t.stories.forget(pod.uid)
	}
	return drifts
}

// post writes an Event. Its name follows from what it is about and what it says,
// so that a successor does not tell again what this leader has told, nor one
// replica of a controller what another has. Told once more after something else,
// it is counted up.
func (t *term) post(ctx context.Context, about corev1.ObjectReference, n note, times int) error {
	now := metav1.Now()
	kind := corev1.EventTypeWarning
	if n.reason == reasonEnsured || n.reason == reasonOrphaned {
		kind = corev1.EventTypeNormal
	}
	sum := sha256.Sum256([]byte(string(about.UID) + "\n" + n.reason + "\n" + n.message))
	suffix := "." + hex.EncodeToString(sum[:8])
	name := strings.TrimRight(about.Name[:min(len(about.Name), 253-len(suffix))], ".-") + suffix
	event := &corev1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: about.Namespace, Name: name},
		InvolvedObject:      about,
		Reason:              n.reason,
		Message:             cut(n.message, maxMessage),
		Type:                kind,
		Source:              corev1.EventSource{Component: component, Host: t.Identity},
		ReportingController: component,
		ReportingInstance:   t.Identity,
		FirstTimestamp:      now,
		LastTimestamp:       now,
		Count:               int32(times),
	}
	err := t.Ensurer.Live.Create(ctx, event)
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	if times < 2 {
		return nil
	}
	patch, _ := json.Marshal(map[string]any{"count": times, "lastTimestamp": now}) // of numbers and times: cannot fail
	return t.Ensurer.Live.Patch(ctx, event, client.RawPatch(types.MergePatchType, patch))
}

func cut(s string, limit int) string {
	const dots = "..."
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-len(dots)], "") + dots
}
