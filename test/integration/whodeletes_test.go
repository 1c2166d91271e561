package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/test/standin"
)

// collector is the account of Kubernetes' own garbage collector.
const collector = "system:serviceaccount:kube-system:generic-garbage-collector"

// Who deletes: the guide's table, for each provider. Said to the server only, said in the hints only, and said in both; by a server
// that may do all with claims, that may do what the guide leaves it, and that may do all but create.
func TestWhoDeletes(t *testing.T) {
	t.Parallel()
	const (
		nobody  = "nobody"
		server  = "the server"
		cluster = "the cluster"
	)
	for _, agentSandbox := range []bool{false, true} {
		for _, test := range []struct {
			name       string
			may        string
			flag, hint bool
			expires    bool // the sandbox is deleted past the server
			by         string
		}{
			{"before-neither", asInstalled, false, false, false, nobody},
			{"before-flag", asInstalled, true, false, false, server},
			{"before-flag-expires", asInstalled, true, false, true, cluster},
			{"before-hint", asInstalled, false, true, false, nobody}, // the claim exists: hints change nothing
			{"before-both", asInstalled, true, true, false, server},
			{"guided-neither", asGuided, false, false, false, nobody},
			{"guided-flag", asGuided, true, false, false, nobody}, // the flag alone does not reach the webhook
			{"guided-hint", asGuided, false, true, false, cluster},
			{"guided-both", asGuided, true, true, false, cluster},
			{"guided-both-expires", asGuided, true, true, true, cluster},
			{"all-but-create-neither", butCreate, false, false, false, nobody},
			{"all-but-create-flag", butCreate, true, false, false, nobody},
			{"all-but-create-hint", butCreate, false, true, false, cluster},
			{"all-but-create-both", butCreate, true, true, false, cluster},
			{"all-but-create-both-expires", butCreate, true, true, true, cluster},
		} {
			t.Run(fmt.Sprintf("%s %s", provider(agentSandbox), test.name), func(t *testing.T) {
				t.Parallel()
				ns := world.namespace(t)
				o := world.opensandbox(t, ns, agentSandbox, test.may)
				if err := o.ask(t, "a1", goes("home", test.flag, test.hint)); err != nil {
					t.Fatal(err)
				}
				c := world.claim(t, ns, "home")
				if owned := len(c.OwnerReferences) > 0; owned != (test.by != nobody) {
					t.Errorf("the claim is owned by %v", c.OwnerReferences)
				}
				world.hold(t, c)
				o.end(t, "a1", test.expires)
				want := map[string][]string{nobody: nil, server: {o.user}, cluster: {collector}}[test.by]
				if test.by == nobody {
					world.wantUndeleted(t, c)
				} else {
					world.letGo(t, c)
				}
				got := world.deleters(t, ns)
				if test.by == server {
					got = slices.DeleteFunc(got, func(user string) bool { return user == collector }) // by the owner, and late
				}
				if !slices.Equal(got, want) {
					t.Errorf("deleted, or tried to, by %q, want %q", got, want)
				}
			})
		}
	}
}

// A claim that the server has made to go with its sandbox goes with it also once the server may no longer create claims: it has an
// owner. Where the server may not delete it either, it tries and goes on.
func TestTheServersClaimAfterItsPermissionIsTaken(t *testing.T) {
	t.Parallel()
	for _, agentSandbox := range []bool{false, true} {
		for _, expires := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s expires %t", provider(agentSandbox), expires), func(t *testing.T) {
				t.Parallel()
				ns, user := world.namespace(t), world.limited(t, asInstalled)
				o := world.opensandboxOf(t, ns, agentSandbox, user)
				if err := o.ask(t, "a1", goes("home", true, true)); err != nil {
					t.Fatal(err)
				}
				c := world.claim(t, ns, "home")
				if c.Labels["opensandbox.io/volume-managed-by"] != "server" || c.Labels["app.kubernetes.io/managed-by"] != "" {
					t.Errorf("the claim is not the server's: %v", c.Labels)
				}
				world.limit(t, user, asGuided)
				// What comes now is the webhook's.
				if err := o.ask(t, "b2", goes("next", true, true)); err != nil {
					t.Fatal(err)
				}
				next := world.claim(t, ns, "next")
				if next.Labels["app.kubernetes.io/managed-by"] != "ensure-volumes" {
					t.Errorf("the next claim is not the webhook's: %v", next.Labels)
				}
				world.hold(t, c)
				o.end(t, "a1", expires)
				world.letGo(t, c)
				var want []string
				if !expires {
					want = []string{"delete home 403"}
				}
				tried := slices.DeleteFunc(world.did(t, ns, user, "persistentvolumeclaims"), func(did string) bool { return !strings.HasPrefix(did, "delete") })
				if !slices.Equal(tried, want) {
					t.Errorf("the server has tried %q, want %q", tried, want)
				}
				left := slices.ContainsFunc(o.logged, func(line string) bool { return strings.HasPrefix(line, "claim home is left: ") })
				if left == expires {
					t.Errorf("the server's log: %q", o.logged)
				}
				if by := world.deleters(t, ns); !slices.Contains(by, collector) || slices.Contains(by, account) {
					t.Errorf("deleted, or tried to, by %q", by)
				}
				world.wantUndeleted(t, next)
			})
		}
	}
}

// A claim that was there before stays, whatever is said in pvc and in the hints. A second one, made for the same sandbox, has gone
// by then, so everybody who deletes has been there.
func TestAClaimThatWasThereBeforeStays(t *testing.T) {
	t.Parallel()
	for _, agentSandbox := range []bool{false, true} {
		for name, may := range map[string]string{"before": asInstalled, "guided": asGuided, "all-but-create": butCreate} {
			t.Run(fmt.Sprintf("%s %s", provider(agentSandbox), name), func(t *testing.T) {
				t.Parallel()
				ns := world.namespace(t)
				o := world.opensandbox(t, ns, agentSandbox, may)
				before := claim(ns, "before", "1Gi")
				world.create(t, before)
				r := goes("home", true, true)
				r.Volumes = append(r.Volumes, goes("before", true, true).Volumes...)
				r.Extensions["opensandbox.extensions.volumes"] = `[{"claimName":"home","deleteOnSandboxTermination":true},{"claimName":"before","deleteOnSandboxTermination":true}]`
				if err := o.ask(t, "a1", r); err != nil {
					t.Fatal(err)
				}
				if c := world.claim(t, ns, "before"); len(c.OwnerReferences) > 0 || c.Labels["opensandbox.io/volume-managed-by"] != "" {
					t.Errorf("the claim that was there has been taken: %v %v", c.OwnerReferences, c.Labels)
				}
				home := world.claim(t, ns, "home")
				world.hold(t, home)
				world.hold(t, before)
				o.end(t, "a1", false)
				world.letGo(t, home)
				world.wantUndeleted(t, before)
				for _, e := range world.events(t, ns) {
					if strings.HasPrefix(e.Verb, "delete") && e.ObjectRef.Resource == "persistentvolumeclaims" && e.ObjectRef.Name != "home" {
						t.Errorf("%s tried to delete %q: %d", e.who(), e.ObjectRef.Name, e.ResponseStatus.Code)
					}
				}
			})
		}
	}
}

func provider(agentSandbox bool) string {
	if agentSandbox {
		return "Sandbox"
	}
	return "BatchSandbox"
}

// goes is a request for a claim that is to go with its sandbox, said in pvc, in the hints, or in both.
func goes(name string, flag, hint bool) *standin.Request {
	return &standin.Request{
		Image: standin.Image{URI: "python:3.11"},
		Volumes: []standin.Volume{{
			Name: name, MountPath: "/" + name, PVC: &standin.PVC{ClaimName: name, DeleteOnSandboxTermination: flag},
		}},
		Extensions: map[string]string{
			"opensandbox.extensions.volumes": fmt.Sprintf(`[{"claimName":%q,"deleteOnSandboxTermination":%t}]`, name, hint),
		},
	}
}

// end is the end of a sandbox: by a request to the server, or past it, as the controller does it when the sandbox expires. It returns
// once its pod is gone.
func (o *opensandbox) end(t *testing.T, id string, expires bool) {
	t.Helper()
	kind, made := standin.KindBatchSandbox, pod(o.Namespace, id+"-0")
	if o.AgentSandbox {
		kind, made = standin.KindSandbox, pod(o.Namespace, id)
	}
	if expires {
		sb := &unstructured.Unstructured{}
		sb.SetGroupVersionKind(kind)
		sb.SetNamespace(o.Namespace)
		sb.SetName(id)
		if err := world.admin.Delete(t.Context(), sb); err != nil {
			t.Fatal(err)
		}
	} else if err := o.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	waitFor(t, collection, "the pod is gone", func(ctx context.Context) error { return world.gone(ctx, made) })
}

// hold keeps a claim in sight once it is deleted, until letGo: the collector may be quicker than the server, which would then find
// nothing to delete.
func (g *ground) hold(t *testing.T, c *corev1.PersistentVolumeClaim) {
	t.Helper()
	g.finalize(t, c, `["kubernetes.io/pvc-protection","example.com/held"]`)
}

// letGo returns once a held claim, which somebody has deleted, is gone.
func (g *ground) letGo(t *testing.T, c *corev1.PersistentVolumeClaim) {
	t.Helper()
	waitFor(t, collection, "claim "+c.Name+" is being deleted", func(context.Context) error {
		if now := g.claim(t, c.Namespace, c.Name); now.DeletionTimestamp == nil {
			return fmt.Errorf("nobody has deleted it, and its owners are %v", now.OwnerReferences)
		}
		return nil
	})
	g.finalize(t, c, "null")
	waitFor(t, collection, "claim "+c.Name+" is gone", func(ctx context.Context) error { return g.removed(ctx, c) })
}

func (g *ground) finalize(t *testing.T, c *corev1.PersistentVolumeClaim, finalizers string) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":`+finalizers+`}}`))
	if err := g.admin.Patch(t.Context(), c.DeepCopy(), patch); err != nil {
		t.Fatal(err)
	}
}

// deleters are the users that have asked to delete a claim of a namespace, whatever the answer was.
func (g *ground) deleters(t *testing.T, ns string) []string {
	t.Helper()
	var all []string
	for _, e := range g.events(t, ns) {
		if strings.HasPrefix(e.Verb, "delete") && e.ObjectRef.Resource == "persistentvolumeclaims" && e.ObjectRef.Namespace == ns {
			all = append(all, e.who())
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
