package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// tenant makes an enabled namespace with annotations of its own: pairs of a key
// and a value. It returns once the webhook knows of both, whether it then
// admits pods or refuses them.
func (g *ground) tenant(t *testing.T, annotations ...string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: hinted(pod("", ""), annotations...).ObjectMeta}
	ns.GenerateName = "tenant-"
	ns.Labels = map[string]string{domain + "/auto-create": "enabled"}
	g.create(t, ns)
	wait(t, "the webhook answers for "+ns.Name, func(ctx context.Context) error {
		p := pod(ns.Name, "probe", "probe")
		err := g.admin.Create(ctx, p, client.DryRunAll)
		if err == nil && p.Annotations[domain+"/created"] == "" {
			return errors.New("it is not asked yet")
		}
		if apierrors.IsInvalid(err) {
			return nil // nobody but the webhook finds this pod invalid
		}
		return err
	})
	return ns.Name
}

func TestHintsOnTheNamespace(t *testing.T) {
	t.Parallel()
	ns, person := world.tenant(t, "storage", "20Gi", "storageClassName", fast, "accessModes", "RWX"), world.author(t)
	if err := person.Create(t.Context(), pod(ns, "sb1", "home")); err != nil {
		t.Fatal(err)
	}
	if err := person.Create(t.Context(), hinted(pod(ns, "sb2", "data"), "storage", "2Gi")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"home": "20Gi fast [ReadWriteMany]", "data": "2Gi fast [ReadWriteMany]"} {
		if got := world.describe(t.Context(), ns, name); got != want {
			t.Errorf("claim %s: %s, want %s", name, got, want)
		}
	}
	if warned := person.warned(); len(warned) > 0 {
		t.Errorf("warned %q", warned)
	}
	// The owner's hints come before the Namespace's.
	o := world.owner(t, sandbox, ns, "sb3", "storage", "3Gi")
	if err := person.Create(t.Context(), by(o, pod(ns, "sb3", "cache"))); err != nil {
		t.Fatal(err)
	}
	if got, want := world.describe(t.Context(), ns, "cache"), "3Gi fast [ReadWriteMany]"; got != want {
		t.Errorf("claim cache: %s, want %s", got, want)
	}
}

func TestStrictMode(t *testing.T) {
	t.Parallel()
	ns := world.tenant(t, "createIfNotExists", "false")
	world.create(t, claim(ns, "data", "1Gi"))
	output, refused := world.kubectl(t, ns, world.manifest(t, pod(ns, "typo", "dtaa")), "create", "-f", "-")
	want := `spec.volumes[0].persistentVolumeClaim.claimName: claim "dtaa" does not exist and createIfNotExists is false (Namespace "` + ns +
		`": metadata.annotations[volumes.opensandbox.io/createIfNotExists]); create the claim first`
	if !refused || !strings.Contains(output, want) {
		t.Errorf("kubectl says %q, want %q in it", output, want)
	}
	// Its claim exists; or the pod says that it means it.
	for _, p := range []*corev1.Pod{pod(ns, "there", "data"), hinted(pod(ns, "meant", "more"), "createIfNotExists", "true")} {
		if output, refused := world.kubectl(t, ns, world.manifest(t, p), "create", "-f", "-"); refused || output != "pod/"+p.Name+" created\n" {
			t.Errorf("kubectl says %q", output)
		}
	}
	world.wantClaims(t, ns, "data", "more")
}

// A faulty value on a Namespace is a fault where it would be used.
func TestAFaultyHintOnTheNamespace(t *testing.T) {
	t.Parallel()
	ns, person := world.tenant(t, "storage", "20 Gb"), world.author(t)
	err := person.Create(t.Context(), pod(ns, "sb1", "data"))
	s := status(t, err)
	field, message := `Namespace "`+ns+`": metadata.annotations[volumes.opensandbox.io/storage]`, `invalid quantity "20 Gb"; write it as "20Gi"`
	if s.Reason != metav1.StatusReasonInvalid || s.Code != 422 || !strings.Contains(s.Message, field+": "+message) ||
		len(s.Details.Causes) != 1 || s.Details.Causes[0].Field != field || s.Details.Causes[0].Message != message {
		t.Errorf("got %+v", s)
	}
	output, refused := world.kubectl(t, ns, world.manifest(t, pod(ns, "sb1", "data")), "create", "-f", "-")
	if !refused || !strings.Contains(output, field+": "+message) {
		t.Errorf("kubectl says %q", output)
	}
	world.wantClaims(t, ns)

	if err := person.Create(t.Context(), hinted(pod(ns, "sb2", "data"), "storage", "2Gi")); err != nil {
		t.Errorf("a pod that says its own size: %v", err)
	}
	if warned := person.warned(); len(warned) > 0 {
		t.Errorf("warned %q", warned)
	}
	world.wantClaims(t, ns, "data")
}

func TestAKeyOnTheNamespaceThatIsNone(t *testing.T) {
	t.Parallel()
	ns, person := world.tenant(t, "strorage", "20Gi"), world.author(t)
	if err := person.Create(t.Context(), pod(ns, "sb1", "data")); err != nil {
		t.Fatal(err)
	}
	if warned := person.warned(); len(warned) != 1 || !strings.Contains(warned[0], "strorage") {
		t.Errorf("warned %q", warned)
	}
	if got := world.describe(t.Context(), ns, "data"); got != defaults {
		t.Errorf("the claim: %s", got)
	}
}

func TestTheLabelSwitchesANamespaceOnAndOff(t *testing.T) {
	t.Parallel()
	ns, person := world.quiet(t), world.author(t)
	create := func(name, claim string, want ...string) {
		t.Helper()
		if err := person.Create(t.Context(), pod(ns, name, claim)); err != nil {
			t.Fatal(err)
		}
		if warned := person.warned(); len(warned) > 0 {
			t.Errorf("warned %q", warned)
		}
		world.wantClaims(t, ns, want...)
	}
	// answers waits until the webhook has heard of the label's new value.
	answers := func(on bool) {
		t.Helper()
		wait(t, fmt.Sprintf("the webhook answers: %v", on), func(ctx context.Context) error {
			p := pod(ns, "probe", "probe")
			if err := world.admin.Create(ctx, p, client.DryRunAll); err != nil {
				return err
			}
			if _, created := p.Annotations[domain+"/created"]; created != on {
				return fmt.Errorf("a pod's annotations are %v", p.Annotations)
			}
			return nil
		})
	}
	label := func(value string) {
		t.Helper()
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"volumes.opensandbox.io/auto-create":`+value+`}}}`))
		if err := world.admin.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, patch); err != nil {
			t.Fatal(err)
		}
	}
	// gone takes a pod away that would get its claim as soon as the label is there.
	gone := func(name string) {
		t.Helper()
		if err := world.admin.Delete(t.Context(), pod(ns, name), client.GracePeriodSeconds(0)); err != nil {
			t.Fatal(err)
		}
	}
	create("before", "never")
	gone("before")
	label(`"enabled"`)
	answers(true)
	create("on", "one", "one")
	label(`"disabled"`)
	answers(false)
	create("other-value", "never", "one")
	gone("other-value")
	label(`"enabled"`)
	answers(true)
	create("on-again", "two", "one", "two")
	label("null")
	answers(false)
	create("off", "never", "one", "two")
	if calls := world.calls(t, ns); !slices.Equal(calls, []string{"create persistentvolumeclaims", "create persistentvolumeclaims"}) {
		t.Errorf("the webhook's calls: %q", calls)
	}
}
