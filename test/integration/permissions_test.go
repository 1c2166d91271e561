package integration

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// without takes verbs on a resource from the shipped ClusterRole until the test
// ends. It returns once the API server refuses them to the webhook's account.
func (g *ground) without(t *testing.T, resource schema.GroupResource, verbs ...string) {
	t.Helper()
	role := &rbacv1.ClusterRole{}
	if err := g.admin.Get(t.Context(), client.ObjectKey{Name: stack.Name}, role); err != nil {
		t.Fatal(err)
	}
	shipped := slices.Clone(role.Rules)
	found := false
	for i, rule := range role.Rules {
		kept := slices.DeleteFunc(slices.Clone(rule.Verbs), func(v string) bool { return slices.Contains(verbs, v) })
		if !slices.Contains(rule.APIGroups, resource.Group) || !slices.Contains(rule.Resources, resource.Resource) || len(kept) == len(rule.Verbs) {
			continue
		}
		found = len(kept) == len(rule.Verbs)-len(verbs)
		role.Rules[i].Verbs = kept
		if len(kept) == 0 {
			role.Rules = slices.Delete(slices.Clone(role.Rules), i, i+1)
		}
		break
	}
	if !found {
		t.Fatalf("the shipped ClusterRole does not grant %q on %s: %+v", verbs, resource, shipped)
	}
	if err := g.admin.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Read anew: a second call may have taken more, and given it back.
		if err := g.admin.Get(context.Background(), client.ObjectKeyFromObject(role), role); err != nil {
			t.Fatal(err)
		}
		role.Rules = shipped
		if err := g.admin.Update(context.Background(), role); err != nil {
			t.Fatal(err)
		}
		g.waitAllowed(t, resource, true, verbs...)
	})
	g.waitAllowed(t, resource, false, verbs...)
}

func (g *ground) waitAllowed(t *testing.T, resource schema.GroupResource, want bool, verbs ...string) {
	t.Helper()
	for _, verb := range verbs {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:   account,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + stack.Name, "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: verb, Group: resource.Group, Resource: resource.Resource, Namespace: "somewhere",
			},
		}}
		wait(t, fmt.Sprintf("the account may %s %s is %t", verb, resource, want), func(ctx context.Context) error {
			asked := review.DeepCopy()
			if err := g.admin.Create(ctx, asked); err != nil {
				return err
			}
			if asked.Status.Allowed != want {
				return fmt.Errorf("it is %t", asked.Status.Allowed)
			}
			return nil
		})
	}
}

var ( // constants, if Go had them of structs
	claimResource  = schema.GroupResource{Resource: "persistentvolumeclaims"}
	volumeResource = schema.GroupResource{Resource: "persistentvolumes"}
	classResource  = schema.GroupResource{Group: "storage.k8s.io", Resource: "storageclasses"}
	spaceResource  = schema.GroupResource{Resource: "namespaces"}
)

// Each verb that a request may need: its loss is the operator's fault, a 500
// that names what to grant.
func TestEachMissingPermissionIsNamed(t *testing.T) {
	ns := world.namespace(t)
	batch := world.owner(t, batchSandbox, ns, "sb1")
	agent := world.owner(t, sandbox, ns, "sb2")
	for _, test := range []struct {
		verb     string
		resource schema.GroupResource
		pod      *corev1.Pod
		doing    string // what it was about
		where    string
	}{
		{
			"create", claimResource, pod(ns, "sb1-0", "data"),
			"creating PersistentVolumeClaim " + ns + "/data", "in namespace " + ns,
		},
		{
			"get", claimResource, hinted(pod(ns, "sb1-0", "data"), "storage", "10 GB"),
			"reading PersistentVolumeClaim " + ns + "/data", "in namespace " + ns,
		},
		{
			"list", volumeResource, hinted(pod(ns, "sb1-0", "data"), "storageClass", "fsat"),
			"listing PersistentVolumes", "in the cluster",
		},
		{
			"list", classResource, hinted(pod(ns, "sb1-0", "data"), "storageClass", "fsat"),
			"listing StorageClasses", "in the cluster",
		},
		{
			"get", schema.GroupResource{Group: "sandbox.opensandbox.io", Resource: "batchsandboxes"}, by(batch, pod(ns, "sb1-0", "data")),
			"reading BatchSandbox " + ns + "/sb1", "in namespace " + ns,
		},
		{
			"get", schema.GroupResource{Group: "agents.x-k8s.io", Resource: "sandboxes"}, by(agent, pod(ns, "sb2", "data")),
			"reading Sandbox " + ns + "/sb2", "in namespace " + ns,
		},
	} {
		t.Run(test.verb+" "+test.resource.String(), func(t *testing.T) {
			world.without(t, test.resource, test.verb)
			want := fmt.Sprintf("%s: the webhook's service account may not %s %s %s; the operator must grant it that verb on that resource there",
				test.doing, test.verb, test.resource, test.where)
			for _, dryRun := range [][]client.CreateOption{nil, {client.DryRunAll}} {
				err := world.author(t).Create(t.Context(), test.pod.DeepCopy(), dryRun...)
				world.saw(t, "permission-"+test.verb+"-"+test.resource.Resource, err)
				s := status(t, err)
				if s.Code != 500 || s.Reason != metav1.StatusReasonInternalError || !strings.HasSuffix(s.Message, want) {
					t.Errorf("%d %s %s\nwant 500 InternalError …%s", s.Code, s.Reason, s.Message, want)
				}
			}
			output, refused := world.kubectl(t, ns, world.manifest(t, test.pod), "create", "-f", "-")
			if !refused || !strings.Contains(output, "(InternalError)") || !strings.Contains(output, want) {
				t.Errorf("kubectl says %s", output)
			}
			world.wantNothingLeft(t, ns)
		})
	}
	if err := world.author(t).Create(t.Context(), by(batch, pod(ns, "sb1-0", "data"))); err != nil {
		t.Errorf("with every permission: %v", err)
	}
}

// Every verb that is shipped is taken away by a test here or in
// safetynet_test.go, and none is shipped beyond.
func TestNoPermissionIsShippedWithoutItsTest(t *testing.T) {
	t.Parallel()
	output, err := world.cp.Kubectl(t.Context(), "", "get", "clusterrole", stack.Name, "-o",
		`go-template={{range .rules}}{{range .resources}}{{.}}{{end}} {{.verbs}}{{"\n"}}{{end}}`)
	const want = `persistentvolumeclaims [get list watch create]
namespaces [list watch]
storageclasses [list watch]
persistentvolumes [list]
batchsandboxes [get]
sandboxes [get]
pods [get list watch]
events [create patch]
persistentvolumeclaims [patch]
`
	if err != nil || output != want {
		t.Errorf("the ClusterRole grants (%v)\n%s\nwant\n%s", err, output, want)
	}
}

// A missing permission and a full quota are both 403: without the permission
// the answer names it, with it the quota's words come through.
func TestAMissingPermissionIsToldFromAQuota(t *testing.T) {
	ns := world.namespace(t)
	world.quota(t, ns, map[string]string{"persistentvolumeclaims": "0"})
	t.Run("the permission", func(t *testing.T) {
		world.without(t, claimResource, "create")
		s := status(t, world.author(t).Create(t.Context(), pod(ns, "sb1", "data")))
		if s.Code != 500 || !strings.Contains(s.Message, "may not create persistentvolumeclaims in namespace "+ns) || strings.Contains(s.Message, "quota") {
			t.Errorf("%d %s", s.Code, s.Message)
		}
	})
	t.Run("the quota", func(t *testing.T) {
		s := status(t, world.author(t).Create(t.Context(), pod(ns, "sb1", "data")))
		wantForbidden(t, s, "exceeded quota: storage, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=0, limited: persistentvolumeclaims=0")
	})
	world.wantNothingLeft(t, ns)
}

// A claim that exists needs no permission at all but the cache's.
func TestAnExistingClaimNeedsNoPermission(t *testing.T) {
	ns := world.namespace(t)
	world.create(t, claim(ns, "data", "1Gi"))
	if err := world.author(t).Create(t.Context(), pod(ns, "sb1", "data")); err != nil { // now the cache knows
		t.Fatal(err)
	}
	world.without(t, claimResource, "create", "get")
	if err := world.author(t).Create(t.Context(), pod(ns, "sb2", "data")); err != nil {
		t.Error(err)
	}
}

// Without what fills the caches the webhook does not become ready, and says
// what it waits for.
func TestAWebhookThatMayNotListIsNotReady(t *testing.T) {
	for _, test := range []struct {
		resource schema.GroupResource
		want     string
	}{
		{claimResource, "the claims of the cluster are not known yet: waiting for a list of persistentvolumeclaims"},
		{spaceResource, "the caches are not filled yet: waiting for lists of namespaces and storageclasses"},
		{classResource, "the caches are not filled yet: waiting for lists of namespaces and storageclasses"},
	} {
		t.Run(test.resource.String(), func(t *testing.T) {
			t.Cleanup(func() { world.swap(context.Background(), t) }) // after the verbs are back
			world.without(t, test.resource, "list", "watch")
			world.webhook.Kill()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			webhook, err := world.in.Start(ctx)
			if err == nil {
				world.webhook = webhook
				t.Fatal("the webhook is ready")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the webhook is not ready: %v\nwant …%s", err, test.want)
			}
		})
	}
}

// list or watch alone fills the caches: client-go lists by watching where it
// may, and lists again and again where it may not watch, which the log shows.
func TestOneOfListAndWatchIsEnoughToStart(t *testing.T) {
	for _, lost := range []string{"list", "watch"} {
		t.Run("without "+lost, func(t *testing.T) {
			t.Cleanup(func() { world.swap(context.Background(), t) }) // after the verbs are back
			ns := world.namespace(t)
			world.create(t, claim(ns, "home", "1Gi"))
			resources := []schema.GroupResource{claimResource, spaceResource, classResource}
			for _, resource := range resources {
				world.without(t, resource, lost)
			}
			world.swap(t.Context(), t)
			author := world.author(t)
			if err := author.Create(t.Context(), hinted(pod(ns, "sb1", "data", "home"), "storageClass", fast)); err != nil {
				t.Error(err)
			}
			if warned := author.warned(); len(warned) != 1 || !strings.Contains(warned[0], `claim "home" exists: storageClass "fast" asked`) {
				t.Errorf("warned %q", warned)
			}
			world.wantClaims(t, ns, "data", "home")
			for _, resource := range resources {
				want := fmt.Sprintf(`cannot %s resource \"%s\"`, lost, resource.Resource)
				content, err := os.ReadFile(world.webhook.LogPath)
				if err != nil {
					t.Fatal(err)
				}
				if said := strings.Contains(string(content), want); said != (lost == "watch") {
					t.Errorf("the log says that the account %s: %t", want, said)
				}
			}
		})
	}
}
