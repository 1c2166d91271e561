package explain_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// generator makes pods, what they rest on, and what an operator decided.
type generator struct{ *rand.Rand }

func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

// claimName is one of a few, so that pods, hints and what exists meet.
func (g generator) claimName() string {
	if g.chance(3) {
		return pick(g, "No_Name", "", "-", strings.Repeat("x", 254))
	}
	return pick(g, "home", "data", "cache", "a.b", "elsewhere")
}

const namespace = "sandboxes"

// world is what exists: a Namespace, StorageClasses, volumes, claims.
func (g generator) world() (world []client.Object, defaults written) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{domain + "/auto-create": "enabled"}}}
	if g.chance(5) {
		ns.Labels = nil
	}
	if g.chance(25) {
		ns.Annotations, defaults = map[string]string{}, written{}
		g.flat(ns.Annotations, false, defaults)
	}
	// At least one class: offline, a manifest without any says nothing of them.
	fast := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "fast"}, Provisioner: "example.com/none"}
	world = []client.Object{ns, fast}
	if g.chance(60) {
		standard := fast.DeepCopy()
		standard.Name, standard.Annotations = "standard", map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
		world = append(world, standard)
	}
	if g.chance(50) {
		world = append(world, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv1"}, Spec: corev1.PersistentVolumeSpec{StorageClassName: "archive"}})
	}
	for _, name := range []string{"home", "data", "cache"} {
		if g.chance(25) {
			world = append(world, g.claim(name))
		}
	}
	for _, o := range world {
		o.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: groupKind(o).Kind, Group: groupKind(o).Group})
	}
	return world, defaults
}

// claim is one that exists.
func (g generator) claim(name string) *corev1.PersistentVolumeClaim {
	class := pick(g, "fast", "standard", "")
	pvc := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1700000000, 0).UTC())},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{pick(g, corev1.ReadWriteOnce, corev1.ReadWriteMany)},
			StorageClassName: &class,
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")}},
		},
	}
	switch {
	case g.chance(5):
		now := pvc.CreationTimestamp
		pvc.DeletionTimestamp, pvc.Finalizers = &now, []string{"kubernetes.io/pvc-protection"}
	case g.chance(5):
		pvc.Status.Phase = corev1.ClaimLost
	case g.chance(15):
		pvc.Labels = map[string]string{"app.kubernetes.io/managed-by": "ensure-volumes"}
		pvc.Annotations = map[string]string{
			domain + "/created": "2023-11-14T22:13:20Z", domain + "/delete-with-owner": "true", domain + "/owner": "BatchSandbox.sandbox.opensandbox.io/sb/u1",
		}
		pvc.OwnerReferences = []metav1.OwnerReference{{APIVersion: "sandbox.opensandbox.io/v1alpha1", Kind: "BatchSandbox", Name: "sb", UID: "u1"}}
	}
	return pvc
}

// controller is what pods may belong to.
type controller struct {
	*metav1.PartialObjectMetadata
	ref   metav1.OwnerReference // as its pods carry it
	hints written
}

func (g generator) controller(name string) *controller {
	kind := pick(g,
		schema.GroupVersionKind{Group: "sandbox.opensandbox.io", Version: "v1alpha1", Kind: "BatchSandbox"},
		schema.GroupVersionKind{Group: "agents.x-k8s.io", Version: "v1beta1", Kind: "Sandbox"},
		schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSet"},
	)
	annotations, labels, hints := g.metadata()
	if key := domain + "/deleteOnSandboxTermination"; g.chance(40) {
		annotations[key] = "true"
		hints.write("metadata.annotations["+key+"]", "", "deleteOnSandboxTermination", false, "true")
	}
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: pick[types.UID](g, "u1", "u2"), Annotations: annotations, Labels: labels,
	}}
	o.SetGroupVersionKind(kind)
	yes := true
	return &controller{o, metav1.OwnerReference{
		APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Name: name, UID: o.UID, Controller: &yes, BlockOwnerDeletion: &yes,
	}, hints}
}

// podCase is a pod, as admission sees it.
type podCase struct {
	metadata map[string]any
	volumes  []any
	hints    written
	owner    *controller // nil: none
	gone     bool        // the owner is: another has its name, or it is not there
	made     bool        // by the owner, which is in the manifest
}

func (g generator) pod(name string, owner *controller) *podCase {
	annotations, labels, hints := g.metadata()
	p := &podCase{metadata: map[string]any{"annotations": annotations, "labels": labels, "name": name}, hints: hints}
	if g.chance(20) {
		p.metadata["name"], p.metadata["generateName"] = "", name+"-"
	}
	if g.chance(2) {
		annotations["kubernetes.io/config.mirror"] = "x"
	}
	if owner != nil {
		ref := owner.ref
		if g.chance(5) {
			ref.UID, p.gone = "another", true
		}
		p.owner, p.metadata["ownerReferences"] = owner, []any{ref}
	}
	n := g.IntN(5)
	if g.chance(2) {
		n = 60 + g.IntN(10)
	}
	for i := range n {
		name := g.claimName()
		if n > 5 {
			name = fmt.Sprint("many-", i)
		}
		p.volumes = append(p.volumes, map[string]any{"name": fmt.Sprint("v", i), "persistentVolumeClaim": map[string]any{"claimName": name}})
	}
	if g.chance(20) {
		p.volumes = append(slices.Clone(p.volumes), map[string]any{"name": "tmp", "emptyDir": map[string]any{}})
	}
	return p
}

func (p *podCase) name() string {
	if name := fmt.Sprint(p.metadata["name"]); name != "" {
		return name
	}
	return fmt.Sprint(p.metadata["generateName"]) + "*"
}

func (p *podCase) object() map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": p.metadata, "spec": map[string]any{"volumes": p.volumes}}
}

// settings are what an operator may decide.
func (g generator) settings() settings {
	s := settings{MissingClass: pick(g, "deny", "deny", "deny", "warn", "off"), DefaultStorage: pick(g, "1Gi", "7Gi")}
	no := false
	if g.chance(3) {
		s.AutoCreate = &no
	}
	if g.chance(5) {
		s.DeleteWithOwner = &no
	}
	return s
}

// controlled are the pods where the first is one that the controller makes of its
// template, and sometimes makes twice. Their names are those that the controller
// gives them: they are written down here once more, not taken from the code.
func (g generator) controlled(pods []*podCase, owner *controller) []*podCase {
	p := pods[0]
	p.made = true
	delete(p.metadata, "generateName")
	if owner.Kind == "Sandbox" {
		p.metadata["name"] = owner.Name
		return pods
	}
	p.metadata["name"], p.metadata["generateName"] = owner.Name+"-0", owner.Name+"-"
	if g.chance(50) {
		return pods
	}
	second := *p
	second.metadata = maps.Clone(p.metadata)
	second.metadata["name"] = owner.Name + "-1"
	return slices.Insert(pods, 1, &second)
}

// controllerOf is the controller's manifest that the pods come of.
func (g generator) controllerOf(t *testing.T, pods []*podCase, owner *controller) string {
	t.Helper()
	template := map[string]any{
		"metadata": map[string]any{"annotations": pods[0].metadata["annotations"], "labels": pods[0].metadata["labels"]},
		"spec":     map[string]any{"volumes": pods[0].volumes},
	}
	spec := map[string]any{"template": template}
	switch {
	case owner.Kind == "Sandbox":
		spec = map[string]any{"podTemplate": template}
	case pods[1].made:
		spec["replicas"] = 2 + g.IntN(3)
	default:
		spec["replicas"] = g.IntN(2)
	}
	return g.document(t, map[string]any{
		"apiVersion": owner.APIVersion, "kind": owner.Kind, "metadata": owner.ObjectMeta, "spec": spec,
	})
}

// withPods is an owner as a manifest has it, with pods of its own that use no claims.
func (g generator) withPods(t *testing.T, owner *controller) string {
	t.Helper()
	none := map[string]any{"spec": map[string]any{}}
	return g.document(t, map[string]any{
		"apiVersion": owner.APIVersion, "kind": owner.Kind, "metadata": owner.ObjectMeta, "spec": map[string]any{"template": none, "podTemplate": none},
	})
}

// document is an object as one of a manifest: JSON most often, which is read faster.
func (g generator) document(t *testing.T, o any) string {
	t.Helper()
	text, err := json.Marshal(o)
	if err == nil && g.chance(10) {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n---\n"
}
