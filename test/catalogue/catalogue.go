// Package catalogue holds docs/errors.md and the tests together: a test that has made something go wrong says which row
// of the document it is, and what was seen; a row that no test has seen is told at the end.
//
// A row is a line of a table: the row's name in backticks, the cause, whose fault it is, what is seen in backticks, and the
// remedy. In what is seen, "…" stands for any text. The part of the document, a heading of the second level, says
// which package of tests has the row.
package catalogue

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/test/docs"
	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// Path is where the document is, from the repository's root.
const Path = "docs/errors.md"

// Row is one thing that can go wrong.
type Row struct{ Part, Name, Cause, Whose, Seen, Remedy string }

// Parse reads the rows of a document. That each has all its cells, and a name of its own in its part, is its doing.
func Parse(text string) ([]Row, error) {
	var rows []Row
	part, names := "", map[string]bool{}
	start, quoted := regexp.MustCompile("^\\| `"), regexp.MustCompile("^`[^`]+`$")
	for i, line := range strings.Split(text, "\n") {
		if heading, is := strings.CutPrefix(line, "## "); is {
			part = heading
		}
		if !start.MatchString(line) {
			continue
		}
		const pipe = "\x00"
		cells := strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, pipe), "| "), "|")
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), pipe, "|")
		}
		if len(cells) != 5 || slices.Contains(cells, "") || !quoted.MatchString(cells[0]) || !quoted.MatchString(cells[3]) {
			return nil, fmt.Errorf("line %d: a row is: `name`, cause, whose fault, `what is seen`, remedy; it is %q", i+1, line)
		}
		row := Row{Part: part, Name: strings.Trim(cells[0], "`"), Cause: cells[1], Whose: cells[2], Seen: strings.Trim(cells[3], "`"), Remedy: cells[4]}
		key := part + "/" + row.Name
		if names[key] {
			return nil, fmt.Errorf("line %d: %s has %q twice", i+1, part, row.Name)
		}
		names[key] = true
		rows = append(rows, row)
	}
	return rows, nil
}

// Load reads the rows of the repository's document.
func Load() ([]Row, error) {
	root, err := process.Root()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, Path))
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	rows, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Path, err)
	}
	return rows, nil
}

// Part are the rows of one part, and which of them were seen. It is safe for concurrent use.
type Part struct {
	name string

	mu     sync.Mutex
	unseen map[string]bool
	rows   map[string]Row
}

// Open reads the rows of the part of that name.
func Open(name string) (*Part, error) {
	all, err := Load()
	if err != nil {
		return nil, err
	}
	p := &Part{name: name, unseen: map[string]bool{}, rows: map[string]Row{}}
	for _, row := range all {
		if row.Part == name {
			p.rows[row.Name], p.unseen[row.Name] = row, true
		}
	}
	return p, nil
}

// Saw holds that the row of that name has what was seen.
func (p *Part) Saw(t *testing.T, name, seen string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	row, is := p.rows[name]
	if !is {
		t.Errorf("%s has no row %q under %s; it would be: %q", Path, name, p.name, seen)
		return
	}
	delete(p.unseen, name)
	if err := docs.Match([]string{row.Seen}, strings.ReplaceAll(strings.TrimSpace(seen), "\n", " ")); err != nil {
		t.Errorf("%s, row %q: %v", Path, name, err)
	}
}

// Check is an error where a row was not seen although all tests have run.
func (p *Part) Check() error {
	for _, name := range []string{"test.run", "test.skip"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return nil // some tests only
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.unseen) == 0 {
		return nil
	}
	return fmt.Errorf("%s: no test has seen the rows %q of %s", Path, slices.Sorted(maps.Keys(p.unseen)), p.name)
}
