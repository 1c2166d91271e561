package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// facts are lines about the run that the figures depend on.
func (b *bench) facts(ctx context.Context) ([]string, error) {
	var info struct{ ServerVersion, Driver, KernelVersion string }
	if _, err := b.direct.call(ctx, "GET", "/info", nil, &info); err != nil {
		return nil, err
	}
	processor := "processors of an unknown kind"
	if cpus, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(cpus); m != nil {
			processor = string(m[1])
		}
	}
	load := "unknown"
	if said, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(said))[:2], " and ")
	}
	root, err := process.Root()
	if err != nil {
		return nil, err
	}
	commit, err := exec.CommandContext(ctx, "git", "-C", root, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=, with changes that are in no commit").Output()
	if err != nil {
		commit = []byte("unknown")
	}
	return []string{
		"commit " + strings.TrimSpace(string(commit)),
		fmt.Sprintf("%d cores, %s, Linux %s; load of the last 1 and 5 minutes before the run: %s", runtime.NumCPU(), processor, info.KernelVersion, load),
		fmt.Sprintf("engine %s with storage driver %s, companion built with %s", info.ServerVersion, info.Driver, runtime.Version()),
	}, nil
}

// report writes the facts and the table of what was measured in Markdown.
func report(w io.Writer, about []string, s size, results []result) error {
	var out bytes.Buffer
	for _, fact := range about {
		fmt.Fprintln(&out, "-", fact)
	}
	fmt.Fprintf(&out, "- streams and copies of %d MiB; medians, in parentheses the quartiles, of ratios the 95%% interval\n\n", s.mib)
	fmt.Fprintln(&out, "| what | rounds | direct | through the companion | ratio | goal | a bare reverse proxy | the relay | companion's CPU |")
	fmt.Fprintln(&out, "|---|---|---|---|---|---|---|---|---|")
	var missed, beyond int
	for i := range results {
		r := &results[i]
		f := r.figure(r.through["companion"])
		goal := "–"
		switch {
		case r.goal == 0:
		case r.met(f):
			goal = fmt.Sprintf("%.2f: met", r.goal)
		default:
			goal = fmt.Sprintf("%.2f: **missed**", r.goal)
			missed++
			if r.outOfReach() {
				goal += ", out of reach"
				beyond++
			}
		}
		fmt.Fprintf(&out, "| %s | %d | %s | %s | %s | %s | %s | %s | %s |\n", r.name, r.rounds, r.show(f.direct), r.show(f.through), f.show(), goal,
			r.ratioOf(reverseCommand), r.ratioOf(relayCommand), milliseconds(r.cpu))
	}
	fmt.Fprintf(&out, "\n%d of the goals missed, %d of them out of reach: the relay misses them too, over the whole of its interval.\n", missed, beyond)
	_, err := w.Write(out.Bytes())
	return err
}

// outOfReach reports whether the least that a proxy can be misses the goal, over the
// whole of its interval.
func (r *result) outOfReach() bool {
	f := r.figure(r.through[relayCommand])
	best := f.low
	if r.bytes > 0 {
		best = f.high
	}
	return !r.met(figures{ratio: best})
}

// ratioOf is a proxy's ratio, where it was measured.
func (r *result) ratioOf(name string) string {
	if len(r.through[name]) == 0 {
		return "–"
	}
	return r.figure(r.through[name]).show()
}

// show is the ratio with its interval.
func (f figures) show() string { return fmt.Sprintf("%.3f (%.3f–%.3f)", f.ratio, f.low, f.high) }

// show is a median with its quartiles, the smaller one first: ms, or MiB/s where
// bytes were moved.
func (r *result) show(q quartiles) string {
	if r.bytes == 0 {
		return fmt.Sprintf("%s (%.2f–%.2f)", milliseconds(q.median), ms(q.first), ms(q.third))
	}
	rate := func(d time.Duration) float64 { return float64(r.bytes) / (1 << 20) / d.Seconds() }
	return fmt.Sprintf("%.0f MiB/s (%.0f–%.0f)", rate(q.median), rate(q.third), rate(q.first))
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f ms", ms(d)) }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
