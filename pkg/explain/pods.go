package explain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// pod is a pod that an object of the manifest stands for.
type pod struct {
	raw   json.RawMessage
	made  []*corev1.PersistentVolumeClaim // by the controller itself, before the pod
	notes []string
}

// naming is how a controller names its pods.
type naming uint8

const (
	random  naming = iota // generateName alone
	indexed               // NAME-0, NAME-1, …
	same                  // as the controller
)

// controller finds the kinds that make pods of a template: the field of spec with
// the template, and how the pods are named. Each copies the template's labels and
// annotations to the pods, and none its own.
func controller(kind schema.GroupKind) (field string, n naming, ok bool) {
	switch kind.String() {
	case "DaemonSet.apps", "Deployment.apps", "ReplicaSet.apps", "Job.batch", "Pool.sandbox.opensandbox.io":
		return "template", random, true
	case "StatefulSet.apps", "BatchSandbox.sandbox.opensandbox.io":
		return "template", indexed, true
	case "Sandbox.agents.x-k8s.io":
		return "podTemplate", same, true
	}
	return "", 0, false
}

// template is a pod's template, as much of it as the pod needs.
type template struct {
	Metadata struct {
		Annotations map[string]string `json:"annotations,omitempty"`
		Labels      map[string]string `json:"labels,omitempty"`
	} `json:"metadata"`
	Spec map[string]any `json:"spec"`
}

// specification is what is read of a controller's spec.
type specification struct {
	Replicas             *int                           `json:"replicas"`
	Ordinals             struct{ Start int }            `json:"ordinals"`
	VolumeClaimTemplates []corev1.PersistentVolumeClaim `json:"volumeClaimTemplates"`
	ShardPatches         []json.RawMessage              `json:"shardPatches"`
	PoolRef              string                         `json:"poolRef"`
}

// maxReplicas is how many pods of one template are explained: the second finds
// the claims that the first one had created, and all others find what it finds.
const maxReplicas = 2

// pods are the pods that an object stands for; owner is the reference that they
// carry. An object that makes none has none.
func (o *Object) pods(namespace string, owner metav1.OwnerReference) ([]pod, error) {
	if o.kind.GroupKind() == (schema.GroupKind{Kind: "Pod"}) {
		return []pod{{raw: o.raw}}, nil
	}
	field, naming, ok := controller(o.kind.GroupKind())
	if !ok {
		return nil, nil
	}
	var object struct {
		Spec map[string]json.RawMessage `json:"spec"`
	}
	var whole struct {
		Spec specification `json:"spec"`
	}
	if err := o.into(&object); err != nil {
		return nil, err
	}
	if err := o.into(&whole); err != nil {
		return nil, err
	}
	var t template
	if raw, ok := object.Spec[field]; ok {
		if err := json.Unmarshal(raw, &t); err != nil {
			return nil, fmt.Errorf("%s %s: spec.%s: %w", o.kind.Kind, o.name(), field, err)
		}
	}
	s := &whole.Spec
	if s.PoolRef != "" {
		return nil, nil // its pods are the Pool's, also where it has a template
	}
	if t.Spec == nil {
		return nil, fmt.Errorf("%s %s: spec.%s.spec is missing", o.kind.Kind, o.name(), field)
	}
	n, notes := s.count(naming)
	var pods []pod
	for i := range n {
		p, err := o.pod(namespace, owner, naming, s, t, i+s.Ordinals.Start)
		if err != nil {
			return nil, err
		}
		pods = append(pods, p)
	}
	pods[0].notes = append(pods[0].notes, notes...)
	return pods, nil
}

// count is how many pods are explained, and what is to be said about the others.
func (s *specification) count(naming naming) (n int, notes []string) {
	replicas := 1
	if s.Replicas != nil {
		replicas = *s.Replicas
	}
	if len(s.ShardPatches) > 0 {
		notes = append(notes, "shardPatches are not read: a pod that one changes may come out differently")
	}
	switch {
	case replicas <= 0:
		return 1, append(notes, "replicas is 0: there is no such pod yet")
	case naming != indexed:
		return 1, notes
	case replicas > maxReplicas:
		notes = append(notes, fmt.Sprintf("of %d replicas the first %d are explained; the others find what the last of these finds", replicas, maxReplicas))
	}
	return min(replicas, maxReplicas), notes
}

// pod makes one pod of a template, as the object's controller would.
func (o *Object) pod(namespace string, owner metav1.OwnerReference, naming naming, s *specification, t template, index int) (pod, error) {
	m := metadata{
		GenerateName: o.meta.Name + "-", Namespace: namespace,
		Annotations: t.Metadata.Annotations, Labels: t.Metadata.Labels, OwnerReferences: []metav1.OwnerReference{owner},
	}
	name := o.meta.Name
	switch naming {
	case indexed:
		name += "-" + strconv.Itoa(index)
		m.Name = name
	case same:
		m.Name, m.GenerateName = name, ""
	}
	p := pod{}
	volumes, _ := t.Spec["volumes"].([]any)
	volumes = slices.Clone(volumes)
	var own []any
	templates := s.VolumeClaimTemplates
	if o.kind.Kind != "StatefulSet" && o.kind.Kind != "Sandbox" {
		templates = nil // no field of theirs
	}
	for i := range templates {
		pvc := templates[i].DeepCopy()
		volume := pvc.Name
		pvc.Name, pvc.Namespace = volume+"-"+name, namespace
		p.made = append(p.made, pvc)
		p.notes = append(p.notes, "claim "+claim.Printable(pvc.Name, 253)+" is made by the "+o.kind.Kind+"'s controller itself, from its volumeClaimTemplates")
		volumes = slices.DeleteFunc(volumes, func(v any) bool {
			fields, ok := v.(map[string]any)
			return ok && fields["name"] == volume
		})
		own = append(own, map[string]any{
			"name": volume, "persistentVolumeClaim": map[string]any{"claimName": pvc.Name},
		})
	}
	if naming == indexed { // a StatefulSet's controller writes its own first
		own, volumes = volumes, own
	}
	volumes = append(volumes, own...)
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": m, "spec": map[string]any{"volumes": volumes},
	})
	p.raw = raw
	return p, err
}

// owner is the reference that the pods of an object carry, and the object that it
// names. A Deployment's pods are a ReplicaSet's, which has the Deployment's
// annotations.
func (o *Object) owner(uid types.UID) (metav1.OwnerReference, *metav1.PartialObjectMetadata) {
	kind := o.kind
	if kind.GroupKind() == (schema.GroupKind{Group: "apps", Kind: "Deployment"}) {
		kind.Kind = "ReplicaSet"
	}
	yes := true
	ref := metav1.OwnerReference{
		APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Name: o.meta.Name, UID: uid, Controller: &yes, BlockOwnerDeletion: &yes,
	}
	object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: o.meta.Name, UID: uid, Annotations: o.meta.Annotations, Labels: o.meta.Labels,
	}}
	object.SetGroupVersionKind(kind)
	return ref, object
}
