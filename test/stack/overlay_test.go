package stack

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// What is tried here is what is shipped: the overlay may change how the API
// server reaches the webhook, and nothing else.
func TestOverlayChangesNothingButClientConfig(t *testing.T) {
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	programs, err := ClusterBinaries(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	base, overlay := filepath.Join(root, "config", "webhook"), t.TempDir()
	if err := renderOverlay(overlay, base, "https://127.0.0.1:1/mutate", []byte("the authority")); err != nil {
		t.Fatal(err)
	}
	render := func(dir string) []unstructured.Unstructured {
		t.Helper()
		output, err := kubectl(t.Context(), programs, t.TempDir(), "", "kustomize", dir)
		if err != nil {
			t.Fatalf("kubectl kustomize %s: %v\n%s", dir, err, output)
		}
		return decode(t, output)
	}
	shipped, installed := render(base), render(overlay)
	was, is := takeClientConfig(t, shipped), takeClientConfig(t, installed)
	if !reflect.DeepEqual(shipped, installed) {
		t.Errorf("beyond clientConfig, shipped:\n%v\ninstalled:\n%v", shipped, installed)
	}
	want := map[string]any{
		"url":      "https://127.0.0.1:1/mutate",
		"caBundle": base64.StdEncoding.EncodeToString([]byte("the authority")),
	}
	if !reflect.DeepEqual(is, want) {
		t.Errorf("clientConfig is %v, want %v", is, want)
	}
	if path, _, _ := unstructured.NestedString(was, "service", "path"); path != "/mutate" {
		t.Errorf("the shipped path is %q; the url that replaces it ends in /mutate", path)
	}
}

func decode(t *testing.T, documents string) []unstructured.Unstructured {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(documents)), 4096)
	var result []unstructured.Unstructured
	for {
		var object unstructured.Unstructured
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return result
		}
		if err != nil {
			t.Fatal(err)
		}
		result = append(result, object)
	}
}

// takeClientConfig removes the clientConfig of the one webhook and returns it.
func takeClientConfig(t *testing.T, objects []unstructured.Unstructured) map[string]any {
	t.Helper()
	var taken []map[string]any
	for _, object := range objects {
		if !strings.HasSuffix(object.GetKind(), "WebhookConfiguration") {
			continue
		}
		webhooks, _, err := unstructured.NestedSlice(object.Object, "webhooks")
		if err != nil {
			t.Fatal(err)
		}
		for _, webhook := range webhooks {
			fields := webhook.(map[string]any)
			taken = append(taken, fields["clientConfig"].(map[string]any))
			delete(fields, "clientConfig")
		}
		if err := unstructured.SetNestedSlice(object.Object, webhooks, "webhooks"); err != nil {
			t.Fatal(err)
		}
	}
	if len(taken) != 1 {
		t.Fatalf("%d webhooks, want 1", len(taken))
	}
	return taken[0]
}
