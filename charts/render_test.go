package charts_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

const (
	chart = "ensure-volumes"
	name  = "ensure-volumes" // of the release, of its namespace and of the objects
)

// command runs the program that a variable of the environment names, or else the one on the PATH.
func command(t *testing.T, variable, fallback, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		program = fallback
	}
	home := t.TempDir() // nothing that the user has configured changes what it does
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "HOME="+home, "KUBECONFIG="+home+"/none", "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatalf("the tests of the chart need %s, on the PATH or named by %s (make helm, make cluster-binaries): %v", fallback, variable, err)
	}
	return out.String(), errs.String(), err
}

// helm renders the chart with the given values, without what only `helm test` installs.
func helm(t *testing.T, values string) objects {
	t.Helper()
	stdout, stderr, err := command(t, "HELM", "helm", values, "template", name, chart, "--namespace", name, "--no-hooks", "--values", "-")
	if err != nil || stderr != "" {
		t.Fatalf("rendering the chart: %v\n%s", err, stderr)
	}
	return decode(t, stdout)
}

// kustomize renders a folder of config.
func kustomize(t *testing.T, folder string) objects {
	t.Helper()
	stdout, stderr, err := command(t, "KUBECTL", "kubectl", "", "kustomize", folder)
	if err != nil || stderr != "" {
		t.Fatalf("rendering %s: %v\n%s", folder, err, stderr)
	}
	return decode(t, stdout)
}

// objects are what is installed, each by its kind and name.
type objects map[string]runtime.Object

// decode reads documents strictly: no field is unknown or given twice. The kinds of cert-manager and of the Prometheus
// operator, whose types are no requirement of this module, come as they are; test/certmanager knows cert-manager's.
func decode(t *testing.T, text string) objects {
	t.Helper()
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	result := objects{}
	for reader := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text))); ; {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return result
		}
		if err != nil {
			t.Fatal(err)
		}
		var object runtime.Object
		foreign := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(doc, &foreign.Object); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		switch group := foreign.GroupVersionKind().Group; {
		case len(foreign.Object) == 0:
			continue // only comments
		case group == "cert-manager.io" || group == "monitoring.coreos.com":
			object = foreign
		default:
			if object, _, err = decoder.Decode(doc, nil, nil); err != nil {
				t.Errorf("%v in\n%s", err, doc)
				continue
			}
		}
		key := foreign.GetKind() + "/" + foreign.GetName()
		if result[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		result[key] = object
	}
}

// get returns the object of a kind and name, as its type.
func get[T runtime.Object](t *testing.T, from objects, key string) T {
	t.Helper()
	object, ok := from[key].(T)
	if !ok {
		t.Fatalf("no %T %s among %d objects", *new(T), key, len(from))
	}
	return object
}

// head is an object's metadata.
func head(t *testing.T, object runtime.Object) interface {
	GetNamespace() string
	GetLabels() map[string]string
	SetLabels(map[string]string)
	GetAnnotations() map[string]string
} {
	t.Helper()
	accessor, err := meta.Accessor(object)
	if err != nil {
		t.Fatal(err)
	}
	return accessor
}
