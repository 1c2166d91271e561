package claim_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// TestTable holds that the table people read and the parser agree: what stands
// in the table is accepted in both forms and by every kind of object, and
// nothing else is.
func TestTable(t *testing.T) {
	// A value of each field: flat, in a list, and as describe spells it.
	values := map[string][3]string{
		"storage":                    {"5Gi", `"5Gi"`, "storage=5Gi"},
		"storageClass":               {"fast", `"fast"`, "class=fast"},
		"accessModes":                {"RWX", `["RWX"]`, "modes=ReadWriteMany"},
		"createIfNotExists":          {"false", `false`, "create=false"},
		"deleteOnSandboxTermination": {"true", `true`, "delete=true"},
	}
	known := []string{}
	for _, row := range claim.Table() {
		if row.Field == "" || row.Value == "" || row.Default == "" || row.OnDocker == "" {
			t.Errorf("row %+v is not complete", row)
		}
		if row.Field == "claimName" {
			continue
		}
		value, found := values[row.Field]
		if !found {
			t.Errorf("the contract has no field %q", row.Field)
		}
		delete(values, row.Field)
		for _, field := range []string{row.Field, row.Alias} {
			if field == "" {
				continue
			}
			known = append(known, field)
			for name, r := range bothForms(field, value[0], value[1], ok(value[2])) {
				for kind, layers := range r.layers() {
					t.Run(field+"/"+name+"/"+kind, func(t *testing.T) { r.check(t, layers) })
				}
			}
		}
	}
	for field := range values {
		t.Errorf("the table lacks %q", field)
	}
	if i := slices.IndexFunc(claim.Table(), func(r claim.Row) bool { return r.Alias == "storageClassName" }); i < 0 {
		t.Error("the table lacks the alias storageClassName")
	}

	var others []string
	for _, field := range known {
		others = append(others, strings.ToUpper(field), strings.ToLower(field), strings.ToUpper(field[:1])+field[1:], field+"s", field[1:])
	}
	others = append(others, "class", "size", "modes", "accessMode", "capacity", "resources", "volumeMode", "volumeName", "selector",
		"dataSource", "dataSourceRef", "volumeAttributesClassName", "labels", "annotations", "finalizers", "ownerReferences",
		"readOnly", "subPath", "name", "namespace", "driver", "options", "claim_name", "create_if_not_exists", "storage_class")
	for _, field := range others {
		if slices.Contains(known, field) {
			continue
		}
		for name, r := range bothForms(field, "true", `"true"`, refused("", field)) {
			for kind, layers := range r.layers() {
				t.Run(field+"/"+name+"/"+kind, func(t *testing.T) { r.check(t, layers) })
			}
		}
	}
}

// bothForms are the field flat and in a list.
func bothForms(field, flat, listed string, w want) map[string]row {
	return map[string]row{
		"flat":       {hints: keys{home + field: flat}, home: w},
		"pod-wide":   {hints: keys{every + field: flat}, both: w},
		"label":      {labels: keys{home + field: flat}, home: w},
		"structured": {hints: keys{list: `[{"claimName":"home","` + field + `":` + listed + `}]`}, home: w},
	}
}

// TestTableSaysTheModes holds that the table names every mode that is read.
func TestTableSaysTheModes(t *testing.T) {
	i := slices.IndexFunc(claim.Table(), func(r claim.Row) bool { return r.Field == "accessModes" })
	words := strings.FieldsFunc(claim.Table()[i].Value, func(r rune) bool { return strings.ContainsRune(" ,;", r) })
	var set claim.Modes
	read := 0
	for _, word := range words {
		if word == "short" {
			continue
		}
		m, ok := claim.ParseMode(word)
		if !ok {
			t.Errorf("the table has the mode %q, which is not read", word)
		}
		set |= m
		read++
	}
	if len(set.Names()) != 4 || read != 8 {
		t.Errorf("the table has the modes %q in %d words, want 4 in 8", set, read)
	}
}
