package integration

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/test/process"
	"github.com/ensure-volumes/ensure-volumes/test/standin"
)

// The kinds that own sandbox pods, and the versions that they are served at.
const (
	batchSandbox        = "sandbox.opensandbox.io/v1alpha1"
	sandbox             = "agents.x-k8s.io/v1beta1"
	sandboxBefore       = "agents.x-k8s.io/v1alpha1"
	extensions          = "opensandbox.io/extensions.volumes"
	deleteOnTermination = "deleteOnSandboxTermination"
)

// kinds are the CustomResourceDefinitions of the sandboxes. They are installed
// once, by the first test that needs them, and stay: the garbage collector
// takes half a minute to follow a kind that comes or goes.
var kinds struct {
	once sync.Once
	err  error
	// without is what came of pods whose owners are of these kinds before the
	// kinds were installed, by the owner's apiVersion. It can be tried only then.
	without map[string]string
}

// kinds returns once both kinds of sandboxes are served.
func (g *ground) kinds(t *testing.T) {
	t.Helper()
	kinds.once.Do(func() {
		kinds.err = errors.New("installing the kinds of sandboxes: the first test that needed them has failed")
		kinds.without = map[string]string{}
		ns, person := g.namespace(t), g.author(t)
		for i, apiVersion := range []string{batchSandbox, sandbox, sandboxBefore} {
			claim := fmt.Sprintf("data-%d", i)
			p := owned(pod(ns, fmt.Sprintf("sb%d-0", i), claim), apiVersion, kindOf(apiVersion), "sb", "0a000000-0000-4000-8000-00000000000a")
			err := person.Create(t.Context(), p)
			warned := person.warned()
			kinds.without[apiVersion] = fmt.Sprintf("error %v, warnings %q, %s", err, warned, g.describe(t.Context(), ns, claim))
		}
		if err := g.installKinds(t.Context()); err != nil {
			kinds.err = err
			return
		}
		// A kind is served a moment after it is established.
		for _, kind := range []schema.GroupVersionKind{
			schema.FromAPIVersionAndKind(batchSandbox, "BatchSandbox"), standin.KindPool,
			schema.FromAPIVersionAndKind(sandbox, "Sandbox"), schema.FromAPIVersionAndKind(sandboxBefore, "Sandbox"),
		} {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(kind)
			wait(t, kind.String()+" is served", func(ctx context.Context) error { return g.admin.List(ctx, list, client.InNamespace(ns)) })
		}
		kinds.err = nil
	})
	if kinds.err != nil {
		t.Fatal(kinds.err)
	}
}

func (g *ground) installKinds(ctx context.Context) error {
	root, err := process.Root()
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"apply", "-f", filepath.Join(root, "test", "standin", "manifests")},
		{"wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"},
	} {
		if output, err := g.cp.Kubectl(ctx, "", args...); err != nil {
			return fmt.Errorf("kubectl %v: %w\n%s", args, err, output)
		}
	}
	return nil
}

// describe tells of a claim what hints decide.
func (g *ground) describe(ctx context.Context, ns, name string) string {
	c := &corev1.PersistentVolumeClaim{}
	if err := g.admin.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, c); err != nil {
		return err.Error()
	}
	class := "no class"
	if c.Spec.StorageClassName != nil {
		class = *c.Spec.StorageClassName
	}
	size := c.Spec.Resources.Requests.Storage()
	size.Add(resource.Quantity{}) // forgets its spelling
	return fmt.Sprintf("%s %s %v", size, class, c.Spec.AccessModes)
}

// defaults is describe's word for a claim that no hint spoke of.
const defaults = "1Gi standard [ReadWriteOnce]"

func kindOf(apiVersion string) string {
	if apiVersion == batchSandbox {
		return "BatchSandbox"
	}
	return "Sandbox"
}

// owner makes a sandbox of that version with those annotations: pairs of a key
// and a value.
func (g *ground) owner(t *testing.T, apiVersion, ns, name string, annotations ...string) *unstructured.Unstructured {
	t.Helper()
	g.kinds(t)
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kindOf(apiVersion))
	o.SetNamespace(ns)
	o.SetName(name)
	p := hinted(&corev1.Pod{}, annotations...)
	o.SetAnnotations(p.Annotations)
	if err := g.admin.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return o
}

// by makes the sandbox the pod's controller.
func by(o *unstructured.Unstructured, p *corev1.Pod) *corev1.Pod {
	return owned(p, o.GetAPIVersion(), o.GetKind(), o.GetName(), o.GetUID())
}

// gone is nil once an object is no more.
func (g *ground) gone(ctx context.Context, object client.Object) error {
	switch err := g.admin.Get(ctx, client.ObjectKeyFromObject(object), object); {
	case client.IgnoreNotFound(err) != nil:
		return err
	case err == nil:
		return errors.New("it is still there, deletion " + fmt.Sprint(object.GetDeletionTimestamp()))
	}
	return nil
}

func TestOwnersOfKindsThatAreNotInstalledHaveNoHints(t *testing.T) {
	t.Parallel()
	world.kinds(t)
	for _, apiVersion := range []string{batchSandbox, sandbox, sandboxBefore} {
		if got, want := kinds.without[apiVersion], `error <nil>, warnings [], `+defaults; got != want {
			t.Errorf("%s: %s, want %s", apiVersion, got, want)
		}
	}
	// Nor has an owner at a version that its kind is not served at.
	ns, person := world.namespace(t), world.author(t)
	o := world.owner(t, batchSandbox, ns, "sb1", "storage", "9Gi")
	p := owned(pod(ns, "sb1-0", "data"), "sandbox.opensandbox.io/v9", o.GetKind(), o.GetName(), o.GetUID())
	if err := person.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if warned, got := person.warned(), world.describe(t.Context(), ns, "data"); len(warned) > 0 || got != defaults {
		t.Errorf("a version that is not served: %s, warned %q", got, warned)
	}
}
