package examples_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// Every field is known to Kubernetes and given once, and `kubectl apply -f` of the folder, which takes the files by their
// names, finds the namespace before what is in it.
func TestTenant(t *testing.T) {
	files, err := filepath.Glob("tenant/*")
	if err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	var kinds []string
	namespace := ""
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content))); ; {
			doc, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			object, gvk, err := decoder.Decode(doc, nil, nil)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			kinds = append(kinds, gvk.Kind)
			if ns, ok := object.(*corev1.Namespace); ok {
				namespace = ns.Name
				if ns.Labels[claim.KeyAutoCreate] != claim.Enabled {
					t.Errorf("%s: the namespace is not switched on", file)
				}
			}
			accessor, err := meta.Accessor(object)
			if err != nil {
				t.Fatal(err)
			}
			if ns := accessor.GetNamespace(); ns != "" && ns != namespace {
				t.Errorf("%s: %s is in namespace %q, which comes later or not at all", file, gvk.Kind, ns)
			}
		}
	}
	want := []string{"Namespace", "ResourceQuota", "LimitRange", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
	if !slices.Equal(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
}
