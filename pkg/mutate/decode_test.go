package mutate

import (
	"maps"
	"reflect"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/json"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// standard is a review as the API server's own JSON reader sees it.
type standard struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Request    *struct {
		UID         types.UID                   `json:"uid"`
		Resource    metav1.GroupVersionResource `json:"resource"`
		SubResource string                      `json:"subResource"`
		Operation   string                      `json:"operation"`
		Namespace   string                      `json:"namespace"`
		UserInfo    struct {
			Username string `json:"username"`
		} `json:"userInfo"`
		DryRun bool         `json:"dryRun"`
		Object *standardPod `json:"object"`
	} `json:"request"`
}

type standardPod struct {
	Metadata struct {
		Name            string            `json:"name"`
		GenerateName    string            `json:"generateName"`
		Namespace       string            `json:"namespace"`
		Annotations     map[string]string `json:"annotations"`
		Labels          map[string]string `json:"labels"`
		OwnerReferences []struct {
			APIVersion string    `json:"apiVersion"`
			Kind       string    `json:"kind"`
			Name       string    `json:"name"`
			UID        types.UID `json:"uid"`
			Controller *bool     `json:"controller"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		Volumes []struct {
			PersistentVolumeClaim *struct {
				ClaimName string `json:"claimName"`
			} `json:"persistentVolumeClaim"`
		} `json:"volumes"`
	} `json:"spec"`
}

// pod is what of it is read here.
func (p *standardPod) pod() *pod {
	if p == nil {
		return nil
	}
	m := &p.Metadata
	out := &pod{
		Name: m.Name, GenerateName: m.GenerateName, Namespace: m.Namespace,
		Annotations: only(m.Annotations, func(key string) bool { return key == corev1.MirrorPodAnnotationKey }),
		Labels:      only(m.Labels, provision.NeedsLabel[string]),
	}
	for k, v := range m.Annotations {
		out.Annotated += len(k) + len(v)
	}
	for _, r := range m.OwnerReferences {
		if out.Controller == nil && r.Controller != nil && *r.Controller {
			out.Controller = &metav1.OwnerReference{APIVersion: r.APIVersion, Kind: r.Kind, Name: r.Name, UID: r.UID}
		}
	}
	seen := map[string]bool{}
	for i, v := range p.Spec.Volumes {
		if v.PersistentVolumeClaim == nil {
			continue
		}
		name := v.PersistentVolumeClaim.ClaimName
		name = name[:min(len(name), longestName)]
		if seen[name] {
			continue
		}
		seen[name] = true
		if len(out.Claims) == mostClaims {
			out.More++
		} else {
			out.Claims = append(out.Claims, provision.Use{Name: name, Path: "spec.volumes[" + strconv.Itoa(i) + "].persistentVolumeClaim.claimName"})
		}
	}
	return out
}

// only are the hints, and what else is needed.
func only(all map[string]string, needed func(key string) bool) map[string]string {
	kept := maps.Clone(all)
	for key, value := range all {
		switch {
		case claim.Concerns(key):
		case needed(key):
			kept[key] = value[:min(len(value), longestValue)]
		default:
			delete(kept, key)
		}
	}
	return kept
}

const smallReview = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","resource":{"group":"","version":"v1","resource":"pods"},
"operation":"CREATE","namespace":"n","userInfo":{"username":"me","groups":["a"]},"dryRun":false,"object":{"metadata":{"name":"p","generateName":"p-",
"namespace":"n","annotations":{"a":"\u00e9","b":null,"a.Volumes.opensandbox.io/storage":"\u00e9","volumes.opensandbox.io/created":"x"},"labels":{"opensandbox.io/id":"1","l":"v"},"ownerReferences":[{"apiVersion":"v1","kind":"K","name":"o","uid":"1","controller":true}]},
"spec":{"volumes":[null,{"name":"v","persistentVolumeClaim":{"claimName":"data","readOnly":true}},{"persistentVolumeClaim":{}},{"emptyDir":{}}]}}}}`

// FuzzDecode holds that a review is read just as the API server's own reader
// reads it: refused where that refuses it, else with the same values; and that
// what was read does not change with the body's memory, which is used again. Of
// a key that stands twice, which no API server sends, only that it does no harm.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(smallReview))
	for _, change := range [][2]string{
		{`"name":"p"`, `"Name":"p","n\u0061me":"q"`}, {`"uid":"u"`, `"uid":7`}, {`"dryRun":false`, `"dryRun":true,"options":[1e9,[{}]]`},
		{`{"claimName":"data","readOnly":true}`, "null"}, {`{"opensandbox.io/id":"1","l":"v"}`, "null"}, {`"l":"v"`, `"volumes.opensandbox.io/storage":null`}, {`"a":`, `"kubernetes.io/config.mirror":`}, {`"object":{`, `"object":null,"oldObject":{`},
		{`"annotations":{`, "\"annotations\":{\"\xff\":\"\xc3\","}, {`"controller":true`, `"controller":null`}, {`[null,`, `[[],`}, {"}}}}", "}}}} "},
		{`"spec":{`, `"metadata":{"labels":{"l":"v"}},"spec":{`},
	} {
		f.Add([]byte(strings.Replace(smallReview, change[0], change[1], 1)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want standard
		twice, refused := json.UnmarshalStrict(body, &want, json.DisallowDuplicateFields)
		text := string(body)
		got, err := decode(body)
		again, err2 := decode([]byte(text))
		clear(body)
		if !reflect.DeepEqual(got, again) || (err == nil) != (err2 == nil) {
			t.Fatalf("%q is read as %+v, %v; then as %+v, %v", text, got, err, again, err2)
		}
		unreadable := err != nil && strings.HasPrefix(err.Error(), "the body is no AdmissionReview: ")
		if len(twice) > 0 {
			return
		}
		if unreadable != (refused != nil) {
			t.Fatalf("%q: %v, and the standard reader says %v", text, err, refused)
		}
		if err != nil {
			return
		}
		r := want.Request
		wanted := &request{
			UID: r.UID, Resource: r.Resource, SubResource: r.SubResource, Operation: r.Operation, Namespace: r.Namespace,
			User: r.UserInfo.Username, DryRun: r.DryRun, Object: r.Object.pod(),
		}
		if !reflect.DeepEqual(got, wanted) {
			t.Errorf("%q is read as\n%+v %+v\nnot as\n%+v %+v", text, got, got.Object, wanted, wanted.Object)
		}
	})
}
