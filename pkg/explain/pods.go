package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
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

// controller finds the kinds that make pods of a template: where that stands, and
// how the pods are named. Each copies the template's labels and annotations to the
// pods, and none its own.
func controller(kind schema.GroupKind) (path string, n naming, ok bool) {
	switch kind.String() {
	case "DaemonSet.apps", "Deployment.apps", "ReplicaSet.apps", "ReplicationController", "Job.batch", "Pool.sandbox.opensandbox.io":
		return "spec.template", random, true
	case "CronJob.batch":
		return "spec.jobTemplate.spec.template", random, true
	case "StatefulSet.apps", "BatchSandbox.sandbox.opensandbox.io":
		return "spec.template", indexed, true
	case "Sandbox.agents.x-k8s.io":
		return "spec.podTemplate", same, true
	}
	return "", 0, false
}

const knownKinds = "Pods and those that BatchSandboxes, Sandboxes, Pools, Deployments, StatefulSets, ReplicaSets, " +
	"ReplicationControllers, DaemonSets, Jobs and CronJobs stand for"

// foreign reports whether an object that is none of those has something like a
// pod's template all the same: what it makes of it is not known.
func (o *Object) foreign() bool {
	_, found := find(o.raw, func(path string, value json.Token, _ int64) bool {
		return strings.HasSuffix(path, ".containers") && value == json.Delim('[') || strings.HasSuffix(path, ".persistentVolumeClaim.claimName")
	})
	return found
}

// template is a pod's template, or a pod, as much of it as is read.
type template struct {
	Metadata metadata `json:"metadata"`
	Spec     *podSpec `json:"spec"`
}

type podSpec struct {
	Volumes []volume `json:"volumes"`
}

type volume struct {
	Name                  string    `json:"name"`
	PersistentVolumeClaim *claimRef `json:"persistentVolumeClaim,omitempty"`
}

type claimRef struct {
	ClaimName string `json:"claimName"`
}

// specification is what is read of a controller's spec.
type specification struct {
	Template    *template `json:"template"`
	PodTemplate *template `json:"podTemplate"`
	JobTemplate struct {
		Metadata metadata `json:"metadata"`
		Spec     struct {
			Template *template `json:"template"`
		} `json:"spec"`
	} `json:"jobTemplate"`
	Replicas *int32 `json:"replicas"`
	Ordinals struct {
		Start int32 `json:"start"`
	} `json:"ordinals"`
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
		return []pod{{raw: o.raw}}, o.into(&template{})
	}
	path, naming, ok := controller(o.kind.GroupKind())
	if !ok {
		return nil, nil
	}
	var whole struct {
		Spec specification `json:"spec"`
	}
	if err := o.into(&whole); err != nil {
		return nil, err
	}
	s := &whole.Spec
	if s.PoolRef != "" {
		return nil, nil // its pods are the Pool's, also where it has a template
	}
	t := map[string]*template{
		"spec.template": s.Template, "spec.podTemplate": s.PodTemplate, "spec.jobTemplate.spec.template": s.JobTemplate.Spec.Template,
	}[path]
	if t == nil || t.Spec == nil {
		return nil, o.error(errors.New(path + ".spec is missing"))
	}
	n, notes := s.count(naming)
	var pods []pod
	for i := range n {
		p, err := o.pod(namespace, owner, naming, s, t, int(s.Ordinals.Start)+i)
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
		replicas = int(*s.Replicas)
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
func (o *Object) pod(namespace string, owner metav1.OwnerReference, naming naming, s *specification, t *template, index int) (pod, error) {
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
	volumes := slices.Clone(t.Spec.Volumes)
	var own []volume
	templates := s.VolumeClaimTemplates
	if o.kind.Kind != "StatefulSet" && o.kind.Kind != "Sandbox" {
		templates = nil // no field of theirs
	}
	for i := range templates {
		pvc := templates[i].DeepCopy()
		v := volume{Name: pvc.Name, PersistentVolumeClaim: &claimRef{pvc.Name + "-" + name}}
		pvc.Name, pvc.Namespace = v.PersistentVolumeClaim.ClaimName, namespace
		p.made = append(p.made, pvc)
		p.notes = append(p.notes, "claim "+pvc.Name+" is made by the "+o.kind.Kind+"'s controller itself, from its volumeClaimTemplates")
		volumes = slices.DeleteFunc(volumes, func(other volume) bool { return other.Name == v.Name })
		own = append(own, v)
	}
	if naming == indexed { // a StatefulSet's controller writes its own first
		own, volumes = volumes, own
	}
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": m, "spec": podSpec{append(volumes, own...)},
	})
	p.raw = raw
	return p, err
}

// owner is the reference that the pods of an object carry, and the object that it
// names. A Deployment's pods are a ReplicaSet's, which has the Deployment's
// annotations, and a CronJob's a Job's, which has those of its jobTemplate.
func (o *Object) owner(uid types.UID) (ref metav1.OwnerReference, object *metav1.PartialObjectMetadata, err error) {
	kind, meta := o.kind, o.meta
	switch kind.GroupKind().String() {
	case "Deployment.apps":
		kind.Kind = "ReplicaSet"
	case "CronJob.batch":
		var whole struct {
			Spec specification `json:"spec"`
		}
		err = o.into(&whole)
		kind.Kind, meta = "Job", whole.Spec.JobTemplate.Metadata
	}
	yes := true
	ref = metav1.OwnerReference{
		APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Name: o.meta.Name, UID: uid, Controller: &yes, BlockOwnerDeletion: &yes,
	}
	object = &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: o.meta.Name, UID: uid, Annotations: meta.Annotations, Labels: meta.Labels,
	}}
	object.SetGroupVersionKind(kind)
	return ref, object, err
}
