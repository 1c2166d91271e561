package integration

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// addsVolume is a mutating webhook that adds a volume with the claim "cache" to
// every pod; it counts how often it was asked.
func addsVolume(t *testing.T) (server *httptest.Server, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		asked.Add(1)
		patch := admissionv1.PatchTypeJSONPatch
		review.Response = &admissionv1.AdmissionResponse{
			UID: review.Request.UID, Allowed: true, PatchType: &patch,
			Patch: []byte(`[{"op":"add","path":"/spec/volumes/-","value":{"name":"cache","persistentVolumeClaim":{"claimName":"cache"}}}]`),
		}
		review.Request = nil
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review) // an API server that went away does not read an error either
	}))
	t.Cleanup(server.Close)
	return server, asked
}

// A webhook that comes after us adds a volume: we are asked again, and both
// claims exist, each written once.
func TestReinvocationByASecondWebhook(t *testing.T) {
	t.Parallel()
	ns, person := world.namespace(t), world.author(t)
	server, asked := addsVolume(t)
	url := server.URL + "/mutate"
	fail, none, never, seconds := admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.NeverReinvocationPolicy, int32(10)
	world.create(t, &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "zz-" + ns}, // configurations are asked in the order of their names
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name:                    "cache.example.com",
			AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL:      &url,
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
			NamespaceSelector:  &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": ns}},
			FailurePolicy:      &fail,
			SideEffects:        &none,
			ReinvocationPolicy: &never,
			TimeoutSeconds:     &seconds,
		}},
	})
	wait(t, "the second webhook is asked", func(ctx context.Context) error {
		p := pod(ns, "probe", "probe")
		err := world.admin.Create(ctx, p, client.DryRunAll)
		if err == nil && !mounts(p, "cache") {
			err = errors.New("the pod has its own volumes only")
		}
		return err
	})
	asked.Store(0)
	p := hinted(pod(ns, "sb1", "data"), "storage", "2Gi", scoped("cache", "storage"), "3Gi")
	if err := person.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the second webhook was asked %d times", n)
	}
	stored := world.pod(t, ns, "sb1")
	if !mounts(stored, "data") || !mounts(stored, "cache") {
		t.Errorf("the pod's volumes: %v", stored.Spec.Volumes)
	}
	if got := stored.Annotations[domain+"/created"]; got != "data,cache" {
		t.Errorf("the pod says that %q were created", got)
	}
	world.wantClaims(t, ns, "cache", "data")
	for name, want := range map[string]string{"data": "2Gi", "cache": "3Gi"} {
		c := world.claim(t, ns, name)
		if got := c.Spec.Resources.Requests.Storage().String(); got != want {
			t.Errorf("claim %s has %s, want %s", name, got, want)
		}
		if by := managers(c); !slices.Equal(by, []string{"ensure-volumes Update"}) {
			t.Errorf("claim %s was written by %q", name, by)
		}
	}
	if calls := world.calls(t, ns); !slices.Equal(calls, []string{"create persistentvolumeclaims", "create persistentvolumeclaims"}) {
		t.Errorf("the webhook's calls: %q", calls)
	}
	// When we are asked first, the pod does not use that claim yet.
	if warned, want := person.warned(), []string{`hints for claim "cache" have no effect: it is not used`}; !slices.Equal(warned, want) {
		t.Errorf("warned %q, want %q", warned, want)
	}
}

// mounts tells whether a pod refers to a claim.
func mounts(p *corev1.Pod, claim string) bool {
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == claim
	})
}
