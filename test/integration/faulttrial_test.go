package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/test/faulty"
	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// faultTrial is what is asked of the webhook under each fault.
type faultTrial struct {
	proxy       *faulty.Proxy
	ns, failing string

	mu       sync.Mutex
	repeated map[string]string // reviews that were to be repeated, by their claim
}

// policies has the API server wait for 2 s instead of 5, and ask under failurePolicy Fail for the namespace failing,
// until the test ends.
func (f *faultTrial) policies(t *testing.T) {
	t.Helper()
	edit := func(change func(*admissionregistrationv1.MutatingWebhook)) *admissionregistrationv1.MutatingWebhook {
		config := &admissionregistrationv1.MutatingWebhookConfiguration{}
		err := world.admin.Get(context.Background(), client.ObjectKey{Name: stack.Name}, config)
		before := config.DeepCopy()
		if err == nil {
			change(&config.Webhooks[0])
			err = world.admin.Update(context.Background(), config)
		}
		if err != nil {
			t.Fatal(err)
		}
		return &before.Webhooks[0]
	}
	fail, seconds := admissionregistrationv1.Fail, int32(2)
	only := func(operator metav1.LabelSelectorOperator) *metav1.LabelSelector {
		return &metav1.LabelSelector{
			MatchLabels: map[string]string{domain + "/auto-create": "enabled"},
			MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: corev1.LabelMetadataName, Operator: operator, Values: []string{f.failing}},
			},
		}
	}
	shipped := edit(func(hook *admissionregistrationv1.MutatingWebhook) {
		hook.TimeoutSeconds, hook.NamespaceSelector = &seconds, only(metav1.LabelSelectorOpNotIn)
	})
	t.Cleanup(func() { edit(func(hook *admissionregistrationv1.MutatingWebhook) { *hook = *shipped }) })
	twin := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "failing"}}
	twin.Webhooks = []admissionregistrationv1.MutatingWebhook{*shipped.DeepCopy()}
	hook := &twin.Webhooks[0]
	hook.Name, hook.FailurePolicy, hook.TimeoutSeconds = "failing.example.com", &fail, &seconds
	hook.NamespaceSelector = only(metav1.LabelSelectorOpIn)
	world.create(t, twin)
	// The API server takes either in at its own pace; until then it is asked under Ignore.
	wait(t, "the API server asks under Fail, and only so", func(ctx context.Context) error {
		before, err := world.counted(ctx, "apiserver_admission_webhook_admission_duration_seconds_count", "name", entry)
		if err != nil {
			return err
		}
		p := pod(f.failing, "probe", "probe")
		if err := world.admin.Create(ctx, p, client.DryRunAll); err != nil {
			return err
		}
		after, err := world.counted(ctx, "apiserver_admission_webhook_admission_duration_seconds_count", "name", entry)
		if err == nil && (after != before || p.Annotations[domain+"/created"] == "") {
			err = errors.New("it does not yet")
		}
		return err
	})
}

// reviews sends reviews straight to the webhook and holds that they are answered 300 ms before the deadline, by the
// webhook's own clock, in which a machine that is busy with the test has its part: three times late is late.
func (f *faultTrial) reviews(t *testing.T, fault string, percent int) {
	t.Helper()
	late := func() (n float64) {
		samples := world.metrics(t)
		for _, outcome := range []string{"allowed", "created", "retry", "denied", "bad_request", "panic"} {
			n += samples[histogram+`_count{outcome="`+outcome+`"}`] - samples[histogram+`_bucket{outcome="`+outcome+`",le="1"}`]
		}
		return n
	}
	for try := range 3 {
		before := late()
		f.once(t, fault, percent, try)
		n := late() - before
		if n == 0 {
			return
		}
		t.Logf("%s %d %%: %v reviews were answered after the deadline of 1 s", fault, percent, n)
	}
	t.Errorf("%s %d %%: reviews were answered after the deadline, three times", fault, percent)
}

// once sends forty reviews at once: of pods whose claim exists and of others.
func (f *faultTrial) once(t *testing.T, fault string, percent, try int) {
	t.Helper()
	var wg sync.WaitGroup
	var created atomic.Int32
	for i := range 40 {
		name := "there"
		if i%2 > 0 {
			name = fmt.Sprintf("made-%s-%d-%d-%d", fault, percent, try, i)
		}
		body := review(t, f.ns, pod(f.ns, fmt.Sprintf("sb-%d", i), name))
		wg.Go(func() {
			code, said, retryAfter, err := ask(t.Context(), world.in, http.MethodPost, "/mutate?timeout=1s", body)
			switch {
			case err != nil:
				t.Errorf("%s %d %%: claim %s: %v", fault, percent, name, err)
			case code == http.StatusOK && allowed(said):
				if name != "there" {
					created.Add(1)
				}
			case name == "there":
				t.Errorf("%s %d %%: a claim that exists: %d %s", fault, percent, code, said)
			case code != http.StatusServiceUnavailable || retryAfter != "1":
				t.Errorf("%s %d %%: claim %s: %d, Retry-After %q, %s", fault, percent, name, code, retryAfter, said)
			default:
				f.repeat(name, body)
			}
		})
	}
	wg.Wait()
	// Slow is not wrong: who has more time than it costs is answered. A reset takes with it all that its connection has
	// under way, which may be all twenty.
	got := created.Load()
	if percent <= 10 && got == 0 && (percent == 0 || fault != string(faulty.Reset)) || percent == 100 && got > 0 && fault != string(faulty.Slow) {
		t.Errorf("%s %d %%: %d of 20 claims were created at the first try", fault, percent, got)
	}
}

func (f *faultTrial) repeat(name, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.repeated == nil {
		f.repeated = map[string]string{}
	}
	f.repeated[name] = body
}

// allowed reports whether a review was answered, and the pod allowed.
func allowed(said string) bool {
	var answered admissionv1.AdmissionReview
	err := json.Unmarshal([]byte(said), &answered)
	return err == nil && answered.Response != nil && answered.Response.UID == forgedUID && answered.Response.Allowed
}

// reviewAgain sends what was to be repeated, as an API server does: now all of it is answered, and the claims are there.
func (f *faultTrial) reviewAgain(t *testing.T) {
	t.Helper()
	for name, body := range f.repeated {
		wait(t, "the review for claim "+name+" is answered", func(ctx context.Context) error {
			code, said, _, err := ask(ctx, world.in, http.MethodPost, "/mutate?timeout=5s", body)
			if err == nil && (code != http.StatusOK || !allowed(said)) {
				err = fmt.Errorf("%d %s", code, said)
			}
			return err
		})
		if err := world.admin.Get(t.Context(), client.ObjectKey{Namespace: f.ns, Name: name}, &corev1.PersistentVolumeClaim{}); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d reviews were repeated", len(f.repeated))
	f.repeated = nil
}

// pods creates two pods through the API server while every call goes wrong. Under Ignore it is admitted; the other is
// refused under Fail where the webhook could not answer, and returned.
func (f *faultTrial) pods(t *testing.T, fault string) (again []*corev1.Pod) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := world.admin.Create(t.Context(), pod(f.ns, "ignored-"+fault, "ignored-"+fault)); err != nil {
			t.Errorf("under Ignore: %v", err)
		}
	})
	p := pod(f.failing, "failed-"+fault, "failed-"+fault)
	err := world.admin.Create(t.Context(), p.DeepCopy())
	wg.Wait()
	switch {
	case err == nil && fault == string(faulty.Slow):
	case err == nil:
		t.Error("under Fail the pod was admitted without an answer")
	default:
		world.saw(t, "api-server-fails", err)
		if s := status(t, err); s.Code != 500 || !strings.Contains(s.Message, `failed calling webhook "failing.example.com"`) {
			t.Errorf("under Fail: %+v", s)
		}
		again = append(again, p)
	}
	return again
}

// admit creates a pod and holds that it is there with its claim.
func (f *faultTrial) admit(ctx context.Context, p *corev1.Pod) error {
	p = p.DeepCopy()
	if err := world.admin.Create(ctx, p); err != nil {
		return err
	}
	name := p.Spec.Volumes[0].PersistentVolumeClaim.ClaimName
	return world.admin.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: name}, &corev1.PersistentVolumeClaim{})
}

// wantNothingHeld waits until the webhook holds no more than before: goroutines, open files and memory. Some is for
// connections that the API server keeps, and for what the runtime gives back in its own time.
func (g *ground) wantNothingHeld(t *testing.T, before map[string]float64) {
	t.Helper()
	wait(t, "the webhook holds no more than before", func(context.Context) error {
		now := g.metrics(t)
		var errs []error
		for name, more := range map[string]float64{"go_goroutines": 20, "process_open_fds": 10, "process_resident_memory_bytes": 16 << 20} {
			if now[name] > before[name]+more {
				errs = append(errs, fmt.Errorf("%s: %.0f before, %.0f now", name, before[name], now[name]))
			}
		}
		if errs == nil {
			t.Logf("goroutines %.0f to %.0f, files %.0f to %.0f, resident %.1f to %.1f MiB",
				before["go_goroutines"], now["go_goroutines"], before["process_open_fds"], now["process_open_fds"],
				before["process_resident_memory_bytes"]/(1<<20), now["process_resident_memory_bytes"]/(1<<20))
		}
		return errors.Join(errs...)
	})
}
