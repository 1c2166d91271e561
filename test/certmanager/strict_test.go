package certmanager

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// No field of ours is unknown to cert-manager, misspelt or given twice. What the fields say is held by the tests of
// package config.
func TestStrict(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := certmanagerv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()

	kubectl := os.Getenv("KUBECTL")
	if kubectl == "" {
		kubectl = "kubectl"
	}
	out, err := exec.CommandContext(t.Context(), kubectl, "kustomize", "../../config/testdata/cert-manager").Output()
	if err != nil {
		t.Fatalf("rendering needs a kubectl, on the PATH or named by KUBECTL: %v", err)
	}
	issuers, certificates := 0, 0
	for reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(out))); ; {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(doc), "apiVersion: cert-manager.io/") {
			continue
		}
		object, _, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			t.Errorf("%v in\n%s", err, doc)
		}
		switch object.(type) {
		case *certmanagerv1.Issuer:
			issuers++
		case *certmanagerv1.Certificate:
			certificates++
		}
	}
	if issuers != 2 || certificates != 2 {
		t.Errorf("%d issuers and %d certificates, want 2 and 2", issuers, certificates)
	}
}
