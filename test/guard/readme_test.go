package guard

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestHintTable: the table in the README is the vocabulary of package claim.
func TestHintTable(t *testing.T) {
	var want strings.Builder
	want.WriteString("| field | value | default | on Docker |\n|---|---|---|---|\n")
	for _, r := range claim.Table() {
		field := "`" + r.Field + "`"
		if r.Alias != "" {
			field += ", alias `" + r.Alias + "`"
		}
		want.WriteString("| " + strings.Join([]string{field, r.Value, r.Default, r.OnDocker}, " | ") + " |\n")
	}
	if !strings.Contains(read(t, "README.md"), want.String()) {
		t.Errorf("the README's hint table is not:\n%s", want.String())
	}
}

// TestHelpNamesTargets: every target that the README and CONTRIBUTING name is in the Makefile.
func TestHelpNamesTargets(t *testing.T) {
	makefile := read(t, "Makefile")
	named := 0
	for _, doc := range []string{"README.md", "CONTRIBUTING.md"} {
		for _, m := range regexp.MustCompile("(?m)`make ([a-z-]+)`|^make ([a-z-]+)").FindAllStringSubmatch(read(t, doc), -1) {
			named++
			if target := m[1] + m[2]; !regexp.MustCompile(`(?m)^` + target + `:`).MatchString(makefile) {
				t.Errorf("%s names make %s, which is no target", doc, target)
			}
		}
	}
	if named == 0 {
		t.Error("the documents name no target at all")
	}
}

// TestLinks: what the documents link to in the repository is there.
func TestLinks(t *testing.T) {
	docs, err := filepath.Glob(filepath.Join(root(t), "docs", "*", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(root(t), "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	docs = append(docs, more...)
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "charts/ensure-volumes/README.md"} {
		docs = append(docs, filepath.Join(root(t), name))
	}
	for _, doc := range docs {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", filepath.Base(doc), m[1])
			}
		}
	}
}
