package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/ensure-volumes/ensure-volumes/test/fill"
	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

const (
	// healed bounds the wait for the missing claims.
	healed = 5 * time.Minute
	// settle is how long the webhook has after that: the safety net's first rounds are in the peak, too.
	settle = 12 * time.Second
)

// start is what was seen of one.
type start struct {
	ready time.Duration // from the start of the process to its readiness
	whole time.Duration // to the last of the missing claims
	peak  int64         // bytes resident, at the most
}

type bench struct {
	webhook                          *stack.Installation
	clients                          kubernetes.Interface
	filler                           *fill.Filler
	claims, running, pending, starts int
	progress                         io.Writer
}

func (b *bench) all(ctx context.Context) ([]start, error) {
	// The first start builds the program, which is no part of its readiness.
	p, err := b.webhook.Start(ctx, "--safety-net=false")
	if err != nil {
		return nil, err
	}
	p.Kill()
	begin := time.Now()
	if err := b.fill(ctx); err != nil {
		return nil, fmt.Errorf("filling: %w", err)
	}
	fmt.Fprintf(b.progress, "filled in %s\n", time.Since(begin).Round(time.Second))
	var starts []start
	for range b.starts {
		if err := b.forget(ctx); err != nil {
			return nil, err
		}
		s, err := b.start(ctx)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(b.progress, "ready after %s, whole after %s, peak %.1f MiB\n", s.ready.Round(time.Millisecond), s.whole.Round(time.Millisecond), mib(s.peak))
		starts = append(starts, s)
	}
	return starts, nil
}

func (b *bench) fill(ctx context.Context) error {
	if err := b.filler.Claims(ctx, b.claims); err != nil {
		return err
	}
	if err := b.filler.Pods(ctx, b.running, 0); err != nil {
		return err
	}
	b.filler.LeaveOut(b.claims - b.running)
	if err := b.filler.Pods(ctx, 0, b.pending); err != nil {
		return err
	}
	return b.filler.Enable(ctx)
}

// missing are the namespaces and names of the claims that the webhook is to make.
func (b *bench) missing(each func(namespace, name string) error) error {
	for i := b.claims; i < b.claims+b.pending; i++ {
		if err := each(fill.Namespace(i), fill.ClaimName(i)); err != nil {
			return err
		}
	}
	return nil
}

// forget undoes what an earlier start has done: no claim that is missing is
// there, and no replica of before holds the Lease.
func (b *bench) forget(ctx context.Context) error {
	err := b.clients.CoordinationV1().Leases(stack.Name).Delete(ctx, stack.Name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return b.missing(func(namespace, name string) error {
		claims := b.clients.CoreV1().PersistentVolumeClaims(namespace)
		err := claims.Delete(ctx, name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		// Nobody else takes the finalizer away: there is no kube-controller-manager.
		_, err = claims.Patch(ctx, name, "application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		return err
	})
}

// start starts the webhook once.
func (b *bench) start(ctx context.Context) (s start, err error) {
	missing := map[string]bool{}
	_ = b.missing(func(namespace, name string) error { missing[namespace+"/"+name] = true; return nil })
	all := b.clients.CoreV1().PersistentVolumeClaims(metav1.NamespaceAll)
	now, err := all.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return s, err
	}
	created, err := all.Watch(ctx, metav1.ListOptions{ResourceVersion: now.ResourceVersion})
	if err != nil {
		return s, err
	}
	defer created.Stop()
	begin := time.Now()
	p, err := b.webhook.Start(ctx)
	if err != nil {
		return s, err
	}
	defer p.Kill()
	s.ready = time.Since(begin)
	limit := time.After(healed)
	for len(missing) > 0 {
		select {
		case e, open := <-created.ResultChan():
			pvc, ok := e.Object.(*corev1.PersistentVolumeClaim)
			if !open || !ok {
				return s, fmt.Errorf("watching the claims: %s %v", e.Type, e.Object)
			}
			if e.Type == watch.Added {
				delete(missing, pvc.Namespace+"/"+pvc.Name)
			}
		case <-limit:
			return s, fmt.Errorf("after %s %d claims are still missing; %s", healed, len(missing), p.LastWords())
		case <-p.Done():
			return s, p.Err()
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	s.whole = time.Since(begin)
	select {
	case <-time.After(settle):
	case <-p.Done():
		return s, p.Err()
	case <-ctx.Done():
		return s, ctx.Err()
	}
	m, err := p.Memory()
	s.peak = m.Peak
	return s, err
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// report writes the facts and the table in Markdown. The worst of the starts counts.
func report(w io.Writer, facts []string, starts []start) error {
	const goalReady, goalPeak = 15 * time.Second, 80 << 20
	var out strings.Builder
	for _, fact := range facts {
		fmt.Fprintln(&out, "-", fact)
	}
	out.WriteString("\n| start | ready after | the last missing claim after | resident at the peak |\n|---|---|---|---|\n")
	var worst start
	for i, s := range starts {
		fmt.Fprintf(&out, "| %d | %.1f s | %.1f s | %.1f MiB |\n", i+1, s.ready.Seconds(), s.whole.Seconds(), mib(s.peak))
		worst.ready, worst.peak = max(worst.ready, s.ready), max(worst.peak, s.peak)
	}
	verdict := map[bool]string{true: "met", false: "**missed**"}
	fmt.Fprintf(&out, "| goal | %.0f s: %s | – | %.0f MiB: %s |\n", goalReady.Seconds(), verdict[worst.ready <= goalReady], mib(goalPeak), verdict[worst.peak <= goalPeak])
	_, err := io.WriteString(w, out.String())
	return err
}
