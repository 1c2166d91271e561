package explain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// world answers package provision in the API server's place: from the manifest,
// and from the cluster where there is one. What is created is noted here and
// exists from then on; nothing is ever written to the cluster. For use by many
// goroutines at once.
type world struct {
	// Of a client only Get, List and Create are used. The rest is not there: a
	// call of it would panic rather than change a cluster.
	client.Client

	cluster client.Reader // nil: offline
	records *provision.Claims

	mu         sync.Mutex
	namespaces map[string]*metav1.PartialObjectMetadata // of the manifest
	owners     map[ownerKey]*metav1.PartialObjectMetadata
	classes    *storagev1.StorageClassList // nil: not known
	volumes    []corev1.PersistentVolume
	claims     map[types.NamespacedName]*corev1.PersistentVolumeClaim
	loaded     map[string]bool // the namespaces whose claims were read from the cluster
	created    []*corev1.PersistentVolumeClaim
	notes      []string
}

type ownerKey struct {
	schema.GroupKind
	types.NamespacedName
}

func newWorld(cluster client.Reader) *world {
	w := &world{
		cluster: cluster, records: &provision.Claims{},
		namespaces: map[string]*metav1.PartialObjectMetadata{},
		owners:     map[ownerKey]*metav1.PartialObjectMetadata{},
		claims:     map[types.NamespacedName]*corev1.PersistentVolumeClaim{},
		loaded:     map[string]bool{},
	}
	_ = w.records.Replace(nil, "") // of no claims: cannot fail
	return w
}

// note says something about the whole answer, once.
func (w *world) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(w.notes, text) {
		w.notes = append(w.notes, text)
	}
}

// load reads the claims of a namespace and what all namespaces share, once.
func (w *world) load(ctx context.Context, namespace string) error {
	if w.cluster == nil || w.loaded[namespace] {
		return nil
	}
	if len(w.loaded) == 0 {
		if err := w.loadShared(ctx); err != nil {
			return err
		}
	}
	w.loaded[namespace] = true
	var list corev1.PersistentVolumeClaimList
	if err := w.cluster.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("listing the PersistentVolumeClaims of namespace %s: %w", namespace, err)
	}
	for i := range list.Items {
		w.add(&list.Items[i])
	}
	return nil
}

// loadShared reads what belongs to no namespace. Whoever asks may well be allowed
// to read his own namespace only.
func (w *world) loadShared(ctx context.Context) error {
	var classes storagev1.StorageClassList
	switch err := w.cluster.List(ctx, &classes); {
	case apierrors.IsForbidden(err):
		w.note("StorageClasses cannot be listed with these credentials: those of the cluster are not known")
		w.classes = nil // the manifest's are not all there are
	case err != nil:
		return fmt.Errorf("listing StorageClasses: %w", err)
	default:
		for i := range classes.Items {
			w.addClass(classes.Items[i])
		}
		if w.classes == nil {
			w.classes = &classes
		}
	}
	var volumes corev1.PersistentVolumeList
	switch err := w.cluster.List(ctx, &volumes); {
	case apierrors.IsForbidden(err):
		w.note("PersistentVolumes cannot be listed with these credentials: a class that only they carry counts as missing")
	case err != nil:
		return fmt.Errorf("listing PersistentVolumes: %w", err)
	}
	w.volumes = append(w.volumes, volumes.Items...)
	return nil
}

// addClass adds a StorageClass; the manifest's come first and win.
func (w *world) addClass(class storagev1.StorageClass) {
	if w.classes == nil {
		w.classes = &storagev1.StorageClassList{}
	}
	if !slices.ContainsFunc(w.classes.Items, func(c storagev1.StorageClass) bool { return c.Name == class.Name }) {
		w.classes.Items = append(w.classes.Items, class)
	}
}

// add makes a claim exist, unless it does already.
func (w *world) add(pvc *corev1.PersistentVolumeClaim) {
	key := client.ObjectKeyFromObject(pvc)
	if w.claims[key] == nil {
		w.claims[key] = pvc
		_ = w.records.Add(pvc) // a claim is what it takes
	}
}

// defaultClass is the cluster's default class, "" where there is none or it is
// not known. Of several the API server takes the newest.
func (w *world) defaultClass() string {
	if w.classes == nil {
		return ""
	}
	var best *storagev1.StorageClass
	for i := range w.classes.Items {
		c := &w.classes.Items[i]
		if !provision.IsDefaultClass(c) {
			continue
		}
		if best == nil || best.CreationTimestamp.Before(&c.CreationTimestamp) ||
			best.CreationTimestamp.Equal(&c.CreationTimestamp) && c.Name < best.Name {
			best = c
		}
	}
	if best == nil {
		return ""
	}
	return best.Name
}

// Get answers from the manifest, and then from the cluster.
func (w *world) Get(ctx context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch into := obj.(type) {
	case *corev1.PersistentVolumeClaim:
		if found := w.claims[key]; found != nil {
			found.DeepCopyInto(into)
			return nil
		}
		return notFound("persistentvolumeclaims", key)
	case *storagev1.StorageClass:
		if w.classes == nil || slices.ContainsFunc(w.classes.Items, func(c storagev1.StorageClass) bool { return c.Name == key.Name }) {
			return nil // only that it exists is asked
		}
		return notFound("storageclasses", key)
	case *metav1.PartialObjectMetadata:
		if into.GroupVersionKind().GroupKind() == (schema.GroupKind{Kind: "Namespace"}) {
			return w.namespace(ctx, key.Name, into)
		}
		return w.owner(ctx, key, into)
	}
	return fmt.Errorf("a %T is not known here", obj)
}

// namespace puts the manifest's Namespace over the cluster's, as applying it would.
func (w *world) namespace(ctx context.Context, name string, into *metav1.PartialObjectMetadata) error {
	ours, known := w.namespaces[name], false
	if w.cluster != nil {
		err := w.cluster.Get(ctx, client.ObjectKey{Name: name}, into)
		switch {
		case apierrors.IsForbidden(err):
			w.note("Namespace %s cannot be read with these credentials: it counts as switched on, and its own hints are not known", name)
		case apierrors.IsNotFound(err) && ours == nil:
			return err
		case err != nil && !apierrors.IsNotFound(err):
			return err
		}
		known = err == nil
	}
	switch {
	case ours != nil:
		into.Labels, into.Annotations = over(into.Labels, ours.Labels), over(into.Annotations, ours.Annotations)
	case !known:
		into.Labels = map[string]string{claim.KeyAutoCreate: claim.Enabled}
	}
	return nil
}

func over(below, above map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, below)
	maps.Copy(all, above)
	return all
}

func (w *world) owner(ctx context.Context, key client.ObjectKey, into *metav1.PartialObjectMetadata) error {
	kind := into.GroupVersionKind()
	if found := w.owners[ownerKey{kind.GroupKind(), key}]; found != nil {
		found.DeepCopyInto(into)
		return nil
	}
	if w.cluster != nil {
		err := w.cluster.Get(ctx, key, into)
		if err != nil && !apierrors.IsNotFound(err) {
			// Told as it is: it is no answer about the webhook's service account.
			return errors.New(err.Error())
		}
		return err
	}
	return notFound(strings.ToLower(kind.Kind), key)
}

func notFound(resource string, key client.ObjectKey) error {
	return apierrors.NewNotFound(schema.GroupResource{Resource: resource}, key.Name)
}

// List answers with StorageClasses or PersistentVolumes. Where the classes are not
// known there is one, the default.
func (w *world) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch into := list.(type) {
	case *storagev1.StorageClassList:
		if w.classes == nil {
			unknown := storagev1.StorageClass{}
			unknown.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
			into.Items = []storagev1.StorageClass{unknown}
			return nil
		}
		w.classes.DeepCopyInto(into)
		return nil
	case *corev1.PersistentVolumeList:
		into.Items, into.Continue = w.volumes, ""
		return nil
	}
	return fmt.Errorf("a %T is not known here", list)
}

// Create notes a claim, which exists from then on.
func (w *world) Create(_ context.Context, obj client.Object, _ ...client.CreateOption) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	pvc, ok := obj.(*corev1.PersistentVolumeClaim)
	if !ok {
		return fmt.Errorf("a %T is not created here", obj)
	}
	if w.claims[client.ObjectKeyFromObject(pvc)] != nil {
		return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "persistentvolumeclaims"}, pvc.Name)
	}
	w.created = append(w.created, pvc.DeepCopy())
	pvc.CreationTimestamp = metav1.NewTime(time.Now())
	stored := pvc.DeepCopy()
	w.complete(stored)
	w.add(stored)
	return nil
}

// complete fills in the default class, as the API server does.
func (w *world) complete(pvc *corev1.PersistentVolumeClaim) {
	if name := w.defaultClass(); name != "" && pvc.Spec.StorageClassName == nil {
		pvc.Spec.StorageClassName = &name
	}
}
