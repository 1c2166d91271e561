package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Not parallel: the answer lists the cluster's classes.
func TestAStorageClassThatDoesNotExist(t *testing.T) {
	ns := world.namespace(t)
	typo := func(name string) *corev1.Pod { return hinted(pod(ns, name, "data"), "storageClass", "fsat") }
	t.Run("is refused", func(t *testing.T) {
		const field, words = "metadata.annotations[volumes.opensandbox.io/storageClass]", `StorageClass "fsat" does not exist; write one of fast, standard`
		s := status(t, world.author(t).Create(t.Context(), typo("sb1")))
		if s.Code != 422 || s.Reason != metav1.StatusReasonInvalid || !strings.HasSuffix(s.Message, field+": "+words) ||
			len(s.Details.Causes) != 1 || s.Details.Causes[0].Field != field || s.Details.Causes[0].Message != words {
			t.Errorf("got %+v", s)
		}
		output, refused := world.kubectl(t, ns, world.manifest(t, typo("sb1")), "create", "-f", "-")
		if want := "The Pod \"sb1\" is invalid: " + field + ": " + words + "\n"; !refused || output != want {
			t.Errorf("kubectl says %q, want %q", output, want)
		}
		world.wantNothingLeft(t, ns)
	})
	for policy, want := range map[string][]string{
		"warn": {`StorageClass "fsat" does not exist; claim "data" waits for it`},
		"off":  nil,
		"deny": nil, // as without the flag
	} {
		t.Run("with --missing-storage-class="+policy, func(t *testing.T) {
			world.restart(t, "--missing-storage-class="+policy)
			ns := world.namespace(t)
			author := world.author(t)
			p := typo("sb1")
			p.Namespace = ns
			err := author.Create(t.Context(), p)
			if policy == "deny" {
				if s := status(t, err); s.Code != 422 {
					t.Errorf("got %+v", s)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			warned := author.warned()
			if policy == "warn" {
				world.warned(t, "class-waits", warned)
			}
			if !slices.Equal(warned, want) {
				t.Errorf("warned %q, want %q", warned, want)
			}
			if class := *world.claim(t, ns, "data").Spec.StorageClassName; class != "fsat" {
				t.Errorf("the claim's class is %q", class)
			}
			shown := hinted(pod(ns, "shown", "more"), "storageClass", "fsat")
			said := "pod/shown created\n"
			if len(want) > 0 {
				said = "Warning: " + strings.Replace(want[0], "data", "more", 1) + "\n" + said
			}
			if output, refused := world.kubectl(t, ns, world.manifest(t, shown), "create", "-f", "-"); refused || output != said {
				t.Errorf("kubectl says %q, want %q", output, said)
			}
		})
	}
}

// Not parallel: it takes away everybody's default.
func TestNoDefaultClass(t *testing.T) {
	ns := world.namespace(t)
	author := world.author(t)
	t.Cleanup(func() {
		world.makeDefault(context.Background(), t, true)
		wait(t, "there is a default class again", func(ctx context.Context) error { return world.dryRun(ctx, author, ns, nil) })
	})
	world.makeDefault(t.Context(), t, false)
	want := []string{`claim "data" asks for no class and the cluster has no default; it waits for one`}
	// The webhook's cache may be a moment behind.
	wait(t, "the default class is gone", func(ctx context.Context) error { return world.dryRun(ctx, author, ns, want) })

	if err := author.Create(t.Context(), pod(ns, "sb1", "data")); err != nil {
		t.Fatal(err)
	}
	warned := author.warned()
	if !slices.Equal(warned, want) {
		t.Errorf("warned %q, want %q", warned, want)
	}
	world.warned(t, "no-default-class", warned)
	if class := world.claim(t, ns, "data").Spec.StorageClassName; class != nil {
		t.Errorf("the claim's class is %q", *class)
	}
	output, refused := world.kubectl(t, ns, world.manifest(t, pod(ns, "sb2", "other")), "create", "-f", "-")
	if want := "Warning: " + strings.Replace(want[0], "data", "other", 1) + "\npod/sb2 created\n"; refused || output != want {
		t.Errorf("kubectl says %q, want %q", output, want)
	}
	// Whoever names a class, or explicitly none, need not wait for a default.
	if err := author.Create(t.Context(), hinted(pod(ns, "sb3", "a", "b"), scoped("a", "storageClass"), fast, scoped("b", "storageClass"), "")); err != nil {
		t.Fatal(err)
	}
	if warned := author.warned(); len(warned) > 0 {
		t.Errorf("warned %q", warned)
	}
}

func (g *ground) makeDefault(ctx context.Context, t *testing.T, isDefault bool) {
	t.Helper()
	c := &storagev1.StorageClass{}
	if err := g.admin.Get(ctx, client.ObjectKey{Name: standard}, c); err != nil {
		t.Fatal(err)
	}
	c.Annotations = class(standard, isDefault).Annotations
	if err := g.admin.Update(ctx, c); err != nil {
		t.Fatal(err)
	}
}

// dryRun is nil where a pod with the claim data would be admitted with exactly
// those warnings.
func (g *ground) dryRun(ctx context.Context, author *person, ns string, want []string) error {
	author.warned()
	if err := author.Create(ctx, pod(ns, "probe", "data"), client.DryRunAll); err != nil {
		return err
	}
	if warned := author.warned(); !slices.Equal(warned, want) {
		return fmt.Errorf("warned %q", warned)
	}
	return nil
}

func TestAClassThatOnlyAPersistentVolumeCarries(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	author := world.author(t)
	name := "by-hand-" + ns
	world.create(t, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName:       name,
			Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("20Gi")},
			AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany},
			PersistentVolumeSource: corev1.PersistentVolumeSource{NFS: &corev1.NFSVolumeSource{Server: "nfs.example.com", Path: "/"}},
		},
	})
	if err := author.Create(t.Context(), hinted(pod(ns, "sb1", "data"), "storageClass", name, "accessModes", "RWX", "storage", "20Gi")); err != nil {
		t.Fatal(err)
	}
	if warned := author.warned(); len(warned) > 0 {
		t.Errorf("warned %q", warned)
	}
	// It is as good as any: the controller-manager binds the two.
	wait(t, "the claim is bound", func(context.Context) error {
		c := world.claim(t, ns, "data")
		if c.Status.Phase != corev1.ClaimBound || c.Spec.VolumeName != name {
			return fmt.Errorf("it is %s, with volume %q", c.Status.Phase, c.Spec.VolumeName)
		}
		return nil
	})
}

// Not parallel: it keeps the webhook's cache behind by taking its watch away.
func TestAClassOfAMomentAgo(t *testing.T) {
	t.Cleanup(func() { world.swap(context.Background(), t) }) // after the verb is back
	ns := world.namespace(t)
	world.without(t, classResource, "watch")
	world.swap(t.Context(), t)
	// Volumes are listed by nobody but who reads the classes live. The cache may
	// list its own anew just then, so once is enough.
	lists := func() (n int) {
		for _, e := range world.events(t, `"resource":"persistentvolumes"`) {
			if e.User.Username == account && e.Verb == "list" {
				n++
			}
		}
		return n
	}
	before := lists()
	for i := range 3 {
		name := fmt.Sprintf("new-%d-%s", i, ns)
		p := hinted(pod(ns, fmt.Sprintf("sb%d", i), fmt.Sprintf("data-%d", i)), "storageClass", name)
		author := world.author(t)
		world.create(t, class(name, false))
		if err := author.Create(t.Context(), p); err != nil {
			t.Error(err)
		}
		if warned := author.warned(); len(warned) > 0 {
			t.Errorf("warned %q", warned)
		}
	}
	if n := lists() - before; n == 0 {
		t.Error("the webhook's cache had seen every class: no live list was made")
	}
}
