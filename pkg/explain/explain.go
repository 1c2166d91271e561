package explain

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/mutate"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// Explainer says what the webhook would answer.
type Explainer struct {
	// Config is the webhook's.
	Config provision.Config
	// Namespace is where everything is created, as with kubectl --namespace: an
	// object that names another is refused. Empty: where the objects say.
	Namespace string
	// DefaultNamespace is where an object goes that names none; empty: "default".
	DefaultNamespace string
	// Cluster is what exists beside the manifest, only read; nil: nothing, and what
	// the cluster decides counts as decided well.
	Cluster client.Reader
}

// run is one manifest on its way through Explain.
type run struct {
	*Explainer
	world   *world
	handler *mutate.Handler
	report  *Report
}

// Explain says what would become of a manifest's pods and of those that its
// objects stand for, each after those before it. It writes nothing. The error
// says that an object cannot be read, or the cluster; it may need [Printable].
func (e *Explainer) Explain(ctx context.Context, manifest []Object) (*Report, error) {
	w := newWorld(e.Cluster)
	r := &run{
		Explainer: e, world: w,
		handler: &mutate.Handler{Ensurer: &provision.Ensurer{Live: w, Cached: w, Claims: w.records, Config: e.Config}},
		report:  &Report{APIVersion: Version, Kind: Kind, Pods: []Pod{}},
	}
	owners := make([]metav1.OwnerReference, len(manifest))
	for i := range manifest {
		if err := r.prepare(ctx, &manifest[i], &owners[i]); err != nil {
			return nil, err
		}
	}
	for i := range manifest {
		if err := r.explain(ctx, &manifest[i], owners[i]); err != nil {
			return nil, err
		}
	}
	if e.Cluster == nil {
		w.note("no cluster was asked: claims that the manifest does not have count as missing, namespaces as switched on")
		if w.classes == nil {
			w.note("the cluster's StorageClasses are not known: any class counts as there, and so does a default one")
		}
	}
	if len(r.report.Pods) == 0 {
		w.note("there is no pod to explain")
	}
	r.report.Notes = w.notes
	makePrintable(reflect.ValueOf(r.report).Elem())
	return r.report, nil
}

// namespace is where an object goes.
func (r *run) namespace(o *Object) string {
	for _, name := range []string{o.meta.Namespace, r.Namespace, r.DefaultNamespace} {
		if name != "" {
			return name
		}
	}
	return metav1.NamespaceDefault
}

// prepare notes what the pods of all the objects rest on, wherever it stands in
// the manifest.
func (r *run) prepare(ctx context.Context, o *Object, owner *metav1.OwnerReference) error {
	w := r.world
	switch o.kind.GroupKind().String() {
	case "Namespace":
		w.namespaces[o.meta.Name] = &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name: o.meta.Name, Labels: o.meta.Labels, Annotations: o.meta.Annotations,
		}}
		return nil
	case "StorageClass.storage.k8s.io":
		var class storagev1.StorageClass
		err := o.into(&class)
		w.addClass(class)
		return err
	case "PersistentVolume":
		var volume corev1.PersistentVolume
		err := o.into(&volume)
		w.volumes = append(w.volumes, volume)
		return err
	}
	uid, err := r.uid(ctx, o)
	if err != nil {
		return err
	}
	ref, object, err := o.owner(uid)
	if err != nil {
		return err
	}
	*owner, object.Namespace = ref, r.namespace(o)
	w.owners[ownerKey{object.GroupVersionKind().GroupKind(), client.ObjectKeyFromObject(object)}] = object
	return nil
}

// uid is the object's UID: its own, or the one that it has in the cluster. An
// object that is yet to be created is given one that says so.
func (r *run) uid(ctx context.Context, o *Object) (types.UID, error) {
	if o.meta.UID != "" {
		return o.meta.UID, nil
	}
	if _, listed := r.Config.OwnerKinds[o.kind.GroupKind()]; listed && r.Cluster != nil {
		object := &metav1.PartialObjectMetadata{}
		object.SetGroupVersionKind(o.kind)
		err := r.Cluster.Get(ctx, client.ObjectKey{Namespace: r.namespace(o), Name: o.meta.Name}, object)
		if err == nil {
			return object.UID, nil
		}
		if !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
			return "", fmt.Errorf("reading %s %s/%s: %w", o.kind.Kind, r.namespace(o), o.meta.Name, err)
		}
	}
	return types.UID("not-created-yet:" + strings.ToLower(o.kind.Kind) + ":" + o.meta.Name), nil
}

// explain says what becomes of one object's pods.
func (r *run) explain(ctx context.Context, o *Object, owner metav1.OwnerReference) error {
	namespace := r.namespace(o)
	if o.kind.GroupKind().String() == "PersistentVolumeClaim" {
		return r.claim(ctx, o, namespace)
	}
	pods, err := o.pods(namespace, owner)
	if err != nil {
		return err
	}
	if _, _, known := controller(o.kind.GroupKind()); !known && len(pods) == 0 && o.foreign() {
		r.world.note("%s %s of %s is not looked into, though it seems to have pods: explain knows %s", o.kind.Kind, o.name(), o.kind.GroupVersion(), knownKinds)
	}
	for _, p := range pods {
		if err := r.world.load(ctx, namespace); err != nil {
			return err
		}
		for _, pvc := range p.made {
			r.world.complete(pvc)
			r.world.add(pvc)
		}
		if err := r.pod(ctx, o, namespace, p); err != nil {
			return err
		}
	}
	return nil
}

// claim is a claim that the manifest itself creates.
func (r *run) claim(ctx context.Context, o *Object, namespace string) error {
	if err := r.world.load(ctx, namespace); err != nil {
		return err
	}
	pvc := &corev1.PersistentVolumeClaim{}
	if err := o.into(pvc); err != nil {
		return err
	}
	pvc.Namespace = namespace
	for _, created := range r.world.created {
		if created.Namespace == namespace && created.Name == pvc.Name {
			r.world.note("PersistentVolumeClaim %s/%s comes after a pod that uses it, for which the webhook has created it by then; write it before the pod", namespace, o.name())
		}
	}
	r.world.complete(pvc)
	r.world.add(pvc)
	return nil
}

// pod asks the webhook's own handler about one pod.
func (r *run) pod(ctx context.Context, o *Object, namespace string, p pod) error {
	request := namespace
	if r.Namespace != "" {
		request = r.Namespace
	}
	review, err := json.Marshal(map[string]any{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"request": map[string]any{
			"uid": "explain", "operation": "CREATE", "namespace": request, "object": p.raw,
			"resource": metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		},
	})
	if err != nil {
		return err
	}
	before := len(r.world.created)
	verdict, err := r.handler.Judge(ctx, review)
	if err != nil {
		return o.error(err)
	}
	r.report.Pods = append(r.report.Pods, r.describe(ctx, o, namespace, p, verdict, r.world.created[before:]))
	return nil
}
