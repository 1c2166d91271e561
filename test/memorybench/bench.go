package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/fill"
	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// settle is how long the webhook has after it is ready: what was read at the
// start is garbage by then, and has been collected.
const settle = 5 * time.Second

// row is what was measured at one number of claims: of several starts the worst.
type row struct {
	claims int
	ready  time.Duration // from the start of the process to its readiness
	peak   int64         // bytes resident, at the most
	after  int64         // bytes resident once all was quiet
}

type bench struct {
	webhook  *stack.Installation
	filler   *fill.Filler
	running  int // pods
	pending  int
	starts   int
	progress io.Writer
}

func (b *bench) all(ctx context.Context, claims []int) ([]row, error) {
	// The first start builds the program, which is no part of its readiness.
	p, err := b.webhook.Start(ctx)
	if err != nil {
		return nil, err
	}
	p.Kill()
	var rows []row
	for i, n := range claims {
		begin := time.Now()
		if err := b.filler.Claims(ctx, n); err != nil {
			return nil, fmt.Errorf("filling up to %d claims: %w", n, err)
		}
		if i == 0 && b.running+b.pending > 0 {
			if err := b.pods(ctx); err != nil {
				return nil, err
			}
		}
		fmt.Fprintf(b.progress, "%d claims: filled in %s\n", n, time.Since(begin).Round(time.Second))
		r := row{claims: n}
		for range b.starts {
			if err := b.start(ctx, &r); err != nil {
				return nil, err
			}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// pods adds the pods, and switches their namespaces on.
func (b *bench) pods(ctx context.Context) error {
	if err := b.filler.Pods(ctx, b.running, b.pending); err != nil {
		return fmt.Errorf("adding pods: %w", err)
	}
	if err := b.filler.Enable(ctx); err != nil {
		return fmt.Errorf("switching the namespaces on: %w", err)
	}
	return nil
}

// start starts the webhook once and adds what it saw to the row.
func (b *bench) start(ctx context.Context, r *row) error {
	begin := time.Now()
	p, err := b.webhook.Start(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	ready := time.Since(begin)
	select {
	case <-time.After(settle):
	case <-p.Done():
		return p.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
	m, err := p.Memory()
	if err != nil {
		return err
	}
	r.ready, r.peak, r.after = max(r.ready, ready), max(r.peak, m.Peak), max(r.after, m.Now)
	fmt.Fprintf(b.progress, "%d claims: ready after %s, peak %.1f MiB\n", r.claims, ready.Round(time.Millisecond), mib(m.Peak))
	return nil
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
