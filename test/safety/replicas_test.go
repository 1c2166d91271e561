package safety

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/process"
	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// every is after how many steps something happens to a replica.
const every = 120

// flags are those of both replicas. Minutes become seconds, so that orphans are found in time.
var flags = []string{"--delete-orphaned-claims", "--orphaned-after=4s", "--orphans-deleted-after=5s"}

// replicas are two processes of the webhook with one Lease between them. Only
// the first is asked about pods.
type replicas struct {
	in            *stack.Installation
	rng           *rand.Rand
	first, second *process.Process // nil while it does not run
}

// start starts those that do not run, and returns when they are ready.
func (r *replicas) start(ctx context.Context) (err error) {
	if r.first == nil {
		if r.first, err = r.in.Start(ctx, flags...); err != nil {
			return err
		}
	}
	if r.second == nil {
		r.second, err = r.in.StartBeside(ctx, flags...)
	}
	return err
}

func (r *replicas) kill() {
	if r == nil {
		return
	}
	for _, p := range []**process.Process{&r.first, &r.second} {
		if *p != nil {
			(*p).Kill()
			*p = nil
		}
	}
}

// outages is how often what happened to a replica.
type outages struct{ first, second, both, ended, frozen int }

// String is for the report.
func (o outages) String() string {
	return fmt.Sprintf("killed %d times the replica that is asked, %d times the other, %d times both; %d times the other was ended in order, %d times frozen for longer than its lease",
		o.first, o.second, o.both, o.ended, o.frozen)
}

// disturb does something to the replicas now and then until all steps are taken
// or ctx ends. A replica that ends by itself is broken.
func (r *replicas) disturb(ctx context.Context, taken *atomic.Int64, steps int64, broken func(error)) (o outages) {
	pause := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	for next := int64(every); ctx.Err() == nil && taken.Load() < steps; {
		for _, p := range []*process.Process{r.first, r.second} {
			select {
			case <-p.Done():
				broken(p.Err())
				return o
			default:
			}
		}
		if taken.Load() < next {
			pause(50 * time.Millisecond)
			continue
		}
		next = taken.Load() + every
		switch r.rng.IntN(6) {
		case 0, 1:
			o.first++
			r.first.Kill()
			r.first = nil
		case 2:
			o.second++
			r.second.Kill()
			r.second = nil
		case 3:
			o.both++
			r.kill()
		case 4:
			o.ended++
			if err := r.second.Stop(); err != nil {
				broken(err)
				return o
			}
			r.second = nil
		case 5:
			o.frozen++
			r.second.Signal(syscall.SIGSTOP)
			pause(16 * time.Second)
			r.second.Signal(syscall.SIGCONT)
		}
		pause(time.Duration(r.rng.IntN(3000)) * time.Millisecond)
		if err := r.start(ctx); err != nil && ctx.Err() == nil {
			broken(err)
			return o
		}
	}
	return o
}
