package integration

import (
	"context"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// A further kind takes a flag and a grant: then its hints are read, and a claim
// may go with it. The pods are made by the kind's real controller. Not parallel:
// it runs the webhook with other flags.
func TestAFurtherOwnerKind(t *testing.T) {
	world.restart(t, "--owner-kinds=BatchSandbox.sandbox.opensandbox.io/batchsandboxes,ReplicaSet.apps/replicasets")
	ns := world.namespace(t)
	one, labels := int32(1), map[string]string{"app": "rs"}
	rs := &appsv1.ReplicaSet{
		ObjectMeta: hinted(pod(ns, "rs"), "storage", "9Gi", "storageClass", fast, deleteOnTermination, "true").ObjectMeta,
		Spec: appsv1.ReplicaSetSpec{
			Replicas: new(int32), // none yet
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod(ns, "", "data").Spec},
		},
	}
	world.create(t, rs)

	// The flag without the grant: the operator is told what to grant.
	s := status(t, world.author(t).Create(t.Context(), owned(pod(ns, "by-hand", "data"), "apps/v1", "ReplicaSet", "rs", rs.UID)))
	if want := "may not get replicasets.apps in namespace " + ns; s.Code != 500 || !strings.Contains(s.Message, want) {
		t.Errorf("%d %s, want 500 …%s", s.Code, s.Message, want)
	}
	world.wantClaims(t, ns)

	name := stack.Name + "-replicasets"
	world.create(t, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"apps"}, Resources: []string{"replicasets"}, Verbs: []string{"get"}}},
	})
	world.create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: stack.Name, Name: stack.Name}},
	})
	world.waitAllowed(t, schema.GroupResource{Group: "apps", Resource: "replicasets"}, true, "get")
	before := len(world.calls(t, ns))
	more := rs.DeepCopy()
	more.Spec.Replicas = &one
	if err := world.admin.Patch(t.Context(), more, client.MergeFrom(rs)); err != nil {
		t.Fatal(err)
	}
	wait(t, "the ReplicaSet has its pod", func(ctx context.Context) error {
		_, err := world.only(ctx, ns)
		return err
	})
	if got, want := world.describe(t.Context(), ns, "data"), "9Gi fast [ReadWriteOnce]"; got != want {
		t.Errorf("the claim: %s, want %s", got, want)
	}
	c := world.claim(t, ns, "data")
	if o := c.OwnerReferences; len(o) != 1 || o[0].APIVersion != "apps/v1" || o[0].Kind != "ReplicaSet" || o[0].UID != rs.UID {
		t.Errorf("the claim is owned by %v", o)
	}
	if calls, want := world.calls(t, ns)[before:], []string{"get replicasets", "create persistentvolumeclaims"}; !slices.Equal(calls, want) {
		t.Errorf("the webhook's calls: %q, want %q", calls, want)
	}
	world.wantUndeleted(t, c)
	if err := world.admin.Delete(t.Context(), rs, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, collection, "the claim has gone with its ReplicaSet", func(ctx context.Context) error { return world.removed(ctx, c) })
}
