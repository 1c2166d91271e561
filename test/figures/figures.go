// Package figures writes down what a long test has seen, for people: each test a
// paragraph, printed at its end and added to a file.
package figures

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// Report is what one test has seen. Not for use by several goroutines at once.
type Report struct {
	lines []string
}

// Begin begins a report, which is given at the test's end: it is printed, and
// added to the file of that path unless that is empty. how says how much of the
// test was asked for.
func Begin(t *testing.T, how, path string) *Report {
	t.Helper()
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	commit := exec.CommandContext(t.Context(), "git", "-C", root, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=, with changes that are in no commit")
	name, err := commit.CombinedOutput()
	if err != nil {
		name = []byte("unknown")
	}
	r, begin := &Report{}, time.Now()
	r.Say("%s, %s, on commit %s", t.Name(), how, strings.TrimSpace(string(name)))
	t.Cleanup(func() {
		r.Say("%s after %s", map[bool]string{true: "FAILED", false: "passed"}[t.Failed()], time.Since(begin).Round(time.Second))
		text := strings.Join(r.lines, "\n- ") + "\n\n"
		fmt.Print("\n", text)
		if path == "" {
			return
		}
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Error(err)
			return
		}
		defer file.Close()
		if _, err := file.WriteString(text); err != nil {
			t.Error(err)
		}
	})
	return r
}

// Say adds a line.
func (r *Report) Say(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}
