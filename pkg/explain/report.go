package explain

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/mutate"
)

// What a [Report] says of itself. A field is added without a change of the
// version; none is taken away or given another meaning.
const (
	Version = "explain.volumes.opensandbox.io/v1"
	Kind    = "Explanation"
)

// Report is the answer for a manifest. Its texts can be shown on a terminal:
// they went through [Printable].
type Report struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Pods are the pods, in the order of the manifest.
	Pods []Pod `json:"pods"`
	// Notes say what the answer rests on.
	Notes []string `json:"notes,omitempty"`
}

// Pod is what would become of one pod.
type Pod struct {
	// Object is the object of the manifest that the pod comes from: itself, or its controller.
	Object Reference `json:"object"`
	// Namespace and Name are the pod's; a generated name ends in "*".
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Allowed   bool   `json:"allowed"`
	// Refusal is why the pod is refused.
	Refusal *Refusal `json:"refusal,omitempty"`
	Claims  []Claim  `json:"claims"`
	// Faults are hints that cannot be followed, also where the pod is allowed
	// because their claims exist.
	Faults []Cause `json:"faults,omitempty"`
	// Warnings are what the webhook would say to whoever creates the pod.
	Warnings []string `json:"warnings,omitempty"`
	Notes    []string `json:"notes,omitempty"`
}

// Reference names an object of the manifest.
type Reference struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
}

// Refusal is the webhook's denial.
type Refusal struct {
	Code    int32   `json:"code"`
	Reason  string  `json:"reason"`
	Message string  `json:"message"`
	Causes  []Cause `json:"causes,omitempty"`
}

// Cause is one thing that is wrong.
type Cause struct {
	// Path says where it stands.
	Path string `json:"path"`
	Text string `json:"text"`
}

// What becomes of a claim.
const (
	Create = "create" // it is missing, and the webhook creates it
	Use    = "use"    // it exists, and is used as it is
	Leave  = "leave"  // it is missing, and is not created
)

// Claim is what becomes of one claim of a pod.
type Claim struct {
	Name   string `json:"name"`
	Action string `json:"action"`
	// Values are the claim's. While a hint of the claim is faulty only those stand here that hints name.
	Values []Value `json:"values,omitempty"`
	// Manifest is the claim as it would be created, but for the time and the user.
	Manifest map[string]any `json:"manifest,omitempty"`
}

// Where a value comes from, if from no hint.
const (
	FromDefault  = "default"
	FromExisting = "the claim as it exists"
)

// Value is one field of a claim.
type Value struct {
	Field string `json:"field"`
	Value string `json:"value"`
	// From is the path of the hint, [FromDefault] or [FromExisting].
	From string `json:"from"`
}

// Failed reports whether a pod is refused or a hint is faulty.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Pods, func(p Pod) bool { return !p.Allowed || len(p.Faults) > 0 })
}

// describe puts together what is told about one pod.
func (r *run) describe(ctx context.Context, o *Object, namespace string, p pod, v mutate.Verdict, created []*corev1.PersistentVolumeClaim) Pod {
	out := Pod{
		Object:    Reference{APIVersion: o.kind.GroupVersion().String(), Kind: o.kind.Kind, Namespace: namespace, Name: o.name()},
		Namespace: namespace, Allowed: v.Response.Allowed, Claims: []Claim{}, Warnings: v.Response.Warnings, Notes: p.notes,
	}
	var named struct {
		Metadata metadata `json:"metadata"`
	}
	_ = json.Unmarshal(p.raw, &named) // the handler has read it
	out.Name = generated(named.Metadata.Name, named.Metadata.GenerateName)
	if s := v.Response.Result; s != nil {
		out.Refusal = &Refusal{Code: s.Code, Reason: string(s.Reason), Message: s.Message}
		for _, c := range s.Details.Causes {
			out.Refusal.Causes = append(out.Refusal.Causes, Cause{c.Field, c.Message})
		}
	}
	for _, w := range v.Result.Wants {
		for _, f := range w.Faults {
			if c := (Cause{f.Path, f.Text}); !slices.Contains(out.Faults, c) {
				out.Faults = append(out.Faults, c)
			}
		}
	}
	for i, u := range v.Request.Claims {
		c := Claim{Name: u.Name, Action: Leave}
		made := slices.IndexFunc(created, func(pvc *corev1.PersistentVolumeClaim) bool { return pvc.Name == u.Name })
		exists := r.world.claims[client.ObjectKey{Namespace: namespace, Name: u.Name}]
		switch {
		case made >= 0:
			c.Action, c.Manifest = Create, manifestOf(created[made])
		case exists != nil:
			c.Action, c.Values = Use, valuesOf(exists)
		}
		if c.Action != Use && len(v.Result.Wants) > 0 {
			c.Values = r.wanted(&v.Result.Wants[i])
		}
		out.Claims = append(out.Claims, c)
	}
	if len(v.Request.Claims) == 0 && out.Allowed {
		out.Notes = append(out.Notes, "it uses no claim: the webhook is not called")
	} else if note := r.asleep(ctx, namespace); note != "" && out.Allowed {
		out.Notes = append(out.Notes, note)
	}
	return out
}

// asleep says why nothing is created in a namespace.
func (r *run) asleep(ctx context.Context, namespace string) string {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	switch err := r.world.Get(ctx, client.ObjectKey{Name: namespace}, object); {
	case err != nil:
		return "Namespace " + namespace + " does not exist: the webhook is not called"
	case object.Labels[claim.KeyAutoCreate] != claim.Enabled:
		return "Namespace " + namespace + " lacks the label " + claim.KeyAutoCreate + ": " + claim.Enabled + ": the webhook is not called"
	}
	return ""
}

// wanted are the values of a missing claim.
func (r *run) wanted(w *claim.Want) []Value {
	class := w.StorageClass.Value
	if !w.StorageClass.Hinted() {
		class = r.world.defaultClass()
	}
	var values []Value
	for _, v := range []struct {
		field, value string
		from         claim.Origin
	}{
		{"storage", w.Storage.Value.String(), w.Storage.From},
		{"storageClass", class, w.StorageClass.From},
		{"accessModes", w.AccessModes.Value.String(), w.AccessModes.From},
		{"createIfNotExists", strconv.FormatBool(w.CreateIfNotExists.Value), w.CreateIfNotExists.From},
		{"deleteOnSandboxTermination", strconv.FormatBool(w.DeleteOnSandboxTermination.Value), w.DeleteOnSandboxTermination.From},
	} {
		from := v.from.String()
		if from == "" {
			from = FromDefault
		}
		// What is faulty looks like what is not hinted: its default would be no value.
		if v.from.Hinted() || len(w.Faults) == 0 {
			values = append(values, Value{v.field, v.value, from})
		}
	}
	return values
}

// valuesOf are the values of a claim that exists.
func valuesOf(pvc *corev1.PersistentVolumeClaim) []Value {
	var modes []string
	for _, m := range pvc.Spec.AccessModes {
		modes = append(modes, string(m))
	}
	values := []Value{{"storage", pvc.Spec.Resources.Requests.Storage().String(), FromExisting}}
	if pvc.Spec.StorageClassName != nil {
		values = append(values, Value{"storageClass", *pvc.Spec.StorageClassName, FromExisting})
	}
	return append(values, Value{"accessModes", strings.Join(modes, ","), FromExisting})
}

// manifestOf is a claim as it would be created, without what is only known then.
func manifestOf(pvc *corev1.PersistentVolumeClaim) map[string]any {
	pvc = pvc.DeepCopy()
	pvc.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}
	delete(pvc.Annotations, claim.KeyCreated)
	delete(pvc.Annotations, claim.KeyRequestedBy)
	var manifest map[string]any
	text, _ := json.Marshal(pvc) // of a claim: cannot fail, nor can reading it again
	_ = json.Unmarshal(text, &manifest)
	delete(manifest, "status")
	return manifest
}
