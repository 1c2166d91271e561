package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

var result = flag.String("result", "", "the file that the figures are added to")

// report is what a test has seen, for people.
type report struct {
	begin time.Time
	lines []string
}

// report begins a report, which is given at the test's end.
func (g *ground) report(t *testing.T) *report {
	t.Helper()
	commit := exec.CommandContext(t.Context(), "git", "-C", g.root, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=, with changes that are in no commit")
	name, err := commit.CombinedOutput()
	if err != nil {
		name = []byte("unknown")
	}
	how := "a tenth of the counts"
	if *soak {
		how = "the full counts"
	}
	r := &report{begin: time.Now()}
	r.say("%s, %s, on commit %s", t.Name(), how, strings.TrimSpace(string(name)))
	t.Cleanup(func() {
		r.say("%s after %s", map[bool]string{true: "FAILED", false: "passed"}[t.Failed()], time.Since(r.begin).Round(time.Second))
		text := strings.Join(r.lines, "\n- ") + "\n\n"
		fmt.Print("\n", text)
		if *result == "" {
			return
		}
		file, err := os.OpenFile(*result, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
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

// say adds a line.
func (r *report) say(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}
