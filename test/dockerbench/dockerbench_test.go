package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain is a proxy where startProxy has started this program as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && proxies[os.Args[1]] != nil {
		main()
		return
	}
	os.Exit(m.Run())
}

// rows are the first and last columns of a table's rows.
var rows = regexp.MustCompile(`(?m)^\| ([^|]+) \| \d+ \|.*\| ([0-9.]+) ms \|$`)

// TestSmall: everything that `make bench-docker` measures can be measured, and
// docs/performance.md has a row for each, in the same order. What comes of each
// request is checked on the way.
func TestSmall(t *testing.T) {
	var out, progress bytes.Buffer
	args := []string{"-storage-driver=vfs", "-creates=2", "-starts=1", "-streams=1", "-mib=3"}
	if err := run(t.Context(), args, &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	var want []string
	for _, s := range new(bench).scenarios(size{}) {
		want = append(want, s.name)
	}
	if got := names(out.String()); !slices.Equal(got, want) {
		t.Errorf("the rows are %q, want %q:\n%s", got, want, &out)
	}
	if !strings.Contains(out.String(), "with storage driver vfs") {
		t.Errorf("the storage driver is not told:\n%s", &out)
	}
	document, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if got := names(string(document)); !slices.Equal(got, want) {
		t.Errorf("docs/performance.md has the rows %q, want %q; put what `make bench-docker` prints there", got, want)
	}
}

// TestProxies: what the companion is compared with passes what it gets, and ends.
func TestProxies(t *testing.T) {
	for command := range proxies {
		t.Run(command, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "proxy") // short enough for sockets
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			behind, err := net.Listen("unix", dir+"/engine")
			if err != nil {
				t.Fatal(err)
			}
			engine := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				heard, _ := io.ReadAll(r.Body)
				_, _ = w.Write(bytes.ToUpper(heard))
			})}
			t.Cleanup(func() { _ = engine.Close() })
			go func() { _ = engine.Serve(behind) }()
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- proxy(ctx, command, dir+"/s", dir+"/engine") }()
			var said struct{ Heard string }
			for range 100 {
				if _, err = newArm(command, dir+"/s").call(ctx, "POST", "/", map[string]string{"heard": "hello"}, &said); err == nil {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if err != nil || said.Heard != "HELLO" {
				t.Errorf("got %q, %v", said.Heard, err)
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

func names(table string) []string {
	var names []string
	for _, m := range rows.FindAllStringSubmatch(table, -1) {
		names = append(names, m[1])
	}
	return names
}

func TestFigures(t *testing.T) {
	times := func(ms ...int) []time.Duration {
		var all []time.Duration
		for _, n := range ms {
			all = append(all, time.Duration(n)*time.Millisecond)
		}
		return all
	}
	for _, c := range []struct {
		name              string
		bytes             int64
		goal              float64
		direct, companion []time.Duration
		ratio, low, high  float64
		met               bool
	}{
		{"time, within the goal", 0, 1.05, times(100, 100, 100), times(104, 104, 104), 1.04, 1.04, 1.04, true},
		{"time, beyond the goal", 0, 1.05, times(100, 100, 100), times(106, 106, 106), 1.06, 1.06, 1.06, false},
		{"time without a goal", 0, 0, times(100), times(300), 3, 3, 3, true},
		{"throughput, within the goal", 1, 0.95, times(96, 96), times(100, 100), 0.96, 0.96, 0.96, true},
		{"throughput, beyond the goal", 1, 0.95, times(90, 90), times(100, 100), 0.9, 0.9, 0.9, false},
		{"rounds belong together", 0, 1.05, times(10, 20, 40), times(20, 40, 80), 2, 2, 2, false},
		{"one slow round does not count", 0, 1.05, times(10, 10, 10, 10, 10, 10, 10), times(10, 10, 10, 10, 10, 10, 900), 1, 1, 1, true},
	} {
		r := result{scenario: scenario{bytes: c.bytes, goal: c.goal}, direct: c.direct}
		f := r.figure(c.companion)
		if f.ratio != c.ratio || f.low != c.low || f.high != c.high || r.met(f) != c.met {
			t.Errorf("%s: %v, met %v", c.name, f, r.met(f))
		}
	}
	if q := quarter(times(4, 1, 2, 3)); q != (quartiles{1750 * time.Microsecond, 2500 * time.Microsecond, 3250 * time.Microsecond}) {
		t.Errorf("the quartiles are %v", q)
	}
}

// TestOutOfReach: a goal is out of reach where the relay misses it over the whole of its
// interval, not where it does by its median alone.
func TestOutOfReach(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name          string
		bytes         int64
		goal          float64
		direct, relay []time.Duration
		outOfReach    bool
	}{
		{"time, beyond the goal", 0, 1.05, []time.Duration{100 * ms, 100 * ms}, []time.Duration{106 * ms, 107 * ms}, true},
		{"time, on both sides of the goal", 0, 1.05, []time.Duration{100 * ms, 100 * ms}, []time.Duration{104 * ms, 120 * ms}, false},
		{"throughput, beyond the goal", 1, 0.95, []time.Duration{90 * ms, 90 * ms}, []time.Duration{100 * ms, 110 * ms}, true},
		{"throughput, on both sides of the goal", 1, 0.95, []time.Duration{90 * ms, 90 * ms}, []time.Duration{91 * ms, 110 * ms}, false},
		{"no goal", 0, 0, []time.Duration{100 * ms}, []time.Duration{300 * ms}, false},
	} {
		r := result{scenario: scenario{bytes: c.bytes, goal: c.goal}, direct: c.direct, through: map[string][]time.Duration{relayCommand: c.relay}}
		if got := r.outOfReach(); got != c.outOfReach {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestCPUTime: the time is ours, and it grows as we work.
func TestCPUTime(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		after, err := cpuTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after > before {
			return
		}
		for begin := time.Now(); time.Since(begin) < 10*time.Millisecond; {
			continue
		}
	}
	t.Errorf("it stays at %s", before)
}
