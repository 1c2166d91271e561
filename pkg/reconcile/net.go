package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

const (
	// settle is how long after a change a pod is left alone: what admission has just
	// created is known then, and what is being deleted together with its claim is gone.
	settle = time.Second
	// patience is how long one pod or claim may take.
	patience = 10 * time.Second
	// workers look at pods at the same time, guards at claims.
	workers, guards = 16, 2
	// sweepEvery is how often the claims are looked through for what nobody reports.
	sweepEvery = 10 * time.Second
)

// Net is the safety net. Its fields are set before [Net.Attach]; Watch and Lead may
// then run at once, each of them once at a time.
type Net struct {
	// Ensurer is the one of admission. Its Live client also reads pods, writes
	// Events and, where the options say so, changes and deletes claims of ours.
	Ensurer *provision.Ensurer
	// Pods are watched through it.
	Pods typedcorev1.PodsGetter
	// OrphanAfter is the age from which on a claim of ours that was never bound and
	// that no pod refers to is an orphan; 0: a minute.
	OrphanAfter time.Duration
	// DeleteOrphans deletes orphaned claims, DeleteAfter they were made; 0: ten minutes.
	DeleteOrphans bool
	DeleteAfter   time.Duration
	// Identity names this replica in Events.
	Identity string
	Log      logr.Logger
	// Metrics count; nil: nothing is counted.
	Metrics *Metrics

	pods pods

	mu   sync.Mutex
	term *term // nil while another replica leads
}

// term is what a leader knows, and forgets when it leads no longer.
type term struct {
	*Net
	podsDue, claimsDue *queue // what is to be looked at
	stories            stories
	suspicions         suspicions
}

// orphanAfter is OrphanAfter, or its default.
func (n *Net) orphanAfter() time.Duration { return cmp.Or(n.OrphanAfter, time.Minute) }

// deleteAfter is DeleteAfter, or its default.
func (n *Net) deleteAfter() time.Duration { return cmp.Or(n.DeleteAfter, 10*time.Minute) }

// Attach makes the net hear of claims that go, or cannot be used any more. It comes before the Run of
// Ensurer.Claims, and before everything else.
func (n *Net) Attach() {
	n.pods.Changed = n.podChanged
	n.Ensurer.Claims.Changed = n.claimChanged
}

// Watch keeps up with the pods that wait, until ctx ends.
func (n *Net) Watch(ctx context.Context) { n.pods.run(ctx, n.Pods) }

// Synced reports whether all that a leader needs is known. Until then a replica
// should leave the lead to others.
func (n *Net) Synced() bool { return n.pods.Synced() && n.Ensurer.Claims.Synced() }

// leading is the term, or nil.
func (n *Net) leading() *term {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.term
}

func (n *Net) podChanged(old, now *waiting) {
	n.pods.index(old, now)
	t := n.leading()
	if t == nil {
		return
	}
	if old != nil && (now == nil || now.uid != old.uid) {
		t.stories.forget(old.uid)
		t.podsDue.Forget(old.Key())
	}
	if now == nil {
		return
	}
	// Another user of an exclusive claim may run before it has settled.
	t.suspect(now)
	if !now.asks(old) {
		return // a status that somebody keeps writing must not end the pauses
	}
	age := max(time.Since(now.created), 0) // a clock that is behind makes it negative
	t.podsDue.hurry(now.Key(), settle-min(age, settle))
}

func (n *Net) claimChanged(old, now *provision.Record) {
	t := n.leading()
	if t == nil {
		return
	}
	users := n.pods.of(cmp.Or(now, old).Key())
	if now != nil && now.ExclusiveOwner() != "" {
		for _, pod := range users {
			if w := n.pods.Get(pod.Namespace, pod.Name); w != nil {
				t.suspect(w)
			}
		}
	}
	if now != nil && (!now.Unusable() || old != nil && old.Unusable()) {
		return // who waits has what it needs, or has been looked at already
	}
	for _, pod := range users {
		t.podsDue.hurry(pod, settle)
	}
}

// NamespaceChanged is to be called when a namespace was switched on or its hints
// have changed: its pods are looked at again.
func (n *Net) NamespaceChanged(name string) {
	t := n.leading()
	if t == nil {
		return
	}
	for pod := range n.pods.All() {
		if pod.Namespace == name {
			t.podsDue.hurry(pod.Key(), 0)
		}
	}
}

// Lead acts until ctx ends. What it finds when it begins comes after what happens
// from then on.
func (n *Net) Lead(ctx context.Context) {
	t := &term{Net: n, podsDue: newQueue(), claimsDue: newQueue()}
	n.mu.Lock()
	n.term = t
	n.mu.Unlock()
	n.Metrics.lead(true)
	for pod := range n.pods.All() {
		t.podsDue.Add(pod.Key())
	}

	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { t.work(ctx, t.podsDue, t.heal) })
	}
	for range guards {
		wg.Go(func() { t.work(ctx, t.claimsDue, t.guard) })
	}
	wg.Go(func() { newPatrol(t).run(ctx) })
	<-ctx.Done()
	n.mu.Lock()
	n.term = nil
	n.mu.Unlock()
	t.podsDue.ShutDown()
	t.claimsDue.ShutDown()
	wg.Wait()
	n.Metrics.lead(false)
}

// work looks at what is in the queue, one after the other, until it is shut down.
// look reports whether to come back to it later.
func (t *term) work(ctx context.Context, q *queue, look func(context.Context, types.NamespacedName) (again bool)) {
	for {
		key, end := q.Get()
		if end {
			return
		}
		if ctx.Err() == nil && t.safely(ctx, key, look) {
			q.AddRateLimited(key)
		} else {
			q.Forget(key)
		}
		q.Done(key)
	}
}

// safely looks at one key.
func (t *term) safely(ctx context.Context, key types.NamespacedName, look func(context.Context, types.NamespacedName) bool) (again bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ended := t.recovered(func() { again = look(ctx, key) }, "namespace", key.Namespace, "name", key.Name)
	return again || !ended
}

// recovered does something and reports whether it came to its end. A panic costs
// it this turn, and not the replica, which answers reviews.
func (t *term) recovered(do func(), about ...any) (ended bool) {
	defer func() {
		if p := recover(); p != nil {
			t.Log.Error(fmt.Errorf("%v", p), "the safety net panicked", append(about, "stack", string(debug.Stack()))...)
		}
	}()
	do()
	return true
}
