package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// warmUp is how many rounds come before those that count.
const warmUp = 1

// The goals: at most this share of the time, at least this share of the throughput.
const (
	goalTime       = 1.05
	goalThroughput = 0.95
)

// scenario is something that is done once through each arm in every round.
type scenario struct {
	name   string
	bytes  int64   // that one turn moves; 0 where only time counts
	goal   float64 // 0: it is there for comparison
	rounds int
	// turn does it once and returns how long the part took that counts. It
	// checks what came of it, and removes what it made.
	turn func(ctx context.Context, a *arm) (time.Duration, error)
}

// result is what was measured of a scenario, in the order of the rounds.
type result struct {
	scenario
	direct  []time.Duration
	through map[string][]time.Duration // by the names of the other arms
	cpu     time.Duration              // of the companion's process, for one turn through it
}

// bench has all arms in one run.
type bench struct {
	direct, relay, reverse, companion *arm
	pid                               int // the companion's
	only                              string
	progress                          io.Writer

	made     int    // names given so far
	existing string // volume that is there all the time
	box      string // container that sleeps all the time
}

// all measures every scenario.
func (b *bench) all(ctx context.Context, s size) ([]result, error) {
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	var results []result
	for _, sc := range b.scenarios(s) {
		if !strings.Contains(sc.name, b.only) {
			continue
		}
		begin := time.Now()
		r, err := b.measure(ctx, sc)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", sc.name, err)
		}
		fmt.Fprintf(b.progress, "%s: %d rounds in %s\n", sc.name, sc.rounds, time.Since(begin).Round(time.Second))
		results = append(results, r)
	}
	return results, nil
}

// scenarios are what docs/performance.md has, in its order.
func (b *bench) scenarios(s size) []scenario {
	bytes := s.mib << 20
	return []scenario{
		{"look a volume up", 0, 0, s.creates, b.lookup},
		{"create without a volume", 0, goalTime, s.creates, b.createBare},
		{"create, its volume exists", 0, goalTime, s.creates, b.createExisting},
		{"create, its volume is missing", 0, goalTime, s.creates, b.createMissing},
		{"start", 0, goalTime, s.starts, b.start},
		{"exec output, 101 stream", bytes, goalThroughput, s.streams, b.output(true, s.mib)},
		{"exec input, 101 stream", bytes, goalThroughput, s.streams, b.input(true, s.mib)},
		{"exec output, raw 200 stream", bytes, goalThroughput, s.streams, b.output(false, s.mib)},
		{"exec input, raw 200 stream", bytes, goalThroughput, s.streams, b.input(false, s.mib)},
		{"cp into the container", bytes, goalThroughput, s.streams, b.copyIn(bytes)},
		{"cp out of the container", bytes, goalThroughput, s.streams, b.copyOut(bytes)},
	}
}

// measure interleaves the arms, each of them first in turn and in both directions: what
// else the machine does, and what grows in the engine, meets all alike. Streams that no
// client upgrades do not pass a bare reverse proxy, so it has none.
func (b *bench) measure(ctx context.Context, s scenario) (result, error) {
	r := result{scenario: s, through: map[string][]time.Duration{}}
	arms := []*arm{b.direct, b.relay, b.reverse, b.companion}
	if s.bytes > 0 {
		arms = []*arm{b.direct, b.relay, b.companion}
	}
	var busy time.Duration
	for round := range warmUp + s.rounds {
		order := slices.Clone(arms)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		first := round / 2 % len(order)
		for _, a := range slices.Concat(order[first:], order[:first]) {
			before, err := cpuTime(b.pid)
			if err != nil {
				return r, err
			}
			took, err := s.turn(ctx, a)
			if err != nil {
				return r, fmt.Errorf("%s: %w", a.name, err)
			}
			after, err := cpuTime(b.pid)
			switch {
			case err != nil:
				return r, err
			case round < warmUp:
			case a == b.direct:
				r.direct = append(r.direct, took)
			default:
				r.through[a.name] = append(r.through[a.name], took)
				if a == b.companion {
					busy += after - before
				}
			}
		}
	}
	r.cpu = busy / time.Duration(max(1, s.rounds))
	return r, nil
}

// cpuTime is what a process has used of the processors; clock_getcpuclockid(3).
func cpuTime(pid int) (time.Duration, error) {
	const scheduler = 2 // what the scheduler has counted, of all threads
	var used unix.Timespec
	if err := unix.ClockGettime(^int32(pid)<<3|scheduler, &used); err != nil {
		return 0, fmt.Errorf("reading the companion's CPU time: %w", err)
	}
	return time.Duration(used.Nano()), nil
}
