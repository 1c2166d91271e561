package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ensure-volumes/ensure-volumes/test/standin"
)

// Who deletes: the guide's table. Said to the server only, said in the hints only, and said in both.
func TestWhoDeletes(t *testing.T) {
	t.Parallel()
	const (
		nobody  = "kept"
		server  = "the server"
		cluster = "the cluster"
	)
	for _, test := range []struct {
		name       string
		guided     bool
		flag, hint bool
		expires    bool // the controller deletes the sandbox, and not the server
		by         string
	}{
		{"before-neither", false, false, false, false, nobody},
		{"before-flag", false, true, false, false, server},
		{"before-flag-expires", false, true, false, true, cluster},
		{"before-hint", false, false, true, false, nobody}, // the claim exists: hints change nothing
		{"before-both", false, true, true, false, server},
		{"guided-neither", true, false, false, false, nobody},
		{"guided-flag", true, true, false, false, nobody}, // the flag alone does not reach the webhook
		{"guided-hint", true, false, true, false, cluster},
		{"guided-both", true, true, true, false, cluster},
		{"guided-both-expires", true, true, true, true, cluster},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ns := world.namespace(t)
			o := world.opensandbox(t, ns, false, test.guided)
			r := request(t, fmt.Sprintf("volumes: [{name: home, pvc: {claimName: home, deleteOnSandboxTermination: %t}, mountPath: /home}]", test.flag))
			if test.hint {
				r.Extensions = map[string]string{"opensandbox.extensions.volumes": `[{"claimName":"home","deleteOnSandboxTermination":true}]`}
			}
			if err := o.ask(t, "a1", r); err != nil {
				t.Fatal(err)
			}
			c := world.claim(t, ns, "home")
			if owned := len(c.OwnerReferences) > 0; owned != (test.by != nobody) {
				t.Errorf("the claim is owned by %v", c.OwnerReferences)
			}
			if test.expires {
				sb := &unstructured.Unstructured{}
				sb.SetGroupVersionKind(standin.KindBatchSandbox)
				sb.SetNamespace(ns)
				sb.SetName("a1")
				if err := world.admin.Delete(t.Context(), sb); err != nil {
					t.Fatal(err)
				}
			} else if err := o.Delete(t.Context(), "a1"); err != nil {
				t.Fatal(err)
			}
			waitFor(t, collection, "the pod is gone", func(ctx context.Context) error { return world.gone(ctx, pod(ns, "a1-0")) })
			if test.by == nobody {
				world.wantUndeleted(t, c)
			} else {
				waitFor(t, collection, "the claim is gone", func(ctx context.Context) error { return world.removed(ctx, c) })
			}
			deletes := func(user string) bool {
				return slices.ContainsFunc(world.did(t, ns, user, "persistentvolumeclaims"), func(did string) bool {
					return strings.HasPrefix(did, "delete home 200")
				})
			}
			if got := deletes(o.user); got != (test.by == server) {
				t.Errorf("the server has deleted the claim: %t", got)
			}
			if deletes(account) {
				t.Error("the webhook has deleted the claim")
			}
		})
	}
}

// createIfNotExists: the guide's table. It is said to the server, in the hints, or on the Namespace.
func TestCreateIfNotExists(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		guided bool
		pvc    string
		hint   string
		strict bool
		by     string // who creates the claim; "": nobody, and the pod is refused
	}{
		{"before-default", false, ``, ``, false, "server"},
		{"before-pvc", false, `, createIfNotExists: false`, `,"createIfNotExists":false`, false, ""},
		{"before-pvc-only", false, `, createIfNotExists: false`, ``, false, "webhook"},
		{"before-hint", false, ``, `,"createIfNotExists":false`, false, "server"},
		{"before-strict", false, ``, ``, true, "server"},
		{"guided-default", true, ``, ``, false, "webhook"},
		{"guided-pvc", true, `, createIfNotExists: false`, ``, false, "webhook"},
		{"guided-hint", true, ``, `,"createIfNotExists":false`, false, ""},
		{"guided-strict", true, ``, ``, true, ""},
		{"guided-strict-hint", true, ``, `,"createIfNotExists":true`, true, "webhook"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var ns string
			if test.strict {
				ns = world.tenant(t, "createIfNotExists", "false")
			} else {
				ns = world.namespace(t)
			}
			o := world.opensandbox(t, ns, false, test.guided)
			r := request(t, "volumes: [{name: home, pvc: {claimName: home"+test.pvc+"}, mountPath: /home}]")
			r.Extensions = map[string]string{"opensandbox.extensions.volumes": `[{"claimName":"home"` + test.hint + `}]`}
			cr, err := o.Begin(t.Context(), "a1", r)
			if err != nil {
				t.Fatal(err)
			}
			err = o.controllers.BatchSandbox(t.Context(), cr)
			if test.by == "" {
				if err == nil || !strings.Contains(err.Error(), "createIfNotExists") {
					t.Errorf("the pod: %v", err)
				}
				world.wantClaims(t, ns)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			by := "server"
			if world.claim(t, ns, "home").Labels["app.kubernetes.io/managed-by"] == "ensure-volumes" {
				by = "webhook"
			}
			if by != test.by {
				t.Errorf("created by the %s, want the %s", by, test.by)
			}
		})
	}
}
