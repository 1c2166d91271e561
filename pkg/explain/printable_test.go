package explain_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/pkg/explain"
)

// TestTerminal: what a manifest says does not talk to the terminal, wherever it is told.
func TestTerminal(t *testing.T) {
	const evil = `\u001b[2J\u0007\u009b2J\u0085\u202e`
	pod := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p` + evil + `","namespace":"n` + evil + `","annotations":{"volumes.opensandbox.io/` + evil + `":"` + evil + `"},
"ownerReferences":[{"apiVersion":"` + evil + `","kind":"` + evil + `","name":"` + evil + `","uid":"` + evil + `","controller":true}]},
"spec":{"volumes":[{"persistentVolumeClaim":{"claimName":"a` + evil + `"}},{"persistentVolumeClaim":{"claimName":"there"}}]}}`
	sandbox := `{"apiVersion":"agents.x-k8s.io/v1beta1","kind":"Sandbox","metadata":{"name":"s","namespace":"n` + evil + `","uid":"` + evil + `",
"annotations":{"volumes.opensandbox.io/deleteOnSandboxTermination":"true"}},"spec":{"podTemplate":{"spec":{"volumes":[{"persistentVolumeClaim":{"claimName":"home"}}]}}}}`
	pvc := `{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"there","namespace":"n` + evil + `"},"spec":{"storageClassName":"c` + evil + `","accessModes":["` + evil + `"]}}`
	late := strings.Replace(pvc, `"there"`, `"home"`, 1)
	set := `{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"x` + evil + `"},"spec":{"template":{"spec":{}},"volumeClaimTemplates":[{"metadata":{"name":"d` + evil + `"}}]}}`
	odd := `{"apiVersion":"x` + evil + `","kind":"Odd` + evil + `","metadata":{"name":"x` + evil + `"},"spec":{"containers":[]}}`
	class := `{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"` + evil + `"}}`
	other := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"q","annotations":{"volumes.opensandbox.io/storageClass":"fsat"}},"spec":{"volumes":[{"persistentVolumeClaim":{"claimName":"home"}}]}}`
	manifest := strings.Join([]string{class, pvc, pod, sandbox, late, set, odd, other}, "\n")
	report, trouble := explained(t, &explain.Explainer{Config: settings{}.config(t)}, manifest)
	if report == nil || len(report.Pods) != 4 || len(report.Notes) < 3 {
		t.Fatalf("%s: %+v", trouble, report)
	}
	var asTable strings.Builder
	asJSON, err := json.MarshalIndent(report, "", "  ")
	asYAML, yerr := yaml.Marshal(report)
	if err := errors.Join(err, yerr, report.Table(&asTable)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{asTable.String(), string(asJSON), string(asYAML)} {
		if explain.Printable(strings.ReplaceAll(text, "\n", "")) != strings.ReplaceAll(text, "\n", "") || strings.Contains(text, `\u001b`) {
			t.Errorf("said %q", text)
		}
	}
	wants(t, asTable.String(), `StorageClass "fsat" does not exist; write one of \x1b[2J`)
	wants(t, string(asJSON), `"uid": "\\x1b[2J`) // of the claim's owner
	wants(t, asTable.String(), `Pod n\x1b[2J\a\u009b2J\u0085\u202e/p\x1b[2J`)
}
