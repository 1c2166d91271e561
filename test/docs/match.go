package docs

import (
	"fmt"
	"slices"
	"strings"
)

// anything is what stands for any lines, or any text within one.
const anything = "…"

// Match compares output with the lines to expect; see the package's documentation. The error names the first line of
// either that does not fit.
func Match(expected []string, output string) error {
	got := split(output)
	if len(got) == 1 && got[0] == "" {
		got = nil
	}
	// reach[i]: the lines so far fit the first i lines of output.
	reach := make([]bool, len(got)+1)
	reach[0] = true
	for _, want := range expected {
		want = squeeze(want)
		next := make([]bool, len(got)+1)
		furthest := -1
		for i := range reach {
			if want == anything {
				next[i] = reach[i] || i > 0 && next[i-1]
			} else if i > 0 {
				next[i] = reach[i-1] && fits(want, got[i-1])
			}
			if reach[i] {
				furthest = i
			}
		}
		if !slices.Contains(next, true) {
			if furthest == len(got) {
				return fmt.Errorf("the output ends where the document has %q", want)
			}
			return fmt.Errorf("the document has %q, the output %q", want, got[furthest])
		}
		reach = next
	}
	if !reach[len(got)] {
		last := 0
		for i, r := range reach {
			if r {
				last = i
			}
		}
		return fmt.Errorf("the output goes on with %q, the document does not", got[last])
	}
	return nil
}

// split is the output as lines, each squeezed, without the end of the last.
func split(output string) []string {
	lines := strings.Split(strings.TrimRight(output, "\n"), "\n")
	for i, l := range lines {
		lines[i] = squeeze(l)
	}
	return lines
}

// squeeze makes every run of blanks one, and drops those at the end.
func squeeze(line string) string {
	indent := ""
	if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
		indent = " "
	}
	if text := strings.Join(strings.Fields(line), " "); text != "" {
		return indent + text
	}
	return ""
}

// fits reports whether a line is what is expected of it, parts left open included.
func fits(want, got string) bool {
	parts := strings.Split(want, anything)
	if len(parts) == 1 {
		return want == got
	}
	rest, ok := strings.CutPrefix(got, parts[0])
	if !ok {
		return false
	}
	for _, p := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, p)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
