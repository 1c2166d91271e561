package guard

import (
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/test/docs"
)

// TestDocumentsCanBeRun: make e2e runs docs/operations.md, and make test docs/docker.md; that each of their blocks is of a
// known kind needs neither cluster nor engine.
func TestDocumentsCanBeRun(t *testing.T) {
	for _, d := range metricDocuments {
		if blocks, err := docs.Parse(read(t, d.path)); err != nil || len(blocks) == 0 {
			t.Errorf("%s: %d blocks, %v", d.path, len(blocks), err)
		}
	}
}

const metricPrefix = "ensure_volumes_"

// metricDocuments are the documents that have the tables of metrics, with whose they are.
var metricDocuments = []struct {
	path string
	of   func(source string) bool
}{
	{"docs/docker.md", ofCompanion},
	{"docs/operations.md", func(source string) bool { return !ofCompanion(source) }},
}

func ofCompanion(source string) bool {
	return strings.HasPrefix(source, "cmd/companion/") || strings.HasPrefix(source, "pkg/dockerproxy/")
}

// TestMetricTables: each document has a row for each metric of its program, and for no other, of its type and with its
// labels.
func TestMetricTables(t *testing.T) {
	// `| name | type | labels |`, of which the labels may be none.
	row := regexp.MustCompile("(?m)^\\| `(" + metricPrefix + "[a-z_]+)` \\| ([a-z]+) \\|([^|]*)\\|")
	for _, d := range metricDocuments {
		want, got := metrics(t, d.of), map[string]string{}
		for _, m := range row.FindAllStringSubmatch(read(t, d.path), -1) {
			if got[m[1]] != "" {
				t.Errorf("%s has %s twice", d.path, m[1])
			}
			got[m[1]] = strings.TrimSpace(m[2] + " " + strings.NewReplacer("`", "", ",", "").Replace(strings.TrimSpace(m[3])))
		}
		if len(want) == 0 {
			t.Fatalf("the source has no metric for %s", d.path)
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if got[name] != want[name] {
				t.Errorf("%s has %s as %q, the source as %q", d.path, name, got[name], want[name])
			}
		}
		for name := range got {
			if want[name] == "" {
				t.Errorf("%s has %s, which the source does not", d.path, name)
			}
		}
	}
}

// metrics are the metrics that the files register which of accepts, each with its type and labels: "histogram outcome".
func metrics(t *testing.T, of func(source string) bool) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, s := range sources(t, "cmd", "pkg") {
		if strings.HasSuffix(s.path, "_test.go") || !of(s.path) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			// prometheus.NewCounterVec(prometheus.CounterOpts{Name: "…"}, []string{"…"})
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			function, ok := call.Fun.(*ast.SelectorExpr)
			if name := metricName(call.Args[0]); ok && name != "" {
				kind := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(function.Sel.Name, "New"), "Vec"))
				found[name] = strings.Join(append([]string{kind}, texts(call.Args[1:])...), " ")
			}
			return true
		})
		// However it is registered, a name in the source is a metric.
		ast.Inspect(s.file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok {
				if name, err := strconv.Unquote(l.Value); err == nil && strings.HasPrefix(name, metricPrefix) && found[name] == "" {
					t.Errorf("%s: %s is not registered as this test expects", s.at(l), name)
				}
			}
			return true
		})
	}
	return found
}

// metricName is the field Name of an options literal.
func metricName(options ast.Expr) string {
	literal, ok := options.(*ast.CompositeLit)
	if !ok {
		return ""
	}
	for _, e := range literal.Elts {
		if field, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := field.Key.(*ast.Ident); ok && key.Name == "Name" {
				if name := texts([]ast.Expr{field.Value}); len(name) == 1 && strings.HasPrefix(name[0], metricPrefix) {
					return name[0]
				}
			}
		}
	}
	return ""
}

// texts are the string literals in expressions.
func texts(expressions []ast.Expr) []string {
	var all []string
	for _, e := range expressions {
		ast.Inspect(e, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok {
				if text, err := strconv.Unquote(l.Value); err == nil {
					all = append(all, text)
				}
			}
			return true
		})
	}
	return all
}
