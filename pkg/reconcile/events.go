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
	passing         bool      // not worth telling yet, and no sign that all is well
	of              types.UID // the claim that it is about, where it may have to wait
}

// allWell is what there is to say once nothing stands in the way any more.
var allWell = note{reason: reasonEnsured, message: "the pod's claims exist"}

// digest tells notes apart. What a quota counts as used changes with every claim
// of its tenant and is no news.
type digest [8]byte

func (n note) digest() digest {
	words := n.reason + "\n"
	rest := n.message
	for {
		before, after, found := strings.Cut(rest, ", used: ")
		words += before
		if !found {
			break
		}
		if _, limits, found := strings.Cut(after, ", limited: "); found {
			words += ", limited: "
			after = limits
		}
		rest = after
	}
	sum := sha256.Sum256([]byte(words))
	return digest(sum[:])
}

// stories are what was told of each pod, by UID, so that it is told once for each
// change. Its zero value is empty. It may be used by several goroutines at once.
type stories struct {
	mu   sync.Mutex
	pods map[types.UID]*story
}

type story struct {
	failed bool   // as it was found the last time, told or not
	any    bool   // whether anything was told
	told   digest // what was told last
	reason string // of that
}

// turn notes what was found, and returns the notes that are news by it: none where
// it was told last. again reports whether something else was told before.
func (s *stories) turn(pod types.UID, n note) (news []note, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pods[pod]
	if p == nil {
		if n.reason == "" {
			return nil, false
		}
		if s.pods == nil {
			s.pods = map[types.UID]*story{}
		}
		p = &story{told: note{}.digest()}
		s.pods[pod] = p
	}
	p.failed = n.reason == reasonFailed
	if p.told == n.digest() {
		return nil, false
	}
	if p.reason == reasonFailed && n.reason != reasonFailed {
		news = append(news, allWell)
	}
	if n.reason != "" {
		news = append(news, n)
	}
	if len(news) == 0 {
		p.told, p.reason = n.digest(), n.reason
	}
	return news, p.any
}

// wasTold notes that the note was told.
func (s *stories) wasTold(pod types.UID, n note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pods[pod]; p != nil {
		p.any, p.told, p.reason = true, n.digest(), n.reason
	}
}

func (s *stories) forget(pod types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pods, pod)
}

// failing is how many pods failed the last time.
func (s *stories) failing() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pods {
		if p.failed {
			n++
		}
	}
	return n
}

// tell writes what is news of a pod as an Event on it and on its controller. It
// reports whether there was something to tell and it is told; after an error it is
// news the next time.
func (t *term) tell(ctx context.Context, pod *waiting, n note) (told bool, err error) {
	if n.passing {
		return false, nil
	}
	// A pod that goes meanwhile is not forgotten a second time.
	defer func() {
		if now := t.pods.Get(pod.Namespace, pod.PodName); now == nil || now.uid != pod.uid {
			t.stories.forget(pod.uid)
		}
	}()
	news, again := t.stories.turn(pod.uid, n)
	for _, shown := range news {
		if err := t.tellPod(ctx, pod, shown, again); err != nil {
			t.Log.Info("an Event could not be written", "namespace", pod.Namespace, "pod", pod.PodName, "reason", err.Error())
			return false, err
		}
	}
	if len(news) > 0 {
		t.stories.wasTold(pod.uid, n)
	}
	return len(news) > 0, nil
}

// tellPod writes an Event on a pod and on its controller. A controller that no
// Event can be about, such as one whose name is none, does not count.
func (t *term) tellPod(ctx context.Context, pod *waiting, n note, again bool) error {
	about := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.PodName, UID: pod.uid}
	if err := t.post(ctx, about, n, again); err != nil {
		return err
	}
	c := pod.Controller
	if c == nil {
		return nil
	}
	about = corev1.ObjectReference{APIVersion: c.APIVersion, Kind: c.Kind, Namespace: pod.Namespace, Name: c.Name, UID: c.UID}
	err := t.post(ctx, about, n, again)
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		t.Log.Info("no Event can be about a pod's controller", "namespace", pod.Namespace, "pod", pod.PodName, "reason", err.Error())
		return nil
	}
	return err
}

// post writes an Event. Its name follows from what it is about and what it says,
// so that a successor does not tell again what this leader has told, nor one
// replica of a controller what another has. Told once more after something else,
// it is counted up: again says that this leader has told something else, and whether
// its predecessor had told that all was well, the Event of that says.
func (t *term) post(ctx context.Context, about corev1.ObjectReference, n note, again bool) error {
	now := metav1.Now()
	kind := corev1.EventTypeWarning
	if n.reason == reasonEnsured || n.reason == reasonOrphaned {
		kind = corev1.EventTypeNormal
	}
	event := &corev1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: about.Namespace, Name: eventName(about, n)},
		InvolvedObject:      about,
		Reason:              n.reason,
		Message:             cut(n.message, maxMessage),
		Type:                kind,
		Source:              corev1.EventSource{Component: component, Host: t.Identity},
		ReportingController: component,
		ReportingInstance:   t.Identity,
		FirstTimestamp:      now,
		LastTimestamp:       now,
		Count:               1,
	}
	err := t.Ensurer.Live.Create(ctx, event)
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	if !again && n.reason != reasonFailed {
		return nil
	}
	told, err := t.told(ctx, about, n)
	if err != nil {
		return err
	}
	if !again {
		well, err := t.told(ctx, about, allWell)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return err
		default:
			again = well.LastTimestamp.After(told.LastTimestamp.Time)
		}
	}
	if !again {
		return nil
	}
	patch, _ := json.Marshal(map[string]any{"count": told.Count + 1, "lastTimestamp": now}) // of numbers and times: cannot fail
	return t.Ensurer.Live.Patch(ctx, event, client.RawPatch(types.MergePatchType, patch))
}

// told is the Event that says this already. We may not read Events; a patch that
// changes nothing is answered with one.
func (t *term) told(ctx context.Context, about corev1.ObjectReference, n note) (*corev1.Event, error) {
	event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: about.Namespace, Name: eventName(about, n)}}
	err := t.Ensurer.Live.Patch(ctx, event, client.RawPatch(types.MergePatchType, []byte("{}")))
	return event, err
}

// eventName is the name of the Event that says this of an object.
func eventName(about corev1.ObjectReference, n note) string {
	said := n.digest()
	sum := sha256.Sum256(append([]byte(about.UID+"\n"), said[:]...))
	suffix := "." + hex.EncodeToString(sum[:8])
	return strings.TrimRight(about.Name[:min(len(about.Name), 253-len(suffix))], ".-") + suffix
}

func cut(s string, limit int) string {
	const dots = "..."
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-len(dots)], "") + dots
}

func aboutClaim(pvc *corev1.PersistentVolumeClaim) corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: pvc.Namespace, Name: pvc.Name, UID: pvc.UID, ResourceVersion: pvc.ResourceVersion,
	}
}
