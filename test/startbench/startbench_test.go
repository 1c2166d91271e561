package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestSmall is the measurement with few objects, started twice: the second start has as much to do as the first.
func TestSmall(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-claims=60", "-running=40", "-pending=20", "-starts=2"}, &out, os.Stderr); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`(?m)^- commit [0-9a-f]{40}`,
		`(?m)^- 60 claims, 40 pods that run, 20 that wait for a claim that is missing$`,
		`(?m)^\| 1 \| [0-9.]+ s \| [0-9.]+ s \| [1-9][0-9.]* MiB \|$`,
		`(?m)^\| 2 \| [0-9.]+ s \| [0-9.]+ s \| [1-9][0-9.]* MiB \|$`,
		`(?m)^\| goal \| 15 s: \S+ \| – \| 80 MiB: \S+ \|$`,
	} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("no %s in:\n%s", want, &out)
		}
	}
}

// TestReport: the worst start counts, and what is just enough is enough.
func TestReport(t *testing.T) {
	starts := []start{{ready: time.Second, whole: 2 * time.Second, peak: 80 << 20}, {ready: 15 * time.Second, whole: 20 * time.Second, peak: 1 << 20}}
	for _, tt := range []struct {
		change func()
		says   string
	}{
		{func() {}, "| goal | 15 s: met | – | 80 MiB: met |"},
		{func() { starts[0].peak++ }, "| goal | 15 s: met | – | 80 MiB: **missed** |"},
		{func() { starts[1].ready++ }, "| goal | 15 s: **missed** | – | 80 MiB: **missed** |"},
	} {
		tt.change()
		var out bytes.Buffer
		if err := report(&out, []string{"commit 1"}, starts); err != nil || !strings.Contains(out.String(), tt.says) {
			t.Errorf("%v; no %q in:\n%s", err, tt.says, &out)
		}
	}
}
