package integration

import (
	"fmt"
	"strings"
	"testing"
)

// createIfNotExists: the guide's table, for each provider. It is said to the server, in the hints, or on the Namespace.
func TestCreateIfNotExists(t *testing.T) {
	t.Parallel()
	for _, agentSandbox := range []bool{false, true} {
		for _, test := range []struct {
			name string
			may  string
			pvc  string
			hint string
			ns   string // the Namespace's annotation: the strict mode
			by   string // who creates the claim; "": nobody, and the pod is refused
		}{
			{"before-default", asInstalled, ``, ``, "", "server"},
			{"before-pvc", asInstalled, `, createIfNotExists: false`, `,"createIfNotExists":false`, "", ""},
			{"before-pvc-only", asInstalled, `, createIfNotExists: false`, ``, "", "webhook"},
			{"before-hint", asInstalled, ``, `,"createIfNotExists":false`, "", "server"},
			{"before-strict", asInstalled, ``, ``, "false", "server"},
			{"before-pvc-only-strict", asInstalled, `, createIfNotExists: false`, ``, "false", ""},
			{"guided-default", asGuided, ``, ``, "", "webhook"},
			{"guided-pvc", asGuided, `, createIfNotExists: false`, ``, "", "webhook"},
			{"guided-hint", asGuided, ``, `,"createIfNotExists":false`, "", ""},
			{"guided-strict", asGuided, ``, ``, "false", ""},
			{"guided-strict-hint", asGuided, ``, `,"createIfNotExists":true`, "false", "webhook"},
		} {
			t.Run(fmt.Sprintf("%s %s", provider(agentSandbox), test.name), func(t *testing.T) {
				t.Parallel()
				var ns string
				if test.ns != "" {
					ns = world.tenant(t, "createIfNotExists", test.ns)
				} else {
					ns = world.namespace(t)
				}
				o := world.opensandbox(t, ns, agentSandbox, test.may)
				r := request(t, "volumes: [{name: home, pvc: {claimName: home"+test.pvc+"}, mountPath: /home}]")
				r.Extensions = map[string]string{"opensandbox.extensions.volumes": `[{"claimName":"home"` + test.hint + `}]`}
				cr, err := o.Begin(t.Context(), "a1", r)
				if err != nil {
					t.Fatal(err)
				}
				if agentSandbox {
					err = o.controllers.Sandbox(t.Context(), cr)
				} else {
					err = o.controllers.BatchSandbox(t.Context(), cr)
				}
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
}
