package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/test/standin"
)

// The server's own hints and ours, for one claim: what the server would do differs from what we would.
const sizes = `
volumes: [{name: home, pvc: {claimName: home, storage: 2Gi, storageClass: fast}, mountPath: /home}]
extensions: {opensandbox.extensions.volumes: '[{"claimName":"home","storage":"7Gi"}]'}
`

// Without the permission the server tries, carries on, and the webhook creates by the hints. Of the pvc's own fields but the
// name nothing reaches it.
func TestAServerThatMayNotCreateClaims(t *testing.T) {
	t.Parallel()
	for _, agentSandbox := range []bool{false, true} {
		t.Run(fmt.Sprint("agent-sandbox ", agentSandbox), func(t *testing.T) {
			t.Parallel()
			ns := world.namespace(t)
			o := world.opensandbox(t, ns, agentSandbox, asGuided)
			if err := o.ask(t, "a1", request(t, sizes)); err != nil {
				t.Fatal(err)
			}
			if want := []string{"no permission to create claim home, skipped"}; !slices.Equal(o.logged, want) {
				t.Errorf("the server's log: %q, want %q", o.logged, want)
			}
			if got, want := world.did(t, ns, o.user, "persistentvolumeclaims"), []string{"create 403"}; !slices.Equal(got, want) {
				t.Errorf("the server has done %q, want %q", got, want)
			}
			if got := world.calls(t, ns); times(got, "create persistentvolumeclaims") != 1 {
				t.Errorf("the webhook has done %q", got)
			}
			world.wantDescribed(t, ns, "home", "7Gi standard [ReadWriteOnce]")
		})
	}
}

// With the permission the claim is the server's: it is there before the pod, and the webhook only says where it differs.
func TestAServerThatMayCreateClaims(t *testing.T) {
	t.Parallel()
	for _, agentSandbox := range []bool{false, true} {
		t.Run(fmt.Sprint("agent-sandbox ", agentSandbox), func(t *testing.T) {
			t.Parallel()
			ns := world.namespace(t)
			o := world.opensandbox(t, ns, agentSandbox, asInstalled)
			if err := o.ask(t, "a1", request(t, sizes)); err != nil {
				t.Fatal(err)
			}
			if got, want := world.did(t, ns, o.user, "persistentvolumeclaims"), []string{"create home 201"}; !slices.Equal(got, want) {
				t.Errorf("the server has done %q, want %q", got, want)
			}
			if got := world.calls(t, ns); slices.Contains(got, "create persistentvolumeclaims") {
				t.Errorf("the webhook has done %q", got)
			}
			world.wantDescribed(t, ns, "home", "2Gi fast [ReadWriteOnce]")
			c := world.claim(t, ns, "home")
			if c.Labels["app.kubernetes.io/managed-by"] != "" || c.Annotations[domain+"/created"] != "" {
				t.Errorf("the server's claim has our marks: %v %v", c.Labels, c.Annotations)
			}
			made, err := world.only(t.Context(), ns)
			if err != nil {
				t.Fatal(err)
			}
			if made.Annotations[domain+"/created"] != "" {
				t.Errorf("the pod says that %q were created", made.Annotations[domain+"/created"])
			}
			// Hints on the owner are read only where a claim is missing: of these the agent-sandbox's controller hears nothing.
			var want []string
			if !agentSandbox {
				want = []string{`claim "home" exists: storage 7Gi asked, it has 2Gi`}
			}
			if warned := o.made.warned(); !slices.Equal(warned, want) {
				t.Errorf("warned %q, want %q", warned, want)
			}
		})
	}
}

// A claim that goes with one sandbox is no other's, whoever has created it.
func TestAnotherSandboxsClaim(t *testing.T) {
	t.Parallel()
	const text = `
volumes: [{name: home, pvc: {claimName: home, deleteOnSandboxTermination: true}, mountPath: /home}]
extensions: {opensandbox.extensions.volumes: '[{"claimName":"home","deleteOnSandboxTermination":true}]'}
`
	for name, may := range map[string]string{"before": asInstalled, "guided": asGuided} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := world.namespace(t)
			o := world.opensandbox(t, ns, false, may)
			if err := o.ask(t, "a1", request(t, text)); err != nil {
				t.Fatal(err)
			}
			c := world.claim(t, ns, "home")
			err := o.ask(t, "b2", request(t, text))
			if may == asInstalled {
				if err == nil || !strings.HasPrefix(err.Error(), "409 ") {
					t.Errorf("the server answers %v", err)
				}
			} else if told := strings.Join(world.told(t, ns, "BatchSandbox", "b2"), "\n"); err == nil || !strings.HasPrefix(err.Error(), "504 ") ||
				!strings.Contains(told, "/home belongs to BatchSandbox.sandbox.opensandbox.io/a1 ") {
				t.Errorf("the server answers %v, and the events of b2 say %q", err, told)
			}
			world.wantUndeleted(t, c)
		})
	}
}

// A refusal reaches the caller, or whoever reads the sandbox's events, in the webhook's words; of a quota both at once where the
// server knows how to tell. What was made for the sandbox goes again.
func TestRefusalsReachTheSandboxsOwner(t *testing.T) {
	t.Parallel()
	const (
		over  = `{"claimName":"home","storage":"50Gi","deleteOnSandboxTermination":true}`
		fault = `{"claimName":"home","storage":"5 GB"}`
		quota = `persistentvolumeclaims "home" is forbidden: exceeded quota: storage, requested: requests.storage=50Gi, used: requests.storage=0, limited: requests.storage=20Gi`
		fix   = `invalid quantity "5 GB"; write it as "5Gi"`
	)
	for _, test := range []struct {
		name, hint   string
		agentSandbox bool
		says         string
		answer       string
		quick        bool
	}{
		{"quota on BatchSandbox", over, false, quota, "504 KUBERNETES::POD_READY_TIMEOUT", false},
		{"quota on Sandbox", over, true, quota, "403 KUBERNETES::QUOTA_EXCEEDED", true},
		{"fault on BatchSandbox", fault, false, fix, "504 KUBERNETES::POD_READY_TIMEOUT", false},
		{"fault on Sandbox", fault, true, fix, "504 KUBERNETES::POD_READY_TIMEOUT", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ns := world.namespace(t)
			world.quota(t, ns, map[string]string{"requests.storage": "20Gi"})
			o := world.opensandbox(t, ns, test.agentSandbox, asGuided)
			o.Timeout = 10 * time.Second
			r := request(t, "volumes: [{name: home, pvc: {claimName: home}, mountPath: /home}]")
			r.Extensions = map[string]string{"opensandbox.extensions.volumes": "[" + test.hint + "]"}
			seen := make(chan string, 1)
			if test.agentSandbox && !test.quick {
				// Its server deletes the Sandbox, and the condition with it.
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				go func() { seen <- world.refusal(ctx, ns, "a1") }()
			}
			begin := time.Now()
			err := o.ask(t, "a1", r)
			took := time.Since(begin)
			if err == nil || !strings.HasPrefix(err.Error(), test.answer) {
				t.Fatalf("the server answers %v, want %s", err, test.answer)
			}
			if quick := took < o.Timeout; quick != test.quick {
				t.Errorf("the answer took %s", took)
			}
			var told string
			switch {
			case test.quick:
				told = err.Error() // it has the condition's message
			case test.agentSandbox:
				told = <-seen
			default:
				told = strings.Join(world.told(t, ns, "BatchSandbox", "a1"), "\n")
			}
			if !strings.Contains(told, test.says) {
				t.Errorf("the sandbox's owner reads %q, want %q", told, test.says)
			}
			world.wantClaims(t, ns)
			kind := standin.KindBatchSandbox
			if test.agentSandbox {
				kind = standin.KindSandbox
			}
			gone := &unstructured.Unstructured{}
			gone.SetGroupVersionKind(kind)
			gone.SetNamespace(ns)
			gone.SetName("a1")
			if err := world.gone(t.Context(), gone); err != nil {
				t.Errorf("%s a1: %v", kind.Kind, err)
			}
		})
	}
}

// refusal is the message of a Sandbox whose controller has met an error, once it is there; "" where ctx ends before.
func (g *ground) refusal(ctx context.Context, ns, name string) string {
	for ctx.Err() == nil {
		sb := &unstructured.Unstructured{}
		sb.SetGroupVersionKind(standin.KindSandbox)
		if err := g.admin.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, sb); err == nil {
			conditions, _, _ := unstructured.NestedSlice(sb.Object, "status", "conditions")
			for _, c := range conditions {
				if condition := c.(map[string]any); condition["reason"] == "ReconcilerError" {
					return condition["message"].(string)
				}
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return ""
}
