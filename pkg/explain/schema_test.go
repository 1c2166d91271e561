package explain_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/explain"
)

// TestSchemaIsDocumented: docs/explain.md has every field of the report, each in
// a row of where it stands.
func TestSchemaIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/explain.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `") {
			rows = append(rows, line)
		}
	}
	documented := func(path, field string) bool {
		for _, row := range rows {
			first, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
			whole := strings.TrimPrefix(path+"."+field, ".")
			ofPath := path != "" && strings.Contains(first, "`"+path+"`")
			if strings.Contains(first, "`"+whole+"`") || ofPath && strings.Contains(row, "`"+field+"`") {
				return true
			}
		}
		return false
	}
	fields := 0
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		for i := range typ.NumField() {
			fields++
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			of := typ.Field(i).Type
			if of.Kind() == reflect.Slice {
				name, of = name+"[]", of.Elem()
			}
			if of.Kind() == reflect.Pointer {
				of = of.Elem()
			}
			if !documented(path, name) {
				t.Errorf("docs/explain.md has no %q of %q", name, path)
			}
			if of.Kind() == reflect.Struct {
				walk(strings.TrimPrefix(path+"."+name, "."), of)
			}
		}
	}
	walk("", reflect.TypeFor[explain.Report]())
	if fields < 25 {
		t.Errorf("only %d fields", fields)
	}
	for _, constant := range []string{explain.Version, explain.Kind, explain.Create, explain.Use, explain.Leave, explain.FromDefault, explain.FromExisting} {
		if !strings.Contains(string(text), "`"+constant+"`") {
			t.Errorf("docs/explain.md has no %q", constant)
		}
	}
}
