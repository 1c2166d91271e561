package explain_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/pkg/explain"
)

const (
	generatedPods = 5000
	parts         = 4 // which run at once
)

var seed = flag.Uint64("seed", 0, "of TestAgreesOnGenerated; 0: another each time")

// TestAgreesOnGenerated compares explain with the webhook on generated pods, told
// to explain in three ways: the pod and a cluster, all in one manifest, and, where a
// controller of theirs is known, as the controller's manifest.
func TestAgreesOnGenerated(t *testing.T) {
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", first)
	reached := map[string]int{}
	var mu sync.Mutex
	t.Run("pods", func(t *testing.T) {
		for part := range parts {
			t.Run(fmt.Sprint(part), func(t *testing.T) {
				t.Parallel()
				counted := map[string]int{}
				for i := part; i < generatedPods; i += parts {
					g := generator{rand.New(rand.NewPCG(first, uint64(i)))}
					if !agreesOnOne(t, g, counted) {
						t.Fatalf("pod %d of -seed=%d", i, first)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				for what, n := range counted {
					reached[what] += n
				}
			})
		}
	})
	// What is never reached is not compared. Each is far more frequent than asked here.
	for _, what := range []string{"created", "nothing to do", "warned", "409", "422", "503", "400", "cluster", "manifest", "BatchSandbox", "Sandbox", "StatefulSet"} {
		if reached[what] < 10 {
			t.Errorf("only %d pods of %q: %v", reached[what], what, slices.Sorted(maps.Keys(reached)))
		}
	}
	t.Log(reached)
}

func agreesOnOne(t *testing.T, g generator, reached map[string]int) bool {
	t.Helper()
	s, world, pod := g.settings(), g.world(), g.pod()
	var owner *metav1.PartialObjectMetadata
	if g.chance(50) {
		var ref *metav1.OwnerReference
		owner, ref = g.owner()
		pod.metadata["ownerReferences"] = []any{ref}
		if g.chance(5) {
			ref.UID = "another"
		}
	}
	e := &explain.Explainer{Config: s.config(t), Namespace: namespace}
	var manifest, way string
	switch ways := g.IntN(3); {
	case ways == 0 && owner != nil && pod.metadata["ownerReferences"].([]any)[0].(*metav1.OwnerReference).UID == owner.UID:
		way = owner.Kind
		delete(pod.metadata, "generateName")
		e.Cluster = newMemory(world)
		manifest = g.controllerOf(t, owner, pod)
	case ways == 1:
		way = "manifest"
		for _, o := range world {
			manifest += g.document(t, o)
		}
		manifest += g.document(t, pod.object())
		if owner != nil && g.chance(90) {
			manifest += g.withPods(t, owner)
			world = append(world, owner)
		}
	default:
		way = "cluster"
		if owner != nil && g.chance(90) {
			world = append(world, owner)
		}
		if g.chance(2) {
			pod.metadata["namespace"] = "another"
		}
		e.Cluster = newMemory(world)
		manifest = g.document(t, pod.object())
	}
	if slices.Contains([]string{"BatchSandbox", "Sandbox", "StatefulSet"}, way) {
		world = append(world, owner)
	}
	review := canonical(t, map[string]any{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"request": map[string]any{
			"uid": "u", "operation": "CREATE", "namespace": namespace, "object": pod.object(),
			"resource": map[string]any{"group": "", "version": "v1", "resource": "pods"}, "userInfo": map[string]any{"username": "somebody"},
		},
	})
	live := newMemory(world)
	webhook, explained := answered(t, s, live, live, review), explainedBy(t, e, manifest)
	reached[way]++
	count(webhook, reached)
	if a, b := canonical(t, webhook), canonical(t, explained); a != b {
		t.Errorf("%s: the webhook:\n%s\nexplain:\n%s\nthe manifest:\n%s\nthe review:\n%s",
			way, a, b, manifest, review)
		return false
	}
	return !t.Failed()
}

func count(o outcome, reached map[string]int) {
	switch {
	case o.Refusal != nil:
		reached[fmt.Sprint(o.Refusal.Code)]++
	case len(o.Created) > 0:
		reached["created"]++
	default:
		reached["nothing to do"]++
	}
	if len(o.Warnings) > 0 {
		reached["warned"]++
	}
}

// controllerOf is the controller's manifest that the pod comes of, and makes the
// pod's names those that the controller gives it: they are written down here once
// more, not taken from the code.
func (g generator) controllerOf(t *testing.T, owner *metav1.PartialObjectMetadata, pod podCase) string {
	t.Helper()
	template := map[string]any{
		"metadata": map[string]any{"annotations": pod.metadata["annotations"], "labels": pod.metadata["labels"]},
		"spec":     map[string]any{"volumes": pod.volumes},
	}
	spec := map[string]any{"template": template}
	switch owner.Kind {
	case "BatchSandbox":
		pod.metadata["name"], pod.metadata["generateName"] = "sb-0", "sb-"
		spec["replicas"] = g.IntN(3)
	case "StatefulSet":
		pod.metadata["name"], pod.metadata["generateName"] = "sb-0", "sb-"
	case "Sandbox":
		pod.metadata["name"] = "sb"
		spec = map[string]any{"podTemplate": template}
	}
	return g.document(t, map[string]any{
		"apiVersion": owner.APIVersion, "kind": owner.Kind, "metadata": owner.ObjectMeta, "spec": spec,
	})
}

// withPods is an owner as a manifest has it, with pods of its own that use no claims.
func (g generator) withPods(t *testing.T, owner *metav1.PartialObjectMetadata) string {
	t.Helper()
	none := map[string]any{"spec": map[string]any{}}
	return g.document(t, map[string]any{
		"apiVersion": owner.APIVersion, "kind": owner.Kind, "metadata": owner.ObjectMeta, "spec": map[string]any{"template": none, "podTemplate": none},
	})
}

// document is an object as one of a manifest: JSON most often, which is read faster.
func (g generator) document(t *testing.T, o any) string {
	t.Helper()
	text, err := json.Marshal(o)
	if err == nil && g.chance(10) {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n---\n"
}
