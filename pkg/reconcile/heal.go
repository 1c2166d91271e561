package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// toldAfter is how often trouble that may pass by itself has to come before it is
// told: the pauses until then are about eight seconds.
const toldAfter = 4

// toTell is how much of [patience] is left for an Event where an API server has taken
// all the rest.
const toTell = 2 * time.Second

// heal sees to one pod that waits. It reports whether to come back: something
// stands in the way that nobody will report as gone.
func (t *term) heal(ctx context.Context, key types.NamespacedName) (again bool) {
	pod := t.pods.Get(key.Namespace, key.Name)
	if pod == nil || !t.Synced() {
		return pod != nil
	}
	telling := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-toTell))
		defer cancel()
	}
	tries := t.podsDue.NumRequeues(key)
	if t.suspect(pod) && tries == 0 {
		return true // once that is settled there may be nothing to say
	}
	switch enabled, err := t.Ensurer.Enabled(ctx, key.Namespace); {
	case err != nil:
		t.Log.Info("a pod that waits cannot be helped yet", "namespace", key.Namespace, "pod", key.Name, "reason", err.Error())
		return true
	case !enabled:
		t.stories.forget(pod.uid)
		return false
	}
	request := pod.Request
	if pod.partial || t.lacks(pod) && time.Since(pod.heard) > fresh {
		switch live, err := t.look(ctx, pod); {
		case err != nil:
			t.Log.Info("a pod that waits for its claims cannot be read", "namespace", key.Namespace, "pod", key.Name, "reason", err.Error())
			return true
		case live == nil:
			return false // its record is about to go, too
		default:
			request = *live
		}
	}
	result, err := t.Ensurer.Ensure(ctx, request)
	if len(result.Created) > 0 {
		t.Metrics.created(len(result.Created))
		t.Log.Info("created claims for a pod that waits", "namespace", key.Namespace, "pod", key.Name, "claims", result.Created)
	}
	told, untold := t.tell(telling, pod, chapter(result, err, tries))
	if told {
		t.Metrics.drifted(len(result.Drift))
	}
	return err != nil || untold != nil
}

// lacks reports whether a claim of the pod seems to be missing.
func (t *term) lacks(pod *waiting) bool {
	for _, use := range pod.Claims {
		if t.Ensurer.Claims.Get(pod.Namespace, use.Name) == nil {
			return true
		}
	}
	return false
}

// look reads a pod again of which nothing was heard for a while, before anything is
// created for it: one that was deleted with its claims must not get new ones. It is nil where the pod does not
// wait any more.
func (t *term) look(ctx context.Context, pod *waiting) (*provision.Request, error) {
	live := &corev1.Pod{}
	err := t.Ensurer.Live.Get(ctx, pod.Key(), live)
	if apierrors.IsNotFound(err) || err == nil && live.UID != pod.uid {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Pod %s: %w", pod.Key(), err)
	}
	var w waiting
	w.fill(live)
	if !w.Kept() {
		return nil, nil
	}
	return &w.Request, nil
}

// chapter is what there is to tell of a pod, in the words of admission. It is
// empty where all is well, or may be soon.
func chapter(result provision.Result, err error, tries int) note {
	var denial *provision.Denial
	switch {
	case errors.As(err, &denial):
		return note{reason: reasonFailed, message: denial.Error()}
	case err != nil && tries >= toldAfter:
		return note{reason: reasonFailed, message: passing(err)}
	case err == nil && len(result.Warnings) > 0:
		return note{reason: reasonWarning, message: strings.Join(slices.Compact(slices.Sorted(slices.Values(result.Warnings))), "; ")}
	}
	return note{passing: err != nil}
}

// passing is what a tenant is told of trouble that stays although it should pass.
// What an API server says is meant for him; what a connection says is not, and is
// new each time.
func passing(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Message
	}
	return "the API server does not answer in time; it is asked again"
}
