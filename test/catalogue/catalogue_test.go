package catalogue

import (
	"strings"
	"testing"
)

const document = `# Faults
## One
| | cause | whose fault | seen | remedy |
|---|---|---|---|---|
| ` + "`a`" + ` | c | w | ` + "`x … \\| y`" + ` | r |
## Two
| ` + "`a`" + ` | c | w | ` + "`z`" + ` | r |
`

func TestParse(t *testing.T) {
	rows, err := Parse(document)
	want := Row{"One", "a", "c", "w", "x … | y", "r"}
	if err != nil || len(rows) != 2 || rows[0] != want || rows[1].Part != "Two" {
		t.Errorf("%+v, %v", rows, err)
	}
	for _, faulty := range []string{
		"| `a` | c | w | `x` |",
		"| `a` | c | w | x | r |",
		"| `a` |  | w | `x` | r |",
		"| `a` | c | w | `x` | r |\n| `a` | c | w | `x` | r |",
	} {
		if rows, err := Parse(faulty); err == nil {
			t.Errorf("%q was read as %+v", faulty, rows)
		}
	}
}

// There are as many rows as were promised, each with a fault of somebody's.
func TestTheDocument(t *testing.T) {
	rows, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]int{}
	for _, row := range rows {
		parts[row.Part]++
		switch row.Whose {
		case "caller", "tenant", "operator", "client", "nobody":
		default:
			t.Errorf("%s: it is the fault of %q", row.Name, row.Whose)
		}
	}
	if len(rows) < 60 || parts["Kubernetes"] == 0 || parts["Docker"] == 0 || len(parts) != 2 {
		t.Errorf("%d rows: %v", len(rows), parts)
	}
}

// What is not in the document, or is there in other words, fails the test that saw it; what nobody saw is told.
func TestSaw(t *testing.T) {
	rows, err := Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	p := &Part{name: "One", rows: map[string]Row{"a": rows[0], "b": rows[1]}, unseen: map[string]bool{"a": true, "b": true}}
	p.Saw(t, "a", "x whatever | y\n")
	for name, seen := range map[string]string{"a": "x", "c": "z"} {
		inner := &testing.T{}
		p.Saw(inner, name, seen)
		if !inner.Failed() {
			t.Errorf("%s as %q is taken", name, seen)
		}
	}
	if p.unseen["a"] || !p.unseen["b"] {
		t.Errorf("unseen: %v", p.unseen)
	}
	if err := p.Check(); err != nil && !strings.Contains(err.Error(), `no test has seen the rows ["b"] of One`) {
		t.Error(err)
	}
}
