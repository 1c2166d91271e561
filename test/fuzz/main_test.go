package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// TestTargets: what is fuzzed is what the hints, the review and the Docker rewrite go through.
func TestTargets(t *testing.T) {
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	all, err := targets(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []target{
		{"pkg/claim", "FuzzRead"}, {"pkg/dockerproxy", "FuzzWrite"}, {"pkg/jsonscan", "FuzzScanner"},
		{"pkg/mutate", "FuzzDecode"}, {"pkg/mutate", "FuzzReview"},
	} {
		if !slices.Contains(all, want) {
			t.Errorf("no %s among %v", want, all)
		}
	}
}

// TestRun: a target that finds nothing is counted; one that finds something fails, and the
// result says so. What one run comes upon, the next does not begin with.
func TestRun(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":              "module example.test/fuzzed\n\ngo 1.26\n",
		"pkg/a/a_test.go":     "package a\n\nimport \"testing\"\n\nfunc FuzzGood(f *testing.F) {\n\tf.Add(\"seed\")\n\tf.Fuzz(func(t *testing.T, s string) {\n\t\tif len(s) > 9 {\n\t\t\tt.Log(s)\n\t\t}\n\t})\n}\n",
		"pkg/b/bad_test.go":   "package b\n\nimport \"testing\"\n\nfunc FuzzBad(f *testing.F) {\n\tf.Add(\"seed\")\n\tf.Fuzz(func(t *testing.T, s string) {\n\t\tt.Error(\"no\")\n\t})\n}\n",
		"pkg/b/plain_test.go": "package b\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := targets(root)
	if err != nil || !slices.Equal(all, []target{{"pkg/a", "FuzzGood"}, {"pkg/b", "FuzzBad"}}) {
		t.Fatalf("%v, %v", all, err)
	}
	var out bytes.Buffer
	for range 2 {
		out.Reset()
		line, err := all[0].run(t.Context(), root, 2e9, &out)
		if err != nil || !strings.HasPrefix(line, "pkg/a FuzzGood: ") || !strings.HasSuffix(line, " inputs, nothing found") {
			t.Errorf("%q, %v\n%s", line, err, &out)
		}
		if !strings.Contains(out.String(), "0/1 completed") || !regexp.MustCompile(`new interesting: [1-9]`).Match(out.Bytes()) {
			t.Errorf("it did not begin with its one seed, or came upon nothing new:\n%s", &out)
		}
	}
	if line, err := all[1].run(t.Context(), root, 1e9, &out); err == nil || line != "pkg/b FuzzBad: FAILED" {
		t.Errorf("%q, %v\n%s", line, err, &out)
	}
}
