package safety

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/figures"
)

var (
	seed   = flag.Uint64("seed", 0, "of the random numbers; 0: another each time")
	soak   = flag.Bool("soak", false, "50,000 steps, not 2,000")
	result = flag.String("result", "", "the file that the figures are added to")
)

const (
	// actors take steps at the same time.
	actors = 8
	// pace is the pause between two steps of all actors together: the cluster and
	// the safety net are to come between them.
	pace = 25 * time.Millisecond
	// settled is how long it may take after the last step until all is as it should be.
	settled = time.Minute
)

// TestSafety takes the steps, holds the rules meanwhile, and what has to come true in the end.
func TestSafety(t *testing.T) {
	steps, how := 2000, "2,000 steps"
	if *soak {
		steps, how = 50_000, "50,000 steps"
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-seed=%d", *seed)
	w := newWorld(t)
	r := figures.Begin(t, fmt.Sprintf("%s, -seed=%d", how, *seed), *result)

	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	broken := func(err error) { stop(err) }
	var background sync.WaitGroup
	background.Go(func() { w.judge(ctx, broken) })
	background.Go(func() { w.kubelet(ctx) })

	begin := time.Now()
	var taken atomic.Int64
	tickets := make(chan struct{})
	var acting sync.WaitGroup
	counts := make([]map[string]int, actors)
	for i, a := range w.actors {
		counts[i] = map[string]int{}
		acting.Go(func() {
			for range tickets {
				name, err := a.step(ctx)
				if err != nil && ctx.Err() == nil {
					broken(fmt.Errorf("step %q in namespace %s: %w", name, a.home, err))
				}
				counts[i][name]++
				taken.Add(1)
			}
		})
	}
	acting.Go(func() {
		defer close(tickets)
		ticker := time.NewTicker(pace)
		defer ticker.Stop()
		for range steps {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			select {
			case <-ctx.Done():
				return
			case tickets <- struct{}{}:
			}
		}
	})
	outages := w.replicas.disturb(ctx, &taken, int64(steps), broken)
	acting.Wait()
	lasted := time.Since(begin)
	if err := w.replicas.start(ctx); err != nil && ctx.Err() == nil {
		broken(err)
	}
	var blocked, lifted time.Duration
	if ctx.Err() == nil {
		blocked, lifted = w.end(ctx, t)
	}
	if err := context.Cause(ctx); err != nil {
		t.Error(err)
	}
	stop(nil)
	background.Wait()
	w.audit.read()
	for _, v := range w.violations() {
		t.Error(v)
	}

	total := map[string]int{}
	for _, c := range counts {
		for name, n := range c {
			total[name] += n
		}
	}
	var each []string
	for _, name := range slices.Sorted(maps.Keys(total)) {
		each = append(each, fmt.Sprintf("%d %s", total[name], name))
	}
	r.Say("%d steps by %d actors in %s: %s", taken.Load(), actors, lasted.Round(time.Second), strings.Join(each, ", "))
	r.Say("meanwhile: %s", outages)
	seen := w.seen()
	r.Say("%s", seen)
	r.Say("all was as it should be %s after the last step, with no room in any quota, and %s after all quotas were lifted", blocked, lifted)
	if !t.Failed() {
		if err := seen.enough(); err != nil {
			t.Error(err)
		}
	}
}

// end holds what has to come true in the end: with room in no quota, and once there is again.
func (w *world) end(ctx context.Context, t *testing.T) (blocked, lifted time.Duration) {
	fail := func(err error) bool {
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		return err != nil
	}
	if fail(w.block(ctx)) {
		return 0, 0
	}
	blocked, err := w.settle(ctx, "the last step")
	if fail(err) || fail(w.lift(ctx)) {
		return blocked, 0
	}
	lifted, err = w.settle(ctx, "the quotas were lifted")
	fail(err)
	return blocked, lifted
}

// enough is an error where something never happened: the rules about it were held of nothing.
func (s seen) enough() error {
	var err error
	for what, n := range map[string]int{
		"claims created by our account": s.created, "claims bound": s.bound, "claims collected with their owner": s.collected,
		"orphans deleted": s.orphans, "claims kept for a second user": s.shared, "Events": s.events,
	} {
		if n == 0 {
			err = errors.Join(err, fmt.Errorf("%s: none, so the test has shown nothing about them", what))
		}
	}
	return err
}
