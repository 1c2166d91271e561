package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/pkg/explain"
)

// explained runs the command.
func explained(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = runExplain(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// TestReadmeShowsExplain: the README's example is what the command prints.
func TestReadmeShowsExplain(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const command = "$ webhook explain "
	_, example, ok := strings.Cut(string(readme), command)
	if !ok {
		t.Fatalf("the README has no %q", command)
	}
	line, rest, _ := strings.Cut(example, "\n")
	want, _, _ := strings.Cut(rest, "```\n")
	t.Chdir("../..") // its paths are the repository's
	code, out, errs := explained(t, "", strings.Fields(line)...)
	if code != exitFaulty || out != want || errs != "" {
		t.Errorf("exit code %d, stderr %q, and instead of the README's:\n%s", code, errs, out)
	}
}

// TestDocumentShowsAnError: the error in docs/explain.md is what the command says of such a manifest.
func TestDocumentShowsAnError(t *testing.T) {
	document, err := os.ReadFile("../../docs/explain.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	manifest := wellPod + "---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web}\n" +
		"spec: {template: {spec: {volumes: [{name: v, persistentVolumeClaim: {claimName: 7}}]}}}\n"
	if err := os.WriteFile("team.yaml", []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := explained(t, "", "-f", "team.yaml")
	if code != exitUnknown || !strings.Contains(string(document), "\n"+errs) {
		t.Errorf("exit code %d, and docs/explain.md does not have %q", code, errs)
	}
}

const (
	wellPod   = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {volumes: [{name: v, persistentVolumeClaim: {claimName: home}}]}\n"
	faultyPod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {volumes.opensandbox.io/storage: 10 GB}}\nspec: {volumes: [{name: v, persistentVolumeClaim: {claimName: home}}]}\n"
	homeClaim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: home}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n---\n"
)

// TestExplainExitCodes: 0, 1 for what the manifest says, 2 for what cannot be read, with nothing on standard output.
func TestExplainExitCodes(t *testing.T) {
	unreachable := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(unreachable, []byte(`
clusters: [{name: here, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: here, context: {cluster: here}}]
current-context: here
`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		stdin string
		args  []string
		code  int
		says  string // on standard output where it is 0 or 1, else on standard error
	}{
		"well":                 {wellPod, []string{"-f", "-"}, 0, "Pod default/p: allowed"},
		"a fault":              {faultyPod, []string{"-f", "-"}, 1, "Pod default/p: refused (422 Invalid)"},
		"a fault, but there":   {homeClaim + faultyPod, []string{"-f", "-"}, 1, "fault: metadata.annotations[volumes.opensandbox.io/storage]: invalid quantity"},
		"a namespace":          {wellPod, []string{"-n", "here", "-f", "-"}, 0, "Pod here/p: allowed"},
		"switched off":         {wellPod, []string{"-f", "-", "--volume-auto-create=false"}, 0, "the operator has switched creation off"},
		"another size":         {wellPod, []string{"-f", "-", "--default-storage=7Gi"}, 0, "7Gi"},
		"several files":        {wellPod, []string{"-f", "-", "-f", "../../examples/sandbox.yaml"}, 0, "Pod default/alice: allowed"},
		"no file":              {"", nil, 2, "no manifest; name its file with -f"},
		"no such file":         {"", []string{"-f", "/does/not/exist"}, 2, "/does/not/exist"},
		"nothing in it":        {"# nothing\n", []string{"-f", "-"}, 2, "the manifest is empty"},
		"no manifest":          {"a: [", []string{"-f", "-"}, 2, "standard input: document 1: "},
		"an argument":          {"", []string{"-f", "-", "x"}, 2, `unexpected argument "x"`},
		"no such flag":         {"", []string{"--nonsense"}, 2, "flag provided but not defined: -nonsense; webhook explain --help shows the flags"},
		"a folder":             {"", []string{"-f", "/"}, 2, "webhook explain: /: document 1: read /: is a directory"},
		"no objects":           {`{"apiVersion":"v1","kind":"List","items":null}`, []string{"-f", "-"}, 2, "the manifest is empty"},
		"a type that is wrong": {strings.Replace(wellPod, "[{name: v", "x, a: [{name: v", 1), []string{"-f", "-"}, 2, "webhook explain: standard input: document 1: Pod p: spec.volumes is a string; it must be a list\n"},
		"a kind not known":     {strings.Replace(wellPod, "kind: Pod", "kind: Pdo", 1), []string{"-f", "-"}, 0, "note: Pdo p of v1 is not looked into"},
		"no such format":       {"", []string{"-f", "-", "-o", "xml"}, 2, `-o: invalid value "xml"; write table, json or yaml`},
		"a faulty flag":        {wellPod, []string{"-f", "-", "--default-storage=10 GB"}, 2, `--default-storage: invalid quantity "10 GB"`},
		"no such kubeconfig":   {wellPod, []string{"-f", "-", "--kubeconfig=/does/not/exist"}, 2, "reading the API server's address and credentials"},
		"a cluster that is no": {wellPod, []string{"-f", "-", "--kubeconfig=" + unreachable}, 2, "listing StorageClasses: "},
		"help":                 {"", []string{"--help"}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := explained(t, tt.stdin, tt.args...)
			said := out
			if tt.code == exitUnknown {
				said = errs
			}
			if code != tt.code || !strings.Contains(said, tt.says) || code == exitUnknown && out != "" {
				t.Errorf("exit code %d, not %d; said %q and %q, not %q", code, tt.code, out, errs, tt.says)
			}
		})
	}
}

// TestExplainCannotWrite: an answer that nobody gets is none.
func TestExplainCannotWrite(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, format := range []string{"table", "json", "yaml"} {
		var errs bytes.Buffer
		if code := runExplain(t.Context(), []string{"-f", "-", "-o", format}, strings.NewReader(wellPod), full, &errs); code != exitUnknown || !strings.Contains(errs.String(), "no space left") {
			t.Errorf("%s: exit code %d, said %s", format, code, errs.String())
		}
	}
}

// TestExplainErrorsAreSafe: what a manifest, a file's name or a flag says does not talk to the terminal.
func TestExplainErrorsAreSafe(t *testing.T) {
	const evil = "\x1b[2J\u009b2J\n"
	manifest := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"p\u001b[2J","namespace":"\u009b2J\n"},"spec":{}}`
	for _, args := range [][]string{{"-f", "-"}, {"-f", evil}, {"--" + evil}, {"-f", "-", "--default-storage", evil}, {"-o", evil, "-f", "-"}, {"-f", "-", evil}, {"-f", "-", "--kubeconfig", evil}} {
		code, out, errs := explained(t, manifest, args...)
		if line, one := strings.CutSuffix(errs, "\n"); code != exitUnknown || out != "" || !one || line != explain.Printable(line) {
			t.Errorf("%q: exit code %d, said %q and %q", args, code, out, errs)
		}
	}
}

// TestExplainFormats: JSON and YAML hold the same report.
func TestExplainFormats(t *testing.T) {
	_, asJSON, _ := explained(t, faultyPod+"---\n"+wellPod, "-f", "-", "-o", "json")
	_, asYAML, _ := explained(t, faultyPod+"---\n"+wellPod, "-f", "-", "-o", "yaml")
	var fromJSON, fromYAML explain.Report
	if err := json.Unmarshal([]byte(asJSON), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict([]byte(asYAML), &fromYAML); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(fromJSON, fromYAML) {
		t.Errorf("JSON has %+v, YAML %+v", fromJSON, fromYAML)
	}
	if len(fromJSON.Pods) != 2 || fromJSON.APIVersion != explain.Version || fromJSON.Pods[0].Refusal.Code != 422 ||
		fromJSON.Pods[0].Faults[0].Path != "metadata.annotations[volumes.opensandbox.io/storage]" || fromJSON.Pods[1].Claims[0].Manifest == nil {
		t.Errorf("%s", asJSON)
	}
}

// TestExplainHelp: the flags are described, and those that decide are the webhook's own.
func TestExplainHelp(t *testing.T) {
	_, _, help := explained(t, "", "--help")
	for _, name := range []string{"f", "n", "o", "kubeconfig", "volume-auto-create", "default-storage", "missing-storage-class", "delete-on-sandbox-termination", "owner-kinds"} {
		if !strings.Contains(help, "\n  -"+name) {
			t.Errorf("--%s is not described in:\n%s", name, help)
		}
	}
}
