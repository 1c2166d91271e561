package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestSmall is the measurement with few claims: a row for each count, each with its figures.
func TestSmall(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-claims=0,60", "-running=4", "-pending=2", "-starts=1"}, &out, os.Stderr); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`(?m)^- commit [0-9a-f]{40}`,
		`(?m)^- 4 pods that run and 2 that are Pending$`,
		`(?m)^\| 0 \| [1-9][0-9.]* MiB \| [1-9][0-9.]* MiB \| [0-9.]+ s \| – \|$`,
		`(?m)^\| 60 \| [1-9][0-9.]* MiB \| [1-9][0-9.]* MiB \| [0-9.]+ s \| – \|$`,
		`(?m)^    60 claims  #+ *\|#* [0-9.]+ MiB$`,
	} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("no %s in:\n%s", want, &out)
		}
	}
}

// TestReport: the goal counts at its number of claims alone, and the plot shows which side of it a peak is on.
func TestReport(t *testing.T) {
	var out bytes.Buffer
	rows := []row{
		{claims: 10000, ready: time.Second, peak: 90 << 20, after: 60 << 20},
		{claims: 50000, ready: 4200 * time.Millisecond, peak: 80 << 20, after: 60 << 20},
	}
	if err := report(&out, []string{"commit 1"}, rows); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"- commit 1\n",
		"| 10000 | 90.0 MiB | 60.0 MiB | 1.0 s | – |\n",
		"| 50000 | 80.0 MiB | 60.0 MiB | 4.2 s | 80 MiB at the peak: met |\n",
		" 10000 claims  " + strings.Repeat("#", 40) + "|##### 90.0 MiB\n",
		" 50000 claims  " + strings.Repeat("#", 40) + "| 80.0 MiB\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, &out)
		}
	}
	out.Reset()
	rows[1].peak++
	if err := report(&out, nil, rows); err != nil || !strings.Contains(out.String(), "**missed**") {
		t.Errorf("one byte more: %v\n%s", err, &out)
	}
}

// TestCounts: what is no growing list of numbers is refused.
func TestCounts(t *testing.T) {
	for _, s := range []string{"", "x", "-1", "1,1", "2,1", "1,,2"} {
		if err := new(counts).Set(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
	var c counts
	if err := c.Set("0,1000"); err != nil || c.String() != "0,1000" {
		t.Errorf("%v, %v", c, err)
	}
}
