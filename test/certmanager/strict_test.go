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

// No field of ours, in config/certs and in the chart, is unknown to cert-manager, misspelt or given twice. What the fields
// say is held by the tests of package config, and that the chart says the same by those of package charts.
func TestStrict(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := certmanagerv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()

	const chart = "../../charts/ensure-volumes"
	for name, rendering := range map[string]struct {
		program, variable     string
		args                  []string
		issuers, certificates int
	}{
		"component": {"kubectl", "KUBECTL", []string{"kustomize", "../../config/testdata/cert-manager"}, 2, 2},
		"chart":     {"helm", "HELM", []string{"template", chart, "--values", chart + "/examples/cert-manager.yaml"}, 2, 2},
		"issuer":    {"helm", "HELM", []string{"template", chart, "--values", chart + "/examples/cert-manager-issuer.yaml"}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			program := rendering.program
			if named := os.Getenv(rendering.variable); named != "" {
				program = named
			}
			out, err := exec.CommandContext(t.Context(), program, rendering.args...).Output()
			if err != nil {
				t.Fatalf("rendering needs a %s, on the PATH or named by %s: %v", rendering.program, rendering.variable, err)
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
				if !strings.Contains("\n"+string(doc), "\napiVersion: cert-manager.io/") {
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
			if issuers != rendering.issuers || certificates != rendering.certificates {
				t.Errorf("%d issuers and %d certificates, want %d and %d", issuers, certificates, rendering.issuers, rendering.certificates)
			}
		})
	}
}
