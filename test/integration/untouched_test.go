package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// A pod is stored as it would be without us, but for our annotation.
func TestAPodOfManyFieldsIsStoredAsWithoutUs(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join("testdata", "many_fields.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	never := corev1.PreemptNever
	world.create(t, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "many-fields"}, Value: 7, PreemptionPolicy: &never})
	world.create(t, &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "many-fields"}, Handler: "none"})
	for _, test := range []struct {
		name   string
		change func(*unstructured.Unstructured)
	}{
		{"as it is", func(*unstructured.Unstructured) {}},
		{"without annotations", func(p *unstructured.Unstructured) { p.SetAnnotations(nil) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			with, without := world.namespace(t), world.quiet(t)
			person := world.author(t)
			var stored [2]map[string]any
			for i, ns := range []string{with, without} {
				p := &unstructured.Unstructured{}
				if err := yaml.Unmarshal(content, &p.Object); err != nil {
					t.Fatal(err)
				}
				test.change(p)
				p.SetNamespace(ns)
				if err := person.Create(t.Context(), p); err != nil {
					t.Fatal(err)
				}
				if err := world.admin.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
					t.Fatal(err)
				}
				stored[i] = p.Object
			}
			if warned := person.warned(); len(warned) != 0 && (len(warned) != 2 || warned[0] != warned[1]) {
				t.Errorf("warned %q", warned)
			}
			if made := takeOurs(stored[0]); made != "home,block" {
				t.Errorf("the pod says that %q were created", made)
			}
			for i := range stored {
				takeIncidental(stored[i])
			}
			if !reflect.DeepEqual(stored[0], stored[1]) {
				t.Errorf("stored otherwise than without us:\n%s", difference(lines(t, stored[0]), lines(t, stored[1])))
			}
			holdsAll(t, content, stored[0])
		})
	}
}

// takeOurs takes our annotation off a pod, and what held it if that is empty then.
func takeOurs(p map[string]any) string {
	u := &unstructured.Unstructured{Object: p}
	annotations := u.GetAnnotations()
	made := annotations[domain+"/created"]
	delete(annotations, domain+"/created")
	if len(annotations) == 0 {
		annotations = nil
	}
	u.SetAnnotations(annotations)
	return made
}

// takeIncidental takes off what differs between any two pods.
func takeIncidental(p map[string]any) {
	for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace"} {
		unstructured.RemoveNestedField(p, "metadata", field)
	}
	conditions, _, _ := unstructured.NestedSlice(p, "status", "conditions")
	for _, c := range conditions {
		delete(c.(map[string]any), "lastTransitionTime")
	}
	_ = unstructured.SetNestedSlice(p, conditions, "status", "conditions") // of what was read from there: cannot fail
}

// holdsAll holds that no top-level field of the manifest's spec was dropped by
// the API server: the comparison would say nothing about it.
func holdsAll(t *testing.T, manifest []byte, stored map[string]any) {
	t.Helper()
	var asked struct {
		Spec map[string]any `json:"spec"`
	}
	if err := yaml.Unmarshal(manifest, &asked); err != nil {
		t.Fatal(err)
	}
	for field := range asked.Spec {
		if _, ok, _ := unstructured.NestedFieldNoCopy(stored, "spec", field); !ok {
			t.Errorf("spec.%s is not stored", field)
		}
	}
}

func lines(t *testing.T, object any) []string {
	t.Helper()
	text, err := json.MarshalIndent(object, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

// difference is where two texts differ: what lies between the lines that they
// begin and end with alike.
func difference(a, b []string) string {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return strings.Join(a, "\n") + "\n--- but without us ---\n" + strings.Join(b, "\n")
}

// Pods that we have nothing to do for cost no call. Not parallel: it counts the
// webhook's answers to everybody.
func TestPodsThatNeverReachTheWebhook(t *testing.T) {
	enabled, disabled := world.namespace(t), world.quiet(t)
	world.create(t, claim(enabled, "there", "1Gi"))
	mirror := pod(enabled, "mirror", "never")
	mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	mirror.Spec.NodeName = "a-node" // whose kubelet runs it
	ephemeral := pod(enabled, "ephemeral")
	ephemeral.Spec.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{
		VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: claim("", "", "1Gi").Spec},
	}}}}
	before := world.reviews(t)
	for _, p := range []*corev1.Pod{mirror, ephemeral, pod(enabled, "without"), pod(disabled, "not-enabled", "never")} {
		if err := world.admin.Create(t.Context(), p); err != nil {
			t.Fatalf("pod %s: %v", p.Name, err)
		}
		if after := world.reviews(t); after != before {
			t.Errorf("pod %s: the webhook was asked %d times", p.Name, after-before)
			before = after
		}
		if _, marked := world.pod(t, p.Namespace, p.Name).Annotations[domain+"/created"]; marked {
			t.Errorf("pod %s carries our annotation", p.Name)
		}
	}
	// A label's update is no creation.
	p := world.pod(t, enabled, "without")
	p.Labels = map[string]string{"a": "b"}
	if err := world.admin.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if after := world.reviews(t); after != before {
		t.Errorf("an update: the webhook was asked %d times", after-before)
	}
	// The count does move: once for a pod with a claim, without a call of ours.
	if err := world.admin.Create(t.Context(), pod(enabled, "with", "there")); err != nil {
		t.Fatal(err)
	}
	if after := world.reviews(t); after != before+1 {
		t.Errorf("a pod with a claim: the webhook was asked %d times", after-before)
	}
	for _, name := range world.claims(t, enabled) {
		if name != "there" && !strings.HasPrefix(name, "ephemeral-") {
			t.Errorf("claim %q was made", name)
		}
	}
	if calls := world.calls(t, enabled); len(calls) > 0 {
		t.Errorf("the webhook's calls: %q", calls)
	}
}
