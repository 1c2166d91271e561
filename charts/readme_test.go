package charts_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the chart's README")

// example is a file of examples/: values that are documented together.
type example struct{ Path, Title, Text string }

func examples(t *testing.T) []example {
	t.Helper()
	paths, err := filepath.Glob(chart + "/examples/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var result []example
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		title, rest, _ := strings.Cut(string(text), "\n")
		if !strings.HasPrefix(title, "# ") {
			t.Errorf("%s does not begin with a title", path)
		}
		result = append(result, example{path, strings.TrimPrefix(title, "# "), strings.TrimSpace(rest)})
	}
	return result
}

// row is a line of the README's table.
type row struct{ Path, Default, Kind, Description string }

func (v value) row(t *testing.T) row {
	t.Helper()
	var content any
	if err := v.node.Decode(&content); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(content); err != nil {
		t.Fatal(err)
	}
	r := row{Path: v.path, Default: "`" + strings.TrimSpace(text.String()) + "`", Description: words(v.described.Description)}
	if len(r.Default) > 60 {
		r.Default = "see values.yaml"
	}
	s := v.described
	switch {
	case len(s.Enum) > 0:
		r.Kind = "one of " + strings.TrimPrefix(strings.Join(s.Enum, ", "), ", ")
	case s.Type == "object" && string(s.AdditionalProperties) != "false":
		r.Kind = "map of strings"
	case s.Type == "array" && s.Items.Type == "object":
		var fields []string
		for _, name := range s.Items.Required {
			fields = append(fields, "`"+name+"`")
		}
		r.Kind = "list of " + strings.Join(fields, ", ")
	case s.Type == "array":
		r.Kind = "list"
	case s.Minimum != nil && s.Maximum != nil:
		r.Kind = fmt.Sprintf("%s, %d to %d", s.Type, *s.Minimum, *s.Maximum)
	case s.Minimum != nil:
		r.Kind = fmt.Sprintf("%s, at least %d", s.Type, *s.Minimum)
	default:
		r.Kind = fmt.Sprint(s.Type)
	}
	return r
}

// The chart's README is what is made of its values, its schema and its examples; -update makes it anew.
func TestReadme(t *testing.T) {
	var about struct{ Description, KubeVersion string }
	text, err := os.ReadFile(chart + "/Chart.yaml")
	if err == nil {
		err = yaml.Unmarshal(text, &about)
	}
	if err != nil {
		t.Fatal(err)
	}
	about.KubeVersion = strings.TrimSuffix(strings.TrimPrefix(about.KubeVersion, ">="), ".0-0") + " or later"
	var rows []row
	for _, v := range values(t) {
		rows = append(rows, v.row(t))
	}
	readme, err := template.ParseFiles("readme.gotmpl")
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := readme.Execute(&want, map[string]any{
		"Description": about.Description, "KubeVersion": about.KubeVersion, "Values": rows, "Examples": examples(t),
	}); err != nil {
		t.Fatal(err)
	}
	path := chart + "/README.md"
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not current (%v); make golden makes it anew", path, err)
	}
}
