package mutate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/ensure-volumes/ensure-volumes/pkg/mutate"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// newHandler is a handler over an enabled namespace "sandboxes" and nothing else.
func newHandler(t *testing.T, funcs interceptor.Funcs) (*mutate.Handler, client.Client) {
	t.Helper()
	config := settings{}.config(t)
	config.DefaultStorage = resource.MustParse("1Gi")
	namespace := objects(t, "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: sandboxes\n  labels: {volumes.opensandbox.io/auto-create: enabled}\n")
	// The default type converter takes longer to build than all the rest: FuzzReview builds two handlers for each input.
	c := fake.NewClientBuilder().WithTypeConverters(managedfields.NewDeducedTypeConverter()).
		WithScheme(newScheme(t)).WithRESTMapper(config.OwnerKinds.Mapper()).WithObjects(namespace...).WithInterceptorFuncs(funcs).Build()
	claims := &provision.Claims{}
	if err := claims.Replace(nil, ""); err != nil {
		t.Fatal(err)
	}
	return &mutate.Handler{
		Ensurer: &provision.Ensurer{Live: c, Cached: c, Claims: claims, Config: config},
		Log:     logr.Discard(),
	}, c
}

const goodReview = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1",
"resource":{"group":"","version":"v1","resource":"pods"},"operation":"CREATE","namespace":"sandboxes",
"object":{"metadata":{"name":"p"},"spec":{"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"data"}}]}}}}`

// TestUnreadable: what is no review for us is an HTTP 4xx that says what to send, and leaves nothing behind.
func TestUnreadable(t *testing.T) {
	replace := func(old, to string) string {
		if !strings.Contains(goodReview, old) {
			t.Fatalf("the review has no %q", old)
		}
		return strings.Replace(goodReview, old, to, 1)
	}
	tests := []struct {
		name, method, contentType, body string
		code                            int
		says                            string
	}{
		{"method", http.MethodGet, "application/json", goodReview, 405, "with POST"},
		{"content type", http.MethodPost, "text/plain", goodReview, 415, "application/json"},
		{"no content type", http.MethodPost, "", goodReview, 415, "application/json"},
		{"too large", http.MethodPost, "application/json", goodReview + strings.Repeat(" ", 4<<20), 413, "larger than 4194304 bytes"},
		{"empty", http.MethodPost, "application/json", "", 400, "no AdmissionReview"},
		{"truncated", http.MethodPost, "application/json", goodReview[:len(goodReview)-5], 400, "no AdmissionReview"},
		{"trailing", http.MethodPost, "application/json", goodReview + "{}", 400, "no AdmissionReview"},
		{"a list", http.MethodPost, "application/json", "[]", 400, "no AdmissionReview"},
		{"v1beta1", http.MethodPost, "application/json", replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1"), 400, "send an AdmissionReview of admission.k8s.io/v1"},
		{"another kind", http.MethodPost, "application/json", replace("AdmissionReview", "Pod"), 400, "send an AdmissionReview"},
		{"no request", http.MethodPost, "application/json", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, 400, "no request"},
		{"no uid", http.MethodPost, "application/json", replace(`"uid":"u1",`, ""), 400, "no uid"},
		{"no namespace", http.MethodPost, "application/json", replace(`"namespace":"sandboxes",`, ""), 400, "no namespace"},
		{"not a pod", http.MethodPost, "application/json", replace(`"resource":"pods"`, `"resource":"services"`), 400, "only CREATE of v1 pods"},
		{"subresource", http.MethodPost, "application/json", replace(`"operation"`, `"subResource":"eviction","operation"`), 400, "only CREATE of v1 pods"},
		{"update", http.MethodPost, "application/json", replace("CREATE", "UPDATE"), 400, "only CREATE of v1 pods"},
		{"no object", http.MethodPost, "application/json", goodReview[:strings.Index(goodReview, `,
"object"`)] + "}}", 400, "no object"},
		{"annotations no strings", http.MethodPost, "application/json", replace(`"name":"p"`, `"annotations":{"a":1}`), 400, "no AdmissionReview"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, c := newHandler(t, interceptor.Funcs{})
			r := httptest.NewRequest(tt.method, "/mutate?timeout=5s", strings.NewReader(tt.body))
			if tt.contentType != "" {
				r.Header.Set("Content-Type", tt.contentType)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) {
				t.Errorf("answered %d %q, not %d with %q", w.Code, w.Body, tt.code, tt.says)
			}
			var list corev1.PersistentVolumeClaimList
			if err := c.List(t.Context(), &list); err != nil || len(list.Items) > 0 {
				t.Errorf("claims left behind: %v %v", list.Items, err)
			}
		})
	}
}

func post(h http.Handler, url, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, url, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestAnnotationsFull: a patch that would overflow the pod's annotations would
// get the pod rejected, so it is left out, and the claim is created all the same.
func TestAnnotationsFull(t *testing.T) {
	const limit = 256 << 10
	own := len("volumes.opensandbox.io/created") + len("data")
	for _, tt := range []struct {
		name    string
		size    int
		patched bool
	}{{"just fits", limit - own, true}, {"one byte more", limit - own + 1, false}} {
		t.Run(tt.name, func(t *testing.T) {
			h, c := newHandler(t, interceptor.Funcs{})
			annotation := `"annotations":{"k":"` + strings.Repeat("x", tt.size-1) + `"},"name":"p"`
			w := post(h, "/mutate", strings.Replace(goodReview, `"name":"p"`, annotation, 1))
			var review admissionv1.AdmissionReview
			if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil {
				t.Fatal(err, w.Body)
			}
			warned := strings.Contains(strings.Join(review.Response.Warnings, "\n"), "annotations are full")
			if !review.Response.Allowed || (review.Response.Patch != nil) != tt.patched || warned == tt.patched {
				t.Errorf("allowed %v, patch %s, warnings %q", review.Response.Allowed, review.Response.Patch, review.Response.Warnings)
			}
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: "sandboxes", Name: "data"}, &corev1.PersistentVolumeClaim{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWarningsFit: the API server cuts warnings to 4096 characters in all and 256 each; ours are cut so that they end in words.
func TestWarningsFit(t *testing.T) {
	h, _ := newHandler(t, interceptor.Funcs{})
	var hints []string
	for i := range 200 {
		hints = append(hints, `"unused`+strings.Repeat("x", 60)+string(rune('a'+i%26))+string(rune('a'+i/26))+`.volumes.opensandbox.io/storage":"1Gi"`)
	}
	w := post(h, "/mutate", strings.Replace(goodReview, `"name":"p"`, `"annotations":{`+strings.Join(hints, ",")+`},"name":"p"`, 1))
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil {
		t.Fatal(err, w.Body)
	}
	total := 0
	for _, warning := range review.Response.Warnings {
		total += len(warning)
		if len(warning) > 120 {
			t.Errorf("%d bytes: %s", len(warning), warning)
		}
	}
	last := review.Response.Warnings[len(review.Response.Warnings)-1]
	if total > 4096 || !strings.HasSuffix(last, "more warnings") {
		t.Errorf("%d bytes in all, the last is %q", total, last)
	}
}

// TestPanic: a mistake of ours is an HTTP 500 for one request and a log line, not a connection torn down.
func TestPanic(t *testing.T) {
	h, _ := newHandler(t, interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return nil },
	})
	h.Ensurer.Claims = nil
	if w := post(h, "/mutate", goodReview); w.Code != http.StatusInternalServerError {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

// TestDeadline: whatever timeout the API server names, the answer leaves before it.
func TestDeadline(t *testing.T) {
	hang := interceptor.Funcs{Create: func(ctx context.Context, _ client.WithWatch, _ client.Object, _ ...client.CreateOption) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	for _, timeout := range []time.Duration{400 * time.Millisecond, time.Second, 2 * time.Second} {
		t.Run(timeout.String(), func(t *testing.T) {
			t.Parallel()
			h, _ := newHandler(t, hang)
			start := time.Now()
			w := post(h, "/mutate?timeout="+timeout.String(), goodReview)
			if took := time.Since(start); took >= timeout {
				t.Errorf("took %v", took)
			}
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
				t.Errorf("answered %d %v", w.Code, w.Header())
			}
		})
	}
}

// TestClientGone: a client that has gone away ends the work for it.
func TestClientGone(t *testing.T) {
	ended := make(chan error, 1)
	h, _ := newHandler(t, interceptor.Funcs{Create: func(ctx context.Context, _ client.WithWatch, _ client.Object, _ ...client.CreateOption) error {
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/mutate?timeout=30s", strings.NewReader(goodReview))
	r.Header.Set("Content-Type", "application/json")
	time.AfterFunc(50*time.Millisecond, cancel)
	h.ServeHTTP(httptest.NewRecorder(), r)
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	default:
		t.Error("the create was not reached")
	}
}

// TestMetrics: each review is counted once, under what became of it.
func TestMetrics(t *testing.T) {
	h, _ := newHandler(t, interceptor.Funcs{})
	registry := prometheus.NewRegistry()
	var err error
	if h.Metrics, err = mutate.NewMetrics(registry); err != nil {
		t.Fatal(err)
	}
	post(h, "/mutate", goodReview)                                             // created
	post(h, "/mutate", strings.Replace(goodReview, `"data"`, `"NO"`, 1))       // denied
	post(h, "/mutate", "nonsense")                                             // bad request
	post(h, "/mutate", strings.Replace(goodReview, `"sandboxes"`, `"xyz"`, 1)) // allowed: not enabled
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			label := m.GetLabel()[0].GetValue()
			if f.GetName() == "ensure_volumes_admission_duration_seconds" {
				got[label] = m.GetHistogram().GetSampleCount()
			} else {
				got["claims dry_run="+label] = uint64(m.GetCounter().GetValue())
			}
		}
	}
	want := map[string]uint64{"created": 1, "denied": 1, "bad_request": 1, "allowed": 1, "retry": 0, "panic": 0, "claims dry_run=false": 1, "claims dry_run=true": 0}
	if len(got) != len(want) {
		t.Errorf("series: %v", got)
	}
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%s: %d, not %d", k, got[k], n)
		}
	}
}

// TestVeryManyClaims: all are counted, whatever their names are like, though few are kept; also where the switch is off.
func TestVeryManyClaims(t *testing.T) {
	var volumes []string
	for i := range 1000 {
		volumes = append(volumes, fmt.Sprintf(`{"persistentVolumeClaim":{"claimName":"data-%d"}}`, i%500))
	}
	body := strings.Replace(goodReview, `{"name":"v","persistentVolumeClaim":{"claimName":"data"}}`, strings.Join(volumes, ","), 1)
	h, _ := newHandler(t, interceptor.Funcs{})
	r := response(t, post(h, "/mutate", body).Body.Bytes())
	if want := "spec.volumes: the pod has 500 different claims; the limit is 64, use fewer"; r.Allowed || r.Result.Message != want {
		t.Errorf("answered %+v, want %q", r, want)
	}
	h.Ensurer.AutoCreate = false
	r = response(t, post(h, "/mutate", body).Body.Bytes())
	want := "the pod has 244 more claims than are looked for; the operator has switched creation off"
	if !r.Allowed || len(r.Warnings) < 2 || r.Warnings[0] != want || !strings.HasPrefix(r.Warnings[1], `claim "data-0" does not exist`) {
		t.Errorf("answered %+v, want %q first", r, want)
	}
}
