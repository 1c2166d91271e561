package config_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

const (
	base            = "webhook"
	withCertManager = "testdata/cert-manager"
)

// render runs kubectl's kustomize on a folder and returns its documents. The kubectl is the one named by the
// environment variable KUBECTL, or else the one on the PATH; it needs no cluster.
func render(t *testing.T, folder string) []string {
	t.Helper()
	kubectl := os.Getenv("KUBECTL")
	if kubectl == "" {
		kubectl = "kubectl"
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), kubectl, "kustomize", folder)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("rendering %s needs a kubectl, on the PATH or named by KUBECTL: %v\n%s", folder, err, &stderr)
	}
	if stderr.Len() > 0 {
		t.Errorf("rendering %s warns: %s", folder, &stderr)
	}
	var docs []string
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(out)))
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, string(doc))
	}
}

// decode reads the documents of Kubernetes' own kinds, refusing unknown and repeated fields. The others, cert-manager's,
// it returns as they are: test/certmanager decodes them with cert-manager's types.
func decode(t *testing.T, docs []string) (objects []runtime.Object, others []string) {
	t.Helper()
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	for _, doc := range docs {
		if strings.HasPrefix(doc, "apiVersion: cert-manager.io/v1\n") {
			others = append(others, doc)
			continue
		}
		object, _, err := decoder.Decode([]byte(doc), nil, nil)
		if err != nil {
			t.Errorf("%v in\n%s", err, doc)
			continue
		}
		objects = append(objects, object)
	}
	return objects, others
}

// the returns the only object of a type.
func the[T runtime.Object](t *testing.T, objects []runtime.Object) T {
	t.Helper()
	var found []T
	for _, object := range objects {
		if o, ok := object.(T); ok {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T, want 1", len(found), *new(T))
	}
	return found[0]
}

// Every object that is installed, so that none comes or goes unseen.
func TestWhatIsInstalled(t *testing.T) {
	baseKinds := []string{
		"ClusterRole", "ClusterRoleBinding", "Deployment", "FlowSchema", "MutatingWebhookConfiguration", "Namespace",
		"PodDisruptionBudget", "PriorityLevelConfiguration", "Role", "RoleBinding", "Service", "ServiceAccount",
	}
	for folder, want := range map[string][]string{
		base:            baseKinds,
		withCertManager: append(slices.Clone(baseKinds), "Certificate", "Certificate", "Issuer", "Issuer"),
	} {
		t.Run(folder, func(t *testing.T) {
			docs := render(t, folder)
			if objects, _ := decode(t, docs); len(objects) != len(baseKinds) {
				t.Errorf("%d objects decoded, want %d", len(objects), len(baseKinds))
			}
			var kinds []string
			for _, doc := range docs {
				head := metadata(t, doc)
				kinds = append(kinds, head.Kind)
				if head.Name != "ensure-volumes" && !strings.HasPrefix(head.Name, "ensure-volumes-") {
					t.Errorf("%s is named %q", head.Kind, head.Name)
				}
				if ns := head.Namespace; ns != "" && ns != "ensure-volumes" {
					t.Errorf("%s is in namespace %q", head.Kind, ns)
				}
				if got := head.Labels["app.kubernetes.io/name"]; got != "ensure-volumes" {
					t.Errorf("%s has the label app.kubernetes.io/name: %q", head.Kind, got)
				}
			}
			slices.Sort(kinds)
			slices.Sort(want)
			if !slices.Equal(kinds, want) {
				t.Errorf("kinds %v, want %v", kinds, want)
			}
		})
	}
}
