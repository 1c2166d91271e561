package integration

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func tooMany(int, *corev1.PersistentVolumeClaim) error {
	return apierrors.NewTooManyRequests("not now", 1)
}

// The API server repeats a review that we could not answer, and the pod's author
// waits a moment and notices nothing else.
func TestTroubleThatPassesIsRepeated(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]error{
		"too many requests":     tooMany(0, nil),
		"an unreachable server": fmt.Errorf("dial tcp 127.0.0.1:1: connect: %w", syscall.ECONNREFUSED),
		"a server's own error":  apierrors.NewInternalError(fmt.Errorf("etcdserver: request timed out")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := world.fragile(t, func(before int, _ *corev1.PersistentVolumeClaim) error {
				if before < 2 {
					return trouble
				}
				return nil
			})
			ns := f.install(t, "passing.example.com", admissionregistrationv1.Fail, 10)
			person, start := world.author(t), time.Now()
			if err := person.Create(t.Context(), hinted(pod(ns, "sb1", "data"), "storage", "2Gi")); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < 2*time.Second {
				t.Errorf("it took %s: the API server did not wait the second that each Retry-After asks for", took)
			}
			if reviews, tries := f.reviews.Load(), f.tries.Load(); reviews != 3 || tries != 3 {
				t.Errorf("%d reviews were sent and %d creates tried, want 3 and 3", reviews, tries)
			}
			if warned := person.warned(); len(warned) > 0 {
				t.Errorf("warned %q", warned)
			}
			if got := world.pod(t, ns, "sb1").Annotations[domain+"/created"]; got != "data" {
				t.Errorf("the pod says that %q were created", got)
			}
			if got, want := world.describe(t.Context(), ns, "data"), "2Gi standard [ReadWriteOnce]"; got != want {
				t.Errorf("the claim: %s, want %s", got, want)
			}
		})
	}
}

// Trouble that stays is the operator's failurePolicy's to decide on.
func TestTroubleThatStays(t *testing.T) {
	t.Parallel()
	t.Run("under Fail", func(t *testing.T) {
		t.Parallel()
		f := world.fragile(t, tooMany)
		ns := f.install(t, "staying.example.com", admissionregistrationv1.Fail, 3)
		s := status(t, world.author(t).Create(t.Context(), pod(ns, "sb1", "data")))
		if s.Code != 500 || s.Reason != metav1.StatusReasonInternalError || !strings.Contains(s.Message, `failed calling webhook "staying.example.com"`) {
			t.Errorf("got %+v", s)
		}
		// The API server's client drops the text of a 503, so the trouble itself is
		// for the operator to see.
		if said, want := f.log.String(), "creating PersistentVolumeClaim "+ns+"/data: not now"; !strings.Contains(said, want) {
			t.Errorf("the webhook's log holds no %q:\n%s", want, said)
		}
		if reviews := f.reviews.Load(); reviews < 2 {
			t.Errorf("%d reviews were sent", reviews)
		}
		world.wantNothingLeft(t, ns)
	})
	t.Run("under Ignore", func(t *testing.T) {
		t.Parallel()
		const name = "ignored.example.com"
		f := world.fragile(t, tooMany)
		ns := f.install(t, name, admissionregistrationv1.Ignore, 3)
		passed := func() int {
			t.Helper()
			n, err := world.counted(t.Context(), "apiserver_admission_webhook_fail_open_count", "name", name)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := passed()
		if err := world.author(t).Create(t.Context(), pod(ns, "sb1", "data")); err != nil {
			t.Error(err)
		}
		if made, is := world.pod(t, ns, "sb1").Annotations[domain+"/created"]; is {
			t.Errorf("the pod says that %q were created", made)
		}
		world.wantClaims(t, ns)
		// Counted under its own name: the check of the installed webhook's, at the end, does not see it.
		if now := passed(); now != before+1 {
			t.Errorf("%d reviews passed without an answer", now-before)
		}
	})
}

// A webhook whose clock is an hour behind makes a claim that looks like a copy, and says so.
func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	f := world.fragile(t, func(_ int, pvc *corev1.PersistentVolumeClaim) error {
		pvc.Annotations[domain+"/created"] = time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
		return nil
	})
	ns, person := f.install(t, "clocks.example.com", admissionregistrationv1.Fail, 10), world.author(t)
	o := world.owner(t, batchSandbox, ns, "sb1")
	if err := person.Create(t.Context(), by(o, hinted(pod(ns, "sb1-0", "data"), deleteOnTermination, "true"))); err != nil {
		t.Fatal(err)
	}
	world.warned(t, "clocks-differ", person.warned())
	if text := f.log.String(); !strings.Contains(text, "clocks of the webhook and the API server are more than a minute apart") {
		t.Errorf("logged %q", text)
	}
}
