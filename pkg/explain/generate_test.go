package explain_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const domain = "volumes.opensandbox.io"

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

// value is a value for a field, most often a right one.
func (g generator) value(field string, label bool) string {
	if g.chance(8) {
		return pick(g, "", "10 GB", "yes", "0", "-1Gi", "RWO_RWOP", "Fast!", "\x1b[2J")
	}
	switch field {
	case "storage":
		return pick(g, "1Gi", "1024Mi", "10Gi", "2.5Gi", "1G")
	case "storageClass", "storageClassName":
		return pick(g, "fast", "fast", "standard", "archive", "", "fsat")
	case "accessModes":
		if label {
			return pick(g, "RWO", "RWX_ROX", "ReadWriteMany")
		}
		return pick(g, "RWO", "RWX,ROX", "ReadWriteOncePod", "RWO, RWX")
	}
	return pick(g, "true", "true", "false")
}

func (g generator) field() string {
	if g.chance(3) {
		return pick(g, "Storage", "size", "claims", "claimName", "owner", "created")
	}
	fields := []string{"storage", "storageClass", "accessModes", "deleteOnSandboxTermination", "storageClassName"}
	if g.chance(10) {
		return "createIfNotExists"
	}
	return pick(g, fields...)
}

// flat adds flat hints to a map.
func (g generator) flat(m map[string]string, label bool) {
	for range g.IntN(3) {
		field, prefix := g.field(), domain
		if g.chance(2) {
			prefix = strings.ToUpper(domain)
		}
		if name := g.claimName(); g.chance(60) && name != "" {
			prefix = name + "." + prefix
		}
		m[prefix+"/"+field] = g.value(field, label)
	}
}

// structured is a list of hints, in JSON or YAML, sometimes broken.
func (g generator) structured() string {
	var items []map[string]any
	for range 1 + g.IntN(3) {
		item := map[string]any{"claimName": g.claimName()}
		for range g.IntN(3) {
			field := g.field()
			item[field] = g.value(field, false)
			if g.chance(10) {
				item[field] = pick[any](g, nil, true, 10, []string{"RWX"}, map[string]any{})
			}
		}
		items = append(items, item)
	}
	text, _ := json.Marshal(items)
	switch {
	case g.chance(3):
		return string(text[:len(text)-1])
	case g.chance(30):
		return "- claimName: " + g.claimName() + "\n  storage: 3Gi\n"
	}
	return string(text)
}

// metadata are annotations and labels with hints of all forms.
func (g generator) metadata() (annotations, labels map[string]string) {
	annotations, labels = map[string]string{}, map[string]string{}
	if g.chance(60) {
		g.flat(annotations, false)
	}
	if g.chance(20) {
		g.flat(labels, true)
	}
	for _, key := range []string{domain + "/claims", "opensandbox.io/extensions.volumes"} {
		if g.chance(20) {
			annotations[key] = g.structured()
		}
	}
	if g.chance(20) {
		labels["opensandbox.io/id"] = "sb-1"
	}
	return annotations, labels
}

const namespace = "sandboxes"

// world is what exists: a Namespace, StorageClasses, volumes, claims.
func (g generator) world() []client.Object {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{domain + "/auto-create": "enabled"}}}
	if g.chance(5) {
		ns.Labels = nil
	}
	if g.chance(25) {
		ns.Annotations = map[string]string{}
		g.flat(ns.Annotations, false)
	}
	// At least one class: offline, a manifest without any says nothing of them.
	fast := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "fast"}, Provisioner: "example.com/none"}
	world := []client.Object{ns, fast}
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
	return world
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

// owner is a controller, and the reference of its pods.
func (g generator) owner() (*metav1.PartialObjectMetadata, *metav1.OwnerReference) {
	kind := pick(g,
		schema.GroupVersionKind{Group: "sandbox.opensandbox.io", Version: "v1alpha1", Kind: "BatchSandbox"},
		schema.GroupVersionKind{Group: "agents.x-k8s.io", Version: "v1beta1", Kind: "Sandbox"},
		schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSet"},
	)
	annotations, labels := g.metadata()
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: "sb", UID: pick[types.UID](g, "u1", "u2"), Annotations: annotations, Labels: labels,
	}}
	o.SetGroupVersionKind(kind)
	yes := true
	return o, &metav1.OwnerReference{
		APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Name: "sb", UID: o.UID, Controller: &yes, BlockOwnerDeletion: &yes,
	}
}

// podCase is a pod, as admission sees it.
type podCase struct {
	metadata map[string]any
	volumes  []any
}

func (g generator) pod() podCase {
	annotations, labels := g.metadata()
	p := podCase{metadata: map[string]any{"annotations": annotations, "labels": labels, "name": "p"}}
	if g.chance(20) {
		p.metadata["name"], p.metadata["generateName"] = "", "p-"
	}
	if g.chance(2) {
		annotations["kubernetes.io/config.mirror"] = "x"
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

func (p podCase) object() map[string]any {
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
