package mutate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// maxWarnings is how long the warnings of a response are in all. The API server cuts at 4096.
const maxWarnings = 4000

// annotate patches the pod with the names of the claims that were created for
// it. Of the names that stand there already those stay that are claims of this
// pod: an earlier invocation's. What was created for a review that then had to
// be repeated is not among them. Nothing reads the annotation back.
func (q *request) annotate(response *admissionv1.AdmissionResponse, created []string, claims []provision.Use) {
	annotations := q.Object.Annotations
	var names []string
	for _, name := range append(strings.Split(annotations[claim.KeyCreated], ","), created...) {
		used := slices.ContainsFunc(claims, func(u provision.Use) bool { return u.Name == name })
		if used && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	value := strings.Join(names, ",")
	size := q.Object.Annotated + len(claim.KeyCreated) + len(value)
	if before, ok := annotations[claim.KeyCreated]; ok {
		size -= len(claim.KeyCreated) + len(before)
	}
	if size > validation.TotalAnnotationSizeLimitB {
		response.Warnings = append(response.Warnings,
			"the pod's annotations are full: "+claim.KeyCreated+" was left out")
		return
	}
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	patch := operation{"add", "/metadata/annotations/" + strings.ReplaceAll(claim.KeyCreated, "/", "~1"), value}
	if annotations == nil {
		patch = operation{"add", "/metadata/annotations", map[string]string{claim.KeyCreated: value}}
	}
	response.Patch, _ = json.Marshal([]operation{patch}) // of strings: cannot fail
	kind := admissionv1.PatchTypeJSONPatch
	response.PatchType = &kind
}

// fit drops what stands twice, cuts what is too long and counts what does not fit.
func fit(warnings []string) []string {
	var kept []string
	total := 0
	for i, w := range warnings {
		if slices.Contains(warnings[:i], w) {
			continue
		}
		if len(w) > claim.MaxWarning {
			w = strings.ToValidUTF8(w[:claim.MaxWarning-3], "") + "..."
		}
		if total += len(w); total > maxWarnings {
			return append(kept, fmt.Sprintf("and %d more warnings", len(warnings)-i))
		}
		kept = append(kept, w)
	}
	return kept
}

// namespaceMismatch refuses a pod that names another namespace than the request
// does: only the request's is checked by the API server.
func namespaceMismatch(q *request, object string) *metav1.Status {
	message := fmt.Sprintf("the pod names namespace %s, the request %s; leave it out of the pod or write the same",
		claim.Quote(object, 64), claim.Quote(q.Namespace, 64))
	return &metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusBadRequest,
		Reason:  metav1.StatusReasonBadRequest,
		Message: "metadata.namespace: " + message,
		Details: &metav1.StatusDetails{Kind: "Pod", Name: q.Object.Name},
	}
}
