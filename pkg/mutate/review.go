package mutate

import (
	"errors"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/json"

	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// reviewVersion is the only version of AdmissionReview that is spoken here.
const reviewVersion = "admission.k8s.io/v1"

// review is an AdmissionReview, as much of it as is read.
type review struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Request    *request `json:"request"`
}

type request struct {
	UID         types.UID                   `json:"uid"`
	Resource    metav1.GroupVersionResource `json:"resource"`
	SubResource string                      `json:"subResource"`
	Operation   string                      `json:"operation"`
	Namespace   string                      `json:"namespace"`
	UserInfo    struct {
		Username string `json:"username"`
	} `json:"userInfo"`
	DryRun bool `json:"dryRun"`
	Object *pod `json:"object"`
}

// pod is what is read of a pod.
type pod struct {
	Metadata struct {
		Name            string                  `json:"name"`
		GenerateName    string                  `json:"generateName"`
		Namespace       string                  `json:"namespace"`
		Annotations     map[string]string       `json:"annotations"`
		Labels          map[string]string       `json:"labels"`
		OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		Volumes []struct {
			PersistentVolumeClaim *struct {
				ClaimName string `json:"claimName"`
			} `json:"persistentVolumeClaim"`
		} `json:"volumes"`
	} `json:"spec"`
}

// decode reads a review. Its errors are for whoever sent it: an API server that
// is configured wrongly, or somebody who is none.
func decode(body []byte) (*request, error) {
	var r review
	if err := json.UnmarshalCaseSensitivePreserveInts(body, &r); err != nil {
		return nil, fmt.Errorf("the body is no AdmissionReview: %w", err)
	}
	switch {
	case r.APIVersion != reviewVersion || r.Kind != "AdmissionReview":
		return nil, fmt.Errorf("the body is %q of %q; send an AdmissionReview of %s", r.Kind, r.APIVersion, reviewVersion)
	case r.Request == nil:
		return nil, errors.New("the AdmissionReview has no request")
	case r.Request.UID == "":
		return nil, errors.New("the AdmissionReview's request has no uid")
	}
	q := r.Request
	switch {
	case q.Resource != metav1.GroupVersionResource{Version: "v1", Resource: "pods"} || q.SubResource != "" || q.Operation != "CREATE":
		return nil, fmt.Errorf("the request is %q of %q; only CREATE of v1 pods is answered here", q.Operation, q.Resource.Resource)
	case q.Namespace == "":
		return nil, errors.New("the request has no namespace")
	case q.Object == nil:
		return nil, errors.New("the request has no object")
	}
	return q, nil
}

// wanted is what the request asks of package provision.
func (q *request) wanted() provision.Request {
	m := &q.Object.Metadata
	w := provision.Request{
		Namespace:   q.Namespace,
		PodName:     m.Name,
		Annotations: m.Annotations,
		Labels:      m.Labels,
		User:        q.UserInfo.Username,
		DryRun:      q.DryRun,
	}
	if w.PodName == "" {
		w.PodName = m.GenerateName + "*"
	}
	for i := range m.OwnerReferences {
		if ref := &m.OwnerReferences[i]; ref.Controller != nil && *ref.Controller {
			w.Controller = ref
			break
		}
	}
	seen := map[string]bool{}
	for i, v := range q.Object.Spec.Volumes {
		if v.PersistentVolumeClaim == nil {
			continue
		}
		if name := v.PersistentVolumeClaim.ClaimName; !seen[name] {
			seen[name] = true
			w.Claims = append(w.Claims, provision.Use{
				Name: name, Path: "spec.volumes[" + strconv.Itoa(i) + "].persistentVolumeClaim.claimName",
			})
		}
	}
	return w
}

// mirror reports whether the pod is a mirror pod, which a kubelet made of a
// static one: it runs already and cannot be refused.
func (p *pod) mirror() bool {
	_, ok := p.Metadata.Annotations["kubernetes.io/config.mirror"]
	return ok
}
