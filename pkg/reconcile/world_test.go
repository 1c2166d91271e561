package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// world is a cluster in memory, and a leader that knows it.
type world struct {
	*testing.T
	*term
	live  client.WithWatch
	fails func(verb string, object client.Object) error
	hangs func(verb string, object client.Object) bool // until the caller gives up

	mu    sync.Mutex
	calls []string
}

// newWorld has namespace ns, which is enabled, namespace off, which is not, and objects.
func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{T: t}
	kinds, err := provision.ParseOwnerKinds("Sandbox.agents.x-k8s.io/sandboxes")
	if err != nil {
		t.Fatal(err)
	}
	enabled := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "ns", Labels: map[string]string{claim.KeyAutoCreate: claim.Enabled}}}
	enabled.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	note := func(verb string, object client.Object) error {
		w.mu.Lock()
		w.calls = append(w.calls, fmt.Sprintf("%s %T %s", verb, object, object.GetName()))
		w.mu.Unlock()
		if w.fails != nil {
			return w.fails(verb, object) // which may call too
		}
		return nil
	}
	w.live = fake.NewClientBuilder().WithScheme(scheme.Scheme).WithRESTMapper(kinds.Mapper()).WithObjects(objects...).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption) error {
				object.SetName(key.Name)
				if err := note("get", object); err != nil {
					return err
				}
				return c.Get(ctx, key, object, o...)
			},
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, o ...client.CreateOption) error {
				if w.hangs != nil && w.hangs("create", object) {
					<-ctx.Done()
				}
				if err := cmp.Or(note("create", object), ctx.Err()); err != nil {
					return err
				}
				object.SetCreationTimestamp(metav1.Now())
				return c.Create(ctx, object, o...)
			},
			Patch: func(ctx context.Context, c client.WithWatch, object client.Object, p client.Patch, o ...client.PatchOption) error {
				if err := note("patch", object); err != nil {
					return err
				}
				return c.Patch(ctx, object, p, o...)
			},
			Delete: func(ctx context.Context, c client.WithWatch, object client.Object, o ...client.DeleteOption) error {
				if err := note("delete", object); err != nil {
					return err
				}
				return c.Delete(ctx, object, o...)
			},
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
				if err := note("list", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "*"}}); err != nil {
					return err
				}
				return c.List(ctx, list, o...)
			},
		}).Build()
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "std", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}}}
	n := &Net{
		Ensurer: &provision.Ensurer{
			Live: w.live, Cached: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(enabled, class).Build(), Claims: &provision.Claims{},
			Config: provision.Config{
				AutoCreate: true, DefaultStorage: resource.MustParse("1Gi"), MissingClass: provision.IgnoreMissingClass, DeleteWithOwner: true, OwnerKinds: kinds,
			},
		},
		Identity: "replica-1",
		Log:      logr.Discard(),
	}
	n.Attach()
	w.term = &term{Net: n, podsDue: newQueue(), claimsDue: newQueue()}
	t.Cleanup(func() { w.podsDue.ShutDown(); w.claimsDue.ShutDown() })
	w.sync()
	return w
}

// sync tells the caches what exists.
func (w *world) sync() {
	w.Helper()
	ctx := context.Background()
	var podList corev1.PodList
	var claimList corev1.PersistentVolumeClaimList
	for _, list := range []client.ObjectList{&podList, &claimList} {
		if err := w.live.List(ctx, list); err != nil {
			w.Fatal(err)
		}
	}
	var all, claims []any
	for i := range podList.Items {
		all = append(all, &podList.Items[i])
	}
	for i := range claimList.Items {
		claims = append(claims, &claimList.Items[i])
	}
	if err := w.pods.Replace(all, ""); err != nil {
		w.Fatal(err)
	}
	if err := w.Ensurer.Claims.Replace(claims, ""); err != nil {
		w.Fatal(err)
	}
	w.calls = nil
}

// events are the Events there are: object, type, reason, count and message.
func (w *world) events() []string {
	w.Helper()
	var list corev1.EventList
	if err := w.live.List(context.Background(), &list); err != nil {
		w.Fatal(err)
	}
	var texts []string
	for _, e := range list.Items {
		texts = append(texts, fmt.Sprintf("%s/%s %s %s x%d: %s", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Type, e.Reason, e.Count, e.Message))
	}
	slices.Sort(texts)
	return texts
}

// claim is a claim that exists, or nil.
func (w *world) claim(name string) *corev1.PersistentVolumeClaim {
	w.Helper()
	pvc := &corev1.PersistentVolumeClaim{}
	err := w.live.Get(context.Background(), client.ObjectKey{Namespace: "ns", Name: name}, pvc)
	if client.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	}
	if err != nil {
		return nil
	}
	return pvc
}

// made are the calls that changed something, so far.
func (w *world) made() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.calls), func(c string) bool { return strings.HasPrefix(c, "get ") || strings.HasPrefix(c, "list ") })
}

func newPod(namespace, name string, claims ...string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(time.Now().Add(-time.Hour))},
		Status:     corev1.PodStatus{Phase: corev1.PodPending},
	}
	for _, c := range claims {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: c, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c},
		}})
	}
	return pod
}

// of gives a pod a controller.
func of(pod *corev1.Pod, name, uid string) *corev1.Pod {
	yes := true
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "agents.x-k8s.io/v1beta1", Kind: "Sandbox", Name: name, UID: types.UID(uid), Controller: &yes}}
	return pod
}

// ours is a claim as we create them, of a certain age.
func ours(name string, age time.Duration) *corev1.PersistentVolumeClaim {
	created := time.Now().Add(-age)
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(created),
			Labels:      map[string]string{"app.kubernetes.io/managed-by": "ensure-volumes"},
			Annotations: map[string]string{claim.KeyCreated: created.UTC().Format(time.RFC3339), claim.KeyCreatedFor: "some-pod"},
		},
		Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending},
	}
}

// ownedAlone makes a claim go with its sandbox.
func ownedAlone(pvc *corev1.PersistentVolumeClaim, name, uid string) *corev1.PersistentVolumeClaim {
	pvc.OwnerReferences = []metav1.OwnerReference{{APIVersion: "agents.x-k8s.io/v1beta1", Kind: "Sandbox", Name: name, UID: types.UID(uid)}}
	pvc.Annotations[claim.KeyDeleteWithOwner] = "true"
	pvc.Annotations[claim.KeyOwner] = "Sandbox.agents.x-k8s.io/" + name + "/" + uid
	return pvc
}
