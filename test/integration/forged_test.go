package integration

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// forgedUID is the UID of every forged review.
const forgedUID = "0c000000-0000-4000-8000-00000000000c"

// review is what an API server sends for a pod's creation in the namespace that the request names.
func review(t *testing.T, ns string, p *corev1.Pod) string {
	t.Helper()
	p.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID:       forgedUID,
			Kind:      metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
			Resource:  metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Name:      p.Name,
			Namespace: ns,
			Operation: admissionv1.Create,
			UserInfo:  authenticationv1.UserInfo{Username: "system:admin"},
			Object:    runtime.RawExtension{Raw: raw},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// forge sends a review to the webhook past the API server.
func (g *ground) forge(t *testing.T, ns string, p *corev1.Pod) *admissionv1.AdmissionResponse {
	t.Helper()
	code, said, _, err := ask(t.Context(), g.in, http.MethodPost, "/mutate?timeout=5s", review(t, ns, p))
	var answered admissionv1.AdmissionReview
	if err == nil && code == http.StatusOK {
		err = json.Unmarshal([]byte(said), &answered)
	}
	if err != nil || code != http.StatusOK {
		t.Fatalf("%d %s: %v", code, said, err)
	}
	if answered.Response.UID != forgedUID {
		t.Errorf("the answer is to %q", answered.Response.UID)
	}
	return answered.Response
}

// Whoever reaches the webhook's port can forge a review. That creates nothing
// in a namespace that nobody has enabled.
func TestForgedReviewsForNamespacesThatAreNotEnabled(t *testing.T) {
	t.Parallel()
	disabled := world.bareNamespace(t, map[string]string{domain + "/auto-create": "disabled"})
	for _, ns := range []string{world.quiet(t), disabled, "kube-system", "there-is-no-such-namespace"} {
		t.Run(ns, func(t *testing.T) {
			response := world.forge(t, ns, hinted(pod(ns, "forged", "forged"), "storage", "banana"))
			if !response.Allowed || response.Patch != nil || len(response.Warnings) > 0 || len(response.AuditAnnotations) > 0 {
				t.Errorf("answered %+v", response)
			}
			world.wantClaims(t, ns)
			if calls := world.calls(t, ns); len(calls) > 0 {
				t.Errorf("the webhook's calls: %q", calls)
			}
		})
	}
	// In an enabled one it does: what bounds it there is the tenant's quota.
	ns := world.namespace(t)
	if response := world.forge(t, ns, pod(ns, "forged", "forged")); !response.Allowed || response.Patch == nil {
		t.Errorf("answered %+v", response)
	}
	world.wantClaims(t, ns, "forged")
}

// The request's namespace is the one that the API server has checked; a pod that
// names another is refused, whichever of the two is enabled.
func TestForgedReviewsThatNameTwoNamespaces(t *testing.T) {
	t.Parallel()
	enabled, quiet := world.namespace(t), world.quiet(t)
	for _, pair := range [][2]string{{enabled, quiet}, {quiet, enabled}, {enabled, "kube-system"}} {
		response := world.forge(t, pair[0], pod(pair[1], "forged", "forged"))
		want := `metadata.namespace: the pod names namespace "` + pair[1] + `", the request "` + pair[0] + `"; leave it out of the pod or write the same`
		if response.Allowed || response.Result == nil || response.Result.Code != http.StatusBadRequest || response.Result.Message != want {
			t.Errorf("for %q answered %+v, want %q", pair, response.Result, want)
		}
	}
	for _, ns := range []string{enabled, quiet, "kube-system"} {
		world.wantClaims(t, ns)
		if calls := world.calls(t, ns); slices.Contains(calls, "create persistentvolumeclaims") {
			t.Errorf("the webhook's calls in %s: %q", ns, calls)
		}
	}
}
