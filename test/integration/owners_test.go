package integration

import (
	"context"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestHintsOnTheOwnerOnly(t *testing.T) {
	t.Parallel()
	for _, apiVersion := range []string{batchSandbox, sandbox, sandboxBefore} {
		t.Run(apiVersion, func(t *testing.T) {
			t.Parallel()
			ns, person := world.namespace(t), world.author(t)
			o := world.owner(t, apiVersion, ns, "sb1", extensions, `[{"claimName":"home","storage":"7Gi","storageClass":"fast"},{"claimName":"data","storage":"8Gi","accessModes":["RWX"]}]`)
			p := by(o, hinted(pod(ns, "sb1-0", "home", "data", "scratch"), scoped("home", "storage"), "3Gi"))
			if err := person.Create(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if warned := person.warned(); len(warned) > 0 {
				t.Errorf("warned %q", warned)
			}
			for name, want := range map[string]string{
				"home":    "3Gi fast [ReadWriteOnce]", // the pod's own size, the owner's class
				"data":    "8Gi standard [ReadWriteMany]",
				"scratch": defaults,
			} {
				if got := world.describe(t.Context(), ns, name); got != want {
					t.Errorf("claim %s: %s, want %s", name, got, want)
				}
				if owners := world.claim(t, ns, name).OwnerReferences; len(owners) > 0 {
					t.Errorf("claim %s is owned by %v, nobody asked for that", name, owners)
				}
			}
			// The owner is read once, and not for a pod whose claims exist.
			read := "get " + strings.ToLower(kindOf(apiVersion)) + "es"
			count := func() int { return times(world.calls(t, ns), read) }
			if n := count(); n != 1 {
				t.Errorf("%s: %d times, calls %q", read, n, world.calls(t, ns))
			}
			if err := person.Create(t.Context(), by(o, pod(ns, "sb1-1", "home", "data", "scratch"))); err != nil {
				t.Fatal(err)
			}
			if n := count(); n != 1 {
				t.Errorf("%s: %d times, also for a pod whose claims exist", read, n)
			}
		})
	}
}

// Neither refuses the pod: the claim is created with the defaults.
func TestOwnersThatAreGone(t *testing.T) {
	t.Parallel()
	for name, uid := range map[string]types.UID{"never-was": "0a000000-0000-4000-8000-00000000000a", "made-anew": "0b000000-0000-4000-8000-00000000000b"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns, person := world.namespace(t), world.author(t)
			world.owner(t, sandbox, ns, "made-anew", "storage", "9Gi", "storageClass", fast)
			if err := person.Create(t.Context(), owned(pod(ns, "sb1", "data"), sandbox, "Sandbox", name, uid)); err != nil {
				t.Fatal(err)
			}
			if warned, want := person.warned(), []string{`the pod's Sandbox "` + name + `" is gone; hints on it are not known`}; !slices.Equal(warned, want) {
				t.Errorf("warned %q, want %q", warned, want)
			}
			if got := world.describe(t.Context(), ns, "data"); got != defaults {
				t.Errorf("the claim: %s", got)
			}
		})
	}
}

func TestAFaultOnTheOwnerNamesTheOwner(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	o := world.owner(t, batchSandbox, ns, "sb1", extensions, `[{"claimName":"data","storage":"10GB"}]`)
	output, refused := world.kubectl(t, ns, world.manifest(t, by(o, pod(ns, "sb1-0", "data"))), "create", "-f", "-")
	if !refused || !strings.Contains(output, `BatchSandbox "sb1": metadata.annotations[opensandbox.io/extensions.volumes]`) ||
		!strings.Contains(output, `invalid quantity "10GB"; write it as "10Gi"`) {
		t.Errorf("kubectl says %q", output)
	}
	world.wantClaims(t, ns)
}

// A ReplicaSet's hints are not read: its kind is not listed. Its pod is made
// here by the real controller, with a generated name.
func TestOwnersOfOtherKindsHaveNoHints(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	one, labels := int32(1), map[string]string{"app": "rs"}
	template := pod(ns, "", "data")
	rs := &appsv1.ReplicaSet{
		ObjectMeta: hinted(pod(ns, "rs"), "storage", "9Gi", "storageClass", "none-such", "strorage", "a typo").ObjectMeta,
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &one,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: template.Spec},
		},
	}
	world.create(t, rs)
	var made corev1.Pod
	wait(t, "the ReplicaSet has its pod", func(ctx context.Context) error {
		p, err := world.only(ctx, ns)
		made = p
		return err
	})
	if got := made.Annotations[domain+"/created"]; got != "data" {
		t.Errorf("the pod says that %q were created", got)
	}
	if got := world.describe(t.Context(), ns, "data"); got != defaults {
		t.Errorf("the claim: %s", got)
	}
	c := world.claim(t, ns, "data")
	if got := c.Annotations[domain+"/created-for"]; got != "rs-*" {
		t.Errorf("created for %q", got)
	}
	if got := c.Annotations[domain+"/requested-by"]; got != "system:serviceaccount:kube-system:replicaset-controller" {
		t.Errorf("requested by %q", got)
	}
	if calls := world.calls(t, ns); !slices.Equal(calls, []string{"create persistentvolumeclaims"}) {
		t.Errorf("the webhook's calls: %q", calls)
	}
	if err := world.admin.Delete(t.Context(), rs, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Error(err)
	}
}

// The pods of a BatchSandbox with two replicas as its controller makes them:
// the name is set, and generateName too.
func TestPodsAsBatchSandboxMakesThem(t *testing.T) {
	t.Parallel()
	ns, person := world.namespace(t), world.author(t)
	const hints = `[{"claimName":"home","storage":"5Gi","storageClass":"fast","accessModes":["RWX"]}]`
	o := world.owner(t, batchSandbox, ns, "sb1", extensions, hints)
	for i, want := range []string{"home", ""} {
		p := by(o, hinted(pod(ns, "sb1-"+string(rune('0'+i)), "home"), extensions, hints))
		p.GenerateName = "sb1-"
		p.Labels = map[string]string{"opensandbox.io/id": "7f0c"}
		if err := person.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		stored := world.pod(t, ns, p.Name)
		if got := stored.Annotations[domain+"/created"]; got != want {
			t.Errorf("pod %s says that %q were created, want %q", p.Name, got, want)
		}
		if stored.Annotations[extensions] != hints || stored.GenerateName != "sb1-" {
			t.Errorf("pod %s was changed: %v", p.Name, stored.ObjectMeta)
		}
	}
	if warned := person.warned(); len(warned) > 0 {
		t.Errorf("warned %q", warned)
	}
	world.wantClaims(t, ns, "home")
	c := world.claim(t, ns, "home")
	if got, want := world.describe(t.Context(), ns, "home"), "5Gi fast [ReadWriteMany]"; got != want {
		t.Errorf("the claim: %s, want %s", got, want)
	}
	if c.Annotations[domain+"/created-for"] != "sb1-0" || c.Labels["opensandbox.io/id"] != "7f0c" {
		t.Errorf("the claim's marks: %v %v", c.Annotations, c.Labels)
	}
}

func TestAPodWhoseNameIsGenerated(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	p := hinted(pod(ns, "", "data"), "storage", "2Gi")
	p.GenerateName = "sandbox-"
	output, refused := world.kubectl(t, ns, world.manifest(t, p), "create", "-f", "-")
	if refused || !strings.HasPrefix(output, "pod/sandbox-") || !strings.HasSuffix(output, " created\n") || strings.Count(output, "\n") != 1 {
		t.Errorf("kubectl says %q", output)
	}
	stored, err := world.only(t.Context(), ns)
	if err != nil {
		t.Fatal(err)
	}
	if stored.Annotations[domain+"/created"] != "data" {
		t.Errorf("the pod's annotations: %v", stored.Annotations)
	}
	if got := world.claim(t, ns, "data").Annotations[domain+"/created-for"]; got != "sandbox-*" {
		t.Errorf("created for %q", got)
	}
}
