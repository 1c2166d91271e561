package examples_test

import (
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// Every field is known to Kubernetes, and the hints are for the pod's claim and without fault.
func TestSandbox(t *testing.T) {
	content, err := os.ReadFile("sandbox.yaml")
	if err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	object, _, err := decoder.Decode(content, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		t.Fatalf("a %T", object)
	}
	name := pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName
	hints := claim.Read(claim.Object{Kind: claim.Pod, Annotations: pod.Annotations, Labels: pod.Labels}, []string{name})
	if len(hints.Warnings) > 0 {
		t.Errorf("warnings: %v", hints.Warnings)
	}
	if want := claim.Resolve(name, resource.MustParse("1Gi"), &hints); len(want.Faults) > 0 || !want.Storage.Hinted() {
		t.Errorf("hints: %+v", want)
	}
}
