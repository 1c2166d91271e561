package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/pkg/mutate"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// What a pod whose claims exist may cost; docs/performance.md says what it does.
const (
	mostAllocations = 40
	mostBytes       = 16 << 10
)

// TestHandlerCost holds what a pod whose claims exist costs: no call of the API
// server, few allocations, little memory. Time is left to BenchmarkHandler.
func TestHandlerCost(t *testing.T) {
	h := newHotHandler(t)
	before := h.calls.Load()
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.serve(b)
		}
	})
	if n := h.calls.Load() - before; n != 0 {
		t.Errorf("%d calls of the API server", n)
	}
	if n := result.AllocsPerOp(); n > mostAllocations {
		t.Errorf("%d allocations, more than %d", n, mostAllocations)
	}
	if n := result.AllocedBytesPerOp(); n > mostBytes {
		t.Errorf("%d bytes allocated, more than %d", n, mostBytes)
	}
}

// BenchmarkHandler is what `make bench-handler` prints. Besides the time it has
// that of the processor: what else the machine does does not count there.
func BenchmarkHandler(b *testing.B) {
	h := newHotHandler(b)
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		h.serve(b)
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

func processorTime(t testing.TB) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// hotHandler is the handler as the webhook puts it together, on caches that are
// filled, and one review for it.
type hotHandler struct {
	handler *mutate.Handler
	calls   *atomic.Int64 // that the API server has seen
	review  []byte

	request *http.Request
	body    body
	answer  answer
}

func newHotHandler(t testing.TB) *hotHandler {
	t.Helper()
	h := &hotHandler{calls: new(atomic.Int64), review: review(t), answer: answer{header: http.Header{}}}
	server := httptest.NewServer(apiServer(h.calls))
	t.Cleanup(server.Close)
	cfg := &rest.Config{Host: server.URL, QPS: -1}
	kinds, err := provision.ParseOwnerKinds("BatchSandbox.sandbox.opensandbox.io/batchsandboxes")
	if err != nil {
		t.Fatal(err)
	}
	_, live, err := newClients(cfg, server.Client(), kinds.Mapper())
	if err != nil {
		t.Fatal(err)
	}
	cached, err := newCache(cfg, server.Client(), kinds.Mapper())
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = cached.Start(t.Context()) }()
	if !cached.WaitForCacheSync(t.Context()) {
		t.Fatal("the cache is not filled")
	}
	claims := &provision.Claims{}
	if err := claims.Replace([]any{
		existing("alice-home", "10Gi", "standard", corev1.ReadWriteOnce),
		existing("models", "200Gi", "fast", corev1.ReadWriteMany),
	}, ""); err != nil {
		t.Fatal(err)
	}
	metrics, err := mutate.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	h.handler = &mutate.Handler{
		Ensurer: &provision.Ensurer{Live: live, Cached: cached, Claims: claims, Config: provision.Config{
			AutoCreate: true, DefaultStorage: resource.MustParse("1Gi"), MissingClass: provision.DenyMissingClass,
			DeleteWithOwner: true, OwnerKinds: kinds,
		}},
		Log: logr.Discard(), Metrics: metrics,
	}
	h.request = httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mutate?timeout=5s", nil)
	h.request.Body = &h.body
	h.request.ContentLength = int64(len(h.review))
	h.request.Header.Set("Content-Type", "application/json")
	h.serve(t)
	var got admissionv1.AdmissionReview
	if err := json.Unmarshal(h.answer.body, &got); err != nil {
		t.Fatal(err)
	}
	if r := got.Response; r == nil || !r.Allowed || r.Patch != nil || len(r.Warnings) > 0 {
		t.Fatalf("answered %s", h.answer.body)
	}
	return h
}

// serve has the handler answer the review once.
func (h *hotHandler) serve(t testing.TB) {
	h.body.Reset(h.review)
	h.answer.code, h.answer.body = http.StatusOK, h.answer.body[:0]
	h.handler.ServeHTTP(&h.answer, h.request)
	if h.answer.code != http.StatusOK {
		t.Fatalf("answered %d %s", h.answer.code, h.answer.body)
	}
}

// review is the pod of testdata as the API server asks about it.
func review(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/pod.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	if err := yaml.UnmarshalStrict(text, &pod); err != nil {
		t.Fatal(err)
	}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	object, err := json.Marshal(&pod)
	if err != nil {
		t.Fatal(err)
	}
	if len(object) < 10<<10 || len(object) > 11<<10 {
		t.Fatalf("the pod has %d bytes, not 10 KiB", len(object))
	}
	no := false
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID:             "705ab4f5-6393-11e8-b7cc-42010a800002",
			Kind:            metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
			Resource:        metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			RequestKind:     &metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
			RequestResource: &metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Name:            pod.Name, Namespace: pod.Namespace, Operation: admissionv1.Create,
			UserInfo: authenticationv1.UserInfo{
				Username: "system:serviceaccount:opensandbox:controller-manager",
				UID:      "0d1e7a8c-93a5-4a3e-8c4b-1f0c8f2c7a55",
				Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:opensandbox", "system:authenticated"},
				Extra:    map[string]authenticationv1.ExtraValue{"authentication.kubernetes.io/pod-name": {"controller-manager-6c8f"}},
			},
			Object:  runtime.RawExtension{Raw: object},
			DryRun:  &no,
			Options: runtime.RawExtension{Raw: []byte(`{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}`)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func existing(name, size, class string, mode corev1.PersistentVolumeAccessMode) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sandboxes", Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{mode}, StorageClassName: &class,
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}},
		},
		Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
	}
}

// apiServer knows of the namespace sandboxes, which is enabled, and counts what
// it is asked. It stands for the real one, which package test/integration asks.
func apiServer(calls *atomic.Int64) http.Handler {
	lists := map[string]string{
		"/api/v1/namespaces": `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"1"},"items":[
			{"metadata":{"name":"sandboxes","resourceVersion":"1","labels":{"volumes.opensandbox.io/auto-create":"enabled"}}}]}`,
		"/apis/storage.k8s.io/v1/storageclasses": `{"kind":"StorageClassList","apiVersion":"storage.k8s.io/v1","metadata":{"resourceVersion":"1"},"items":[]}`,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.Header().Set("Content-Type", "application/json")
		list, known := lists[r.URL.Path]
		q := r.URL.Query()
		switch {
		case !known, q.Get("sendInitialEvents") == "true":
			// The second makes the watcher list first, as with an older API server.
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
		case q.Get("watch") != "":
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			_, _ = io.Copy(w, strings.NewReader(list))
		}
	})
}

// body is a request's that can be read again.
type body struct{ bytes.Reader }

func (*body) Close() error { return nil }

// answer takes an answer and keeps its memory for the next.
type answer struct {
	header http.Header
	code   int
	body   []byte
}

func (a *answer) Header() http.Header             { return a.header }
func (a *answer) WriteHeader(code int)            { a.code = code }
func (a *answer) SetReadDeadline(time.Time) error { return nil }

func (a *answer) Write(p []byte) (int, error) {
	a.body = append(a.body, p...)
	return len(p), nil
}
