package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// collection bounds a wait for the garbage collector, which looks for new kinds
// twice a minute.
const collection = 2 * time.Minute

// removed is nil once a claim is gone, or only its name is left.
func (g *ground) removed(ctx context.Context, c *corev1.PersistentVolumeClaim) error {
	now := &corev1.PersistentVolumeClaim{}
	err := g.admin.Get(ctx, client.ObjectKeyFromObject(c), now)
	if err == nil && now.UID == c.UID {
		return fmt.Errorf("claim %s is still there, deletion %v, finalizers %v", c.Name, now.DeletionTimestamp, now.Finalizers)
	}
	return client.IgnoreNotFound(err)
}

// wantUndeleted holds that a claim is there and nobody has asked to delete it.
func (g *ground) wantUndeleted(t *testing.T, c *corev1.PersistentVolumeClaim) {
	t.Helper()
	now := g.claim(t, c.Namespace, c.Name)
	if now.UID != c.UID || now.DeletionTimestamp != nil {
		t.Errorf("claim %s: uid %s, deletion %v, want %s, none", c.Name, now.UID, now.DeletionTimestamp, c.UID)
	}
}

// exclusive has the author create a pod of the sandbox with a claim that goes
// with it, and returns the claim.
func (g *ground) exclusive(t *testing.T, o *unstructured.Unstructured, pod *corev1.Pod) *corev1.PersistentVolumeClaim {
	t.Helper()
	person, name := g.author(t), pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName
	if err := person.Create(t.Context(), by(o, hinted(pod, deleteOnTermination, "true"))); err != nil {
		t.Fatal(err)
	}
	if warned := person.warned(); len(warned) > 0 {
		t.Errorf("warned %q", warned)
	}
	c := g.claim(t, pod.Namespace, name)
	no := false
	want := []metav1.OwnerReference{{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Name: o.GetName(), UID: o.GetUID(), BlockOwnerDeletion: &no}}
	if !slices.EqualFunc(c.OwnerReferences, want, func(a, b metav1.OwnerReference) bool {
		return a.String() == b.String()
	}) {
		t.Errorf("claim %s is owned by %v, want %v", name, c.OwnerReferences, want)
	}
	group, _, _ := strings.Cut(o.GetAPIVersion(), "/")
	if got, want := c.Annotations[domain+"/owner"], o.GetKind()+"."+group+"/"+o.GetName()+"/"+string(o.GetUID()); got != want || c.Annotations[domain+"/delete-with-owner"] != "true" {
		t.Errorf("claim %s says that it belongs to %q, want %q", name, got, want)
	}
	return c
}

// A claim with deleteOnSandboxTermination goes when its sandbox goes, however
// that is deleted, and not before.
func TestAClaimGoesWithItsSandbox(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		apiVersion string
		policy     metav1.DeletionPropagation
	}{
		{batchSandbox, metav1.DeletePropagationBackground},
		{batchSandbox, metav1.DeletePropagationForeground},
		{sandbox, metav1.DeletePropagationForeground},
		{sandboxBefore, metav1.DeletePropagationBackground},
	} {
		t.Run(test.apiVersion+" "+string(test.policy), func(t *testing.T) {
			t.Parallel()
			ns := world.namespace(t)
			goes, stays := world.owner(t, test.apiVersion, ns, "goes"), world.owner(t, test.apiVersion, ns, "stays")
			with := world.exclusive(t, goes, pod(ns, "goes-0", "goes"))
			kept := world.exclusive(t, stays, pod(ns, "stays-0", "stays"))

			// A sandbox that is paused has no pod; its claim waits.
			paused := pod(ns, "stays-0")
			if err := world.admin.Delete(t.Context(), paused); err != nil {
				t.Fatal(err)
			}
			wait(t, "the pod is gone", func(ctx context.Context) error { return world.gone(ctx, paused) })
			if err := world.admin.Delete(t.Context(), goes, client.PropagationPolicy(test.policy)); err != nil {
				t.Fatal(err)
			}
			waitFor(t, collection, "the claim has gone with its sandbox", func(ctx context.Context) error { return world.removed(ctx, with) })
			wait(t, "the sandbox is gone", func(ctx context.Context) error { return world.gone(ctx, goes) })
			waitFor(t, collection, "the sandbox's pod is gone", func(ctx context.Context) error { return world.gone(ctx, pod(ns, "goes-0")) })

			// The collector has seen all of this, and left the other's claim alone.
			world.wantUndeleted(t, kept)
			// Resumed, the other sandbox has its claim, and nothing is made anew.
			person := world.author(t)
			if err := person.Create(t.Context(), by(stays, hinted(pod(ns, "stays-0", "stays"), deleteOnTermination, "true"))); err != nil {
				t.Fatal(err)
			}
			if warned := person.warned(); len(warned) > 0 {
				t.Errorf("warned %q", warned)
			}
			if err := world.admin.Delete(t.Context(), stays); err != nil {
				t.Fatal(err)
			}
			waitFor(t, collection, "the other claim has gone with its sandbox", func(ctx context.Context) error { return world.removed(ctx, kept) })
		})
	}
}

// A pod that has a node holds the claim until it has ended; then it goes.
func TestAClaimInUseGoesOnceItsPodHasEnded(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	o := world.owner(t, batchSandbox, ns, "sb1")
	running := pod(ns, "sb1-0", "data")
	running.Spec.NodeName = "a-node"
	// There is no such node to end the pod; and the collector of pods whose node
	// has gone, which would in its place, must not do so before we have looked.
	running.Finalizers = []string{"example.com/ends"}
	c := world.exclusive(t, o, running)
	if err := world.admin.Delete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	waitFor(t, collection, "the claim is being deleted", func(_ context.Context) error {
		if now := world.claim(t, ns, "data"); now.DeletionTimestamp == nil {
			return errors.New("it is not")
		}
		return nil
	})
	waitFor(t, collection, "the pod is being deleted", func(_ context.Context) error {
		if now := world.pod(t, ns, "sb1-0"); now.DeletionTimestamp == nil {
			return errors.New("it is not")
		}
		return nil
	})
	if now := world.claim(t, ns, "data"); now.UID != c.UID || !slices.Contains(now.Finalizers, "kubernetes.io/pvc-protection") {
		t.Errorf("the claim that a pod uses is not held: %v", now.ObjectMeta)
	}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	if err := world.admin.Patch(t.Context(), pod(ns, "sb1-0"), patch); err != nil {
		t.Fatal(err)
	}
	if err := world.admin.Delete(t.Context(), pod(ns, "sb1-0"), client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	waitFor(t, collection, "the claim is gone", func(ctx context.Context) error { return world.removed(ctx, c) })
}

// Whoever deletes a sandbox and says to orphan what it owns keeps the claim,
// which is then nobody's.
func TestAClaimThatIsOrphanedIsKept(t *testing.T) {
	t.Parallel()
	ns, person := world.namespace(t), world.author(t)
	o := world.owner(t, batchSandbox, ns, "sb1")
	c := world.exclusive(t, o, pod(ns, "sb1-0", "data"))
	other := world.owner(t, batchSandbox, ns, "sb2")
	if s := status(t, person.Create(t.Context(), by(other, pod(ns, "sb2-0", "data")))); s.Reason != metav1.StatusReasonConflict {
		t.Errorf("another sandbox's pod: %+v", s)
	}
	if err := world.admin.Delete(t.Context(), o, client.PropagationPolicy(metav1.DeletePropagationOrphan)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, collection, "the sandbox is gone", func(ctx context.Context) error { return world.gone(ctx, o) })
	world.wantUndeleted(t, c)
	if owners := world.claim(t, ns, "data").OwnerReferences; len(owners) > 0 {
		t.Errorf("the claim is owned by %v", owners)
	}
	wait(t, "another sandbox's pod may use the claim", func(ctx context.Context) error {
		return person.Create(ctx, by(other, pod(ns, "sb2-0", "data")))
	})
}

// Without a controller of a listed kind the claim is kept, and the answer says so.
func TestAClaimWithoutAnEligibleOwnerIsKept(t *testing.T) {
	t.Parallel()
	ns, person := world.namespace(t), world.author(t)
	none, labels := int32(0), map[string]string{"app": "rs"}
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "rs"},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &none, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod(ns, "").Spec},
		},
	}
	world.create(t, rs)
	o := world.owner(t, batchSandbox, ns, "sb1")
	const unlisted = `is kept despite deleteOnSandboxTermination: the pod has no controller of a listed kind`
	var kept []*corev1.PersistentVolumeClaim
	for _, test := range []struct {
		name   string
		own    func(*corev1.Pod) *corev1.Pod
		warned []string
	}{
		{"nobody", func(p *corev1.Pod) *corev1.Pod { return p }, []string{`claim "nobody" ` + unlisted}},
		{"unlisted", func(p *corev1.Pod) *corev1.Pod { return owned(p, "apps/v1", "ReplicaSet", "rs", rs.UID) }, []string{`claim "unlisted" ` + unlisted}},
		{"owner-no-controller", func(p *corev1.Pod) *corev1.Pod {
			by(o, p).OwnerReferences[0].Controller = nil
			return p
		}, []string{`claim "owner-no-controller" ` + unlisted}},
		{"gone", func(p *corev1.Pod) *corev1.Pod {
			return owned(p, batchSandbox, "BatchSandbox", "sb1", "0b000000-0000-4000-8000-00000000000b")
		}, []string{
			`the pod's BatchSandbox "sb1" is gone; hints on it are not known`,
			`claim "gone" is kept despite deleteOnSandboxTermination: the pod's controller is gone`,
		}},
	} {
		p := hinted(test.own(pod(ns, test.name, test.name)), deleteOnTermination, "true")
		if err := person.Create(t.Context(), p); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if warned := person.warned(); !slices.Equal(warned, test.warned) {
			t.Errorf("%s: warned %q, want %q", test.name, warned, test.warned)
		}
		c := world.claim(t, ns, test.name)
		world.wantKept(t, c)
		kept = append(kept, c)

		shown := hinted(test.own(pod(ns, test.name+"-shown", test.name+"-shown")), deleteOnTermination, "true")
		var said string
		for _, w := range test.warned {
			said += "Warning: " + strings.Replace(w, `claim "`+test.name+`"`, `claim "`+test.name+`-shown"`, 1) + "\n"
		}
		said += "pod/" + shown.Name + " created\n"
		if output, refused := world.kubectl(t, ns, world.manifest(t, shown), "create", "-f", "-"); refused || output != said {
			t.Errorf("%s: kubectl says %q, want %q", test.name, output, said)
		}
	}
	// Everything goes but these claims: the pods, and both controllers with the
	// one claim that goes with its own.
	with := world.exclusive(t, o, pod(ns, "sb1-0", "goes"))
	for _, c := range kept {
		if err := world.admin.Delete(t.Context(), pod(ns, c.Name)); client.IgnoreNotFound(err) != nil {
			t.Fatal(err) // the collector may have been faster: the owner of "gone" never was
		}
	}
	for _, object := range []client.Object{rs, o} {
		if err := world.admin.Delete(t.Context(), object, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, collection, "the other claim is gone", func(ctx context.Context) error { return world.removed(ctx, with) })
	for _, c := range kept {
		world.wantUndeleted(t, c)
	}
}
