package explain_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// memory is an API server with what it is given, and the claims that are created
// in it. It refuses the reads that it is told to.
type memory struct {
	client.Client
	refusals []refusal

	mu      sync.Mutex
	objects map[string]client.Object
	created []map[string]any // as they came, without what differs each time
}

// refusal is what the API server answers to a read instead.
type refusal struct {
	Call   string         `json:"call"`
	Status *metav1.Status `json:"status"`
	Error  string         `json:"error"`
}

func newMemory(objects []client.Object, refusals ...refusal) *memory {
	m := &memory{objects: map[string]client.Object{}, refusals: refusals}
	for _, o := range objects {
		m.objects[place(groupKind(o), client.ObjectKeyFromObject(o))] = o
	}
	return m
}

func place(kind schema.GroupKind, key client.ObjectKey) string {
	return kind.String() + " " + key.String()
}

func groupKind(o runtime.Object) schema.GroupKind {
	if kind := o.GetObjectKind().GroupVersionKind(); kind.Kind != "" {
		return kind.GroupKind()
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(o)
	if err != nil {
		panic(err)
	}
	return kinds[0].GroupKind()
}

func (m *memory) refuse(call string) error {
	for _, r := range m.refusals {
		switch {
		case !strings.HasPrefix(call, r.Call):
		case r.Status != nil:
			return &apierrors.StatusError{ErrStatus: *r.Status}
		default:
			return errors.New(r.Error)
		}
	}
	return nil
}

// Get finds an object.
func (m *memory) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	kind := groupKind(into)
	if err := m.refuse("get " + kind.Kind + " " + key.String()); err != nil {
		return err
	}
	m.mu.Lock()
	found := m.objects[place(kind, key)]
	m.mu.Unlock()
	if found == nil {
		return apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: kind.Kind}, key.Name)
	}
	switch into := into.(type) {
	case *metav1.PartialObjectMetadata:
		into.ObjectMeta = metav1.ObjectMeta{
			Name: found.GetName(), Namespace: found.GetNamespace(), UID: found.GetUID(),
			Labels: found.GetLabels(), Annotations: found.GetAnnotations(),
		}
	case *corev1.PersistentVolumeClaim:
		found.(*corev1.PersistentVolumeClaim).DeepCopyInto(into)
	}
	return nil
}

// List finds all objects of a kind.
func (m *memory) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(options)
	if err := m.refuse("list " + groupKind(list).Kind); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.objects)) {
		object := m.objects[name]
		if o.Namespace != "" && object.GetNamespace() != o.Namespace {
			continue
		}
		switch object := object.(type) {
		case *storagev1.StorageClass:
			if list, ok := list.(*storagev1.StorageClassList); ok {
				list.Items = append(list.Items, *object)
			}
		case *corev1.PersistentVolume:
			if list, ok := list.(*corev1.PersistentVolumeList); ok {
				list.Items = append(list.Items, *object)
			}
		case *corev1.PersistentVolumeClaim:
			if list, ok := list.(*corev1.PersistentVolumeClaimList); ok {
				list.Items = append(list.Items, *object)
			}
		}
	}
	return nil
}

// Create stores a claim, with what an API server adds to it.
func (m *memory) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	pvc, isClaim := o.(*corev1.PersistentVolumeClaim)
	if !isClaim {
		return fmt.Errorf("a %T is not created here", o)
	}
	if m.objects[place(groupKind(pvc), client.ObjectKeyFromObject(pvc))] != nil {
		return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "persistentvolumeclaims"}, pvc.Name)
	}
	noted := pvc.DeepCopy()
	if noted.Annotations[claim.KeyCreated] == "" {
		return errors.New("a claim without the time")
	}
	delete(noted.Annotations, claim.KeyCreated)
	delete(noted.Annotations, claim.KeyRequestedBy)
	noted.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(noted)
	delete(fields, "status")
	m.created = append(m.created, fields)
	pvc.CreationTimestamp = metav1.NewTime(time.Now())
	for _, o := range m.objects {
		if class, ok := o.(*storagev1.StorageClass); ok && pvc.Spec.StorageClassName == nil && class.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
			pvc.Spec.StorageClassName = &class.Name
		}
	}
	m.objects[place(groupKind(pvc), client.ObjectKeyFromObject(pvc))] = pvc.DeepCopy()
	return err
}

// records is the claim cache of a webhook that sees these objects.
func (m *memory) records(t *testing.T) *provision.Claims {
	t.Helper()
	var all []any
	for _, o := range m.objects {
		if pvc, ok := o.(*corev1.PersistentVolumeClaim); ok {
			all = append(all, pvc)
		}
	}
	claims := &provision.Claims{}
	if err := claims.Replace(all, ""); err != nil {
		t.Fatal(err)
	}
	return claims
}

// objects are those of a manifest; what the scheme does not know is an owner.
func objects(t *testing.T, manifest string) []client.Object {
	t.Helper()
	var list []client.Object
	for _, doc := range bytes.Split([]byte(manifest), []byte("\n---\n")) {
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		o, _, err := scheme.Codecs.UniversalDeserializer().Decode(doc, nil, nil)
		if runtime.IsNotRegisteredError(err) {
			owner := &metav1.PartialObjectMetadata{}
			err, o = yaml.UnmarshalStrict(doc, owner), owner
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, doc)
		}
		list = append(list, o.(client.Object))
	}
	return list
}

// canonical is anything as JSON of a kind that can be compared.
func canonical(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
