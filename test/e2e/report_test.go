package e2e

import (
	"flag"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/test/figures"
)

var result = flag.String("result", "", "the file that the figures are added to")

// report is what a test has seen, for people.
type report struct{ *figures.Report }

// report begins a report, which is given at the test's end.
func (g *ground) report(t *testing.T) *report {
	t.Helper()
	how := "a tenth of the counts"
	if *soak {
		how = "the full counts"
	}
	return &report{figures.Begin(t, how, *result)}
}

// say adds a line.
func (r *report) say(format string, args ...any) { r.Say(format, args...) }
