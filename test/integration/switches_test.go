package integration

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The safety switch leaves everything as it would be without us, and says so.
func TestTheSafetySwitch(t *testing.T) {
	ns, person := world.namespace(t), world.author(t)
	world.create(t, claim(ns, "there", "1Gi"))
	world.restart(t, "--volume-auto-create=false")

	p := hinted(pod(ns, "sb1", "data", "there", "home"), "storage", "banana", "createIfNotExists", "false")
	if err := person.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`claim "data" does not exist and the operator has switched creation off`,
		`claim "home" does not exist and the operator has switched creation off`,
	}
	warned := person.warned()
	if !slices.Equal(warned, want) {
		t.Errorf("warned %q, want %q", warned, want)
	}
	world.warned(t, "switched-off", warned[:1])
	if err := person.Create(t.Context(), pod(ns, "many", numbered(300)...), client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	warned = person.warned()
	if len(warned) < 3 || !strings.HasPrefix(warned[1], `claim "data-0" does not exist`) {
		t.Fatalf("warned %q", warned)
	}
	world.warned(t, "switched-off-many", warned[:1])
	output, refused := world.kubectl(t, ns, world.manifest(t, pod(ns, "sb2", "data")), "create", "-f", "-")
	if refused || !strings.Contains(output, "pod/sb2 created\n") || !strings.Contains(output, "Warning: "+want[0]+"\n") {
		t.Errorf("kubectl says %q", output)
	}
	for _, name := range []string{"sb1", "sb2"} {
		if made, is := world.pod(t, ns, name).Annotations[domain+"/created"]; is {
			t.Errorf("pod %s says that %q were created", name, made)
		}
	}
	world.wantClaims(t, ns, "there")
	if calls := world.calls(t, ns); len(calls) > 0 {
		t.Errorf("the webhook's calls: %q", calls)
	}
}

// Retention can be switched off for all: the claim is kept, with a warning.
func TestDeletionWithTheSandboxSwitchedOff(t *testing.T) {
	ns, person := world.namespace(t), world.author(t)
	o := world.owner(t, batchSandbox, ns, "sb1")
	world.restart(t, "--delete-on-sandbox-termination=false")
	if err := person.Create(t.Context(), by(o, hinted(pod(ns, "sb1-0", "data"), deleteOnTermination, "true"))); err != nil {
		t.Fatal(err)
	}
	want := []string{`claim "data" is kept despite deleteOnSandboxTermination: the operator has switched it off`}
	warned := person.warned()
	if !slices.Equal(warned, want) {
		t.Errorf("warned %q, want %q", warned, want)
	}
	world.warned(t, "deletion-switched-off", warned)
	world.wantKept(t, world.claim(t, ns, "data"))
}

// wantKept holds that a claim will outlive every sandbox: nobody owns it.
func (g *ground) wantKept(t *testing.T, c *corev1.PersistentVolumeClaim) {
	t.Helper()
	if len(c.OwnerReferences) > 0 || c.Annotations[domain+"/owner"] != "" || c.Annotations[domain+"/delete-with-owner"] != "" {
		t.Errorf("claim %s is owned: %v %v", client.ObjectKeyFromObject(c), c.OwnerReferences, c.Annotations)
	}
}
