package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

const (
	// recheckAfter is after how long a claim is looked at again that a pod refers to
	// which waits no longer, certainAfter one that is an orphan for certain.
	recheckAfter, certainAfter = time.Minute, 5 * time.Minute
	// foreignAtOnce bounds what is told of foreign claims in one round: a cluster may
	// have been restored.
	foreignAtOnce = 100
)

// patrol looks for what nobody reports. It is what is remembered from one round to
// the next.
type patrol struct {
	*term
	audited int // lists of pods and claims there had been at the last audit
	orphans map[types.NamespacedName]*orphan
	foreign map[types.NamespacedName]bool // those that were told
}

// orphan is a claim that may be one.
type orphan struct {
	since   time.Time // when it was first met, by a clock that nobody sets
	looked  time.Time // when the API server was last asked
	certain bool      // no pod refers to it, not even one that waits no longer
	told    bool
}

func newPatrol(t *term) *patrol {
	return &patrol{term: t, orphans: map[types.NamespacedName]*orphan{}, foreign: map[types.NamespacedName]bool{}}
}

// run makes a round every few seconds, until ctx ends.
func (p *patrol) run(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if p.Synced() {
			p.recovered(func() { p.round(ctx) })
		}
		select {
		case <-ctx.Done():
			p.Metrics.found(0, 0, 0)
			return
		case <-ticker.C:
		}
	}
}

func (p *patrol) round(ctx context.Context) {
	// After a gap in what was watched, as at the beginning, pods may have come that nobody saw.
	if lists := p.pods.Lists() + p.Ensurer.Claims.Lists(); lists != p.audited {
		if err := p.audit(ctx); err != nil {
			p.Log.Info("the claims that go with their sandbox could not be looked through", "reason", err.Error())
		} else {
			p.audited = lists
		}
	}
	p.resync()
	foreign := p.countForeign(ctx)
	candidates := p.candidates()
	for key := range p.orphans {
		if !candidates[key] {
			delete(p.orphans, key)
		}
	}
	for namespace, keys := range p.due(candidates) {
		if err := p.look(ctx, namespace, keys); err != nil {
			p.Log.Info("claims that may be orphans could not be settled", "namespace", namespace, "reason", err.Error())
		}
	}
	certain := 0
	for _, o := range p.orphans {
		if o.certain {
			certain++
		}
	}
	p.Metrics.found(certain, foreign, p.stories.failing())
}

// resync has the pods looked at that lack a claim and that nobody comes back to:
// of a claim that came and went while its watch was broken nothing is heard.
func (p *patrol) resync() {
	for pod := range p.pods.All() {
		if key := pod.Key(); p.podsDue.NumRequeues(key) == 0 && p.lacks(pod) {
			p.podsDue.Add(key)
		}
	}
}

// candidates are the claims that the caches take for orphans.
func (p *patrol) candidates() map[types.NamespacedName]bool {
	found := map[types.NamespacedName]bool{}
	for r := range p.Ensurer.Claims.All() {
		if key := r.Key(); r.Abandonable() && time.Since(r.Created()) > p.orphanAfter() && !p.pods.wanted(key) {
			found[key] = true
		}
	}
	return found
}

// due are the candidates that the API server is to be asked about, by namespace:
// those that are new, those that it was asked about a while ago, and those that
// are old enough to be deleted.
func (p *patrol) due(candidates map[types.NamespacedName]bool) map[string][]types.NamespacedName {
	due := map[string][]types.NamespacedName{}
	for key := range candidates {
		o := p.orphans[key]
		if o == nil {
			o = &orphan{since: time.Now()}
			p.orphans[key] = o
		}
		pause := min(recheckAfter, p.orphanAfter())
		if r := p.Ensurer.Claims.Get(key.Namespace, key.Name); o.certain && o.told && (r == nil || !p.removable(r.Created(), o)) {
			pause = certainAfter
		}
		if time.Since(o.looked) > pause {
			due[key.Namespace] = append(due[key.Namespace], key)
		}
	}
	return due
}

// removable reports whether an orphan is old enough to be deleted, where that is
// wanted: by the API server's clock and, since ours may be ahead of that, by how
// long it has been one before our eyes.
func (p *patrol) removable(created time.Time, o *orphan) bool {
	return p.DeleteOrphans && time.Since(created) > p.deleteAfter() && time.Since(o.since) >= min(p.orphanAfter(), p.deleteAfter()-p.orphanAfter())
}

// look asks the API server which of a namespace's candidates a pod refers to,
// whatever its phase. What is certain is told once, and deleted where it is time.
func (p *patrol) look(ctx context.Context, namespace string, keys []types.NamespacedName) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// The claims first: a pod that is created later finds its claim, or the lack of it.
	live := map[string]*corev1.PersistentVolumeClaim{}
	for _, key := range keys {
		p.orphans[key].looked = time.Now()
		pvc := &corev1.PersistentVolumeClaim{}
		switch err := p.Ensurer.Live.Get(ctx, key, pvc); {
		case client.IgnoreNotFound(err) != nil:
			return fmt.Errorf("reading PersistentVolumeClaim %s: %w", key, err)
		case err == nil && provision.Abandonable(pvc):
			live[key.Name] = pvc
		}
	}
	err := p.podsIn(ctx, namespace, func(pod *corev1.Pod) (enough bool) {
		for _, name := range provision.ClaimsOf(pod) {
			delete(live, name)
		}
		return len(live) == 0
	})
	if err != nil {
		return err
	}
	var failures []error
	for _, key := range keys {
		pvc, o := live[key.Name], p.orphans[key]
		o.certain = pvc != nil
		if !o.certain {
			continue
		}
		if !o.told {
			err := p.tellOrphan(ctx, pvc)
			o.told = err == nil
			failures = append(failures, err)
		}
		if p.removable(pvc.CreationTimestamp.Time, o) {
			failures = append(failures, p.remove(ctx, pvc))
		}
	}
	return errors.Join(failures...)
}

func (p *patrol) tellOrphan(ctx context.Context, pvc *corev1.PersistentVolumeClaim) error {
	next := "it is kept; delete it where nobody needs it"
	if p.DeleteOrphans {
		next = "it is deleted once it is " + p.deleteAfter().String() + " old"
	}
	err := p.post(ctx, aboutClaim(pvc), note{
		reason: reasonOrphaned,
		message: "the claim was created for Pod " + claim.Quote(pvc.Annotations[claim.KeyCreatedFor], 253) +
			", was never bound, and no pod refers to it: " + next,
	}, false)
	if err != nil {
		return fmt.Errorf("writing an Event about PersistentVolumeClaim %s/%s: %w", pvc.Namespace, pvc.Name, err)
	}
	return nil
}

// remove deletes an orphan, if it is still the very claim that was looked at. One
// that has changed is looked at again.
func (p *patrol) remove(ctx context.Context, pvc *corev1.PersistentVolumeClaim) error {
	key := client.ObjectKeyFromObject(pvc)
	err := p.Ensurer.Live.Delete(ctx, pvc, client.Preconditions{UID: &pvc.UID, ResourceVersion: &pvc.ResourceVersion})
	switch {
	case apierrors.IsNotFound(err), err == nil:
		delete(p.orphans, key)
	case apierrors.IsConflict(err):
		return nil
	default:
		return fmt.Errorf("deleting PersistentVolumeClaim %s: %w", key, err)
	}
	if err == nil {
		p.Metrics.deleted()
		p.Log.Info("deleted an orphaned claim", "namespace", pvc.Namespace, "claim", pvc.Name, "created", pvc.CreationTimestamp.UTC())
	}
	return nil
}

// countForeign is how many claims look like ours and are not. Each is told of once.
func (p *patrol) countForeign(ctx context.Context) (n int) {
	tell := foreignAtOnce
	for r := range p.Ensurer.Claims.All() {
		if !r.Foreign() {
			continue
		}
		n++
		if key := r.Key(); tell > 0 && !p.foreign[key] && p.tellForeign(ctx, key) {
			tell--
		}
	}
	for key := range p.foreign {
		if r := p.Ensurer.Claims.Get(key.Namespace, key.Name); r == nil || !r.Foreign() {
			delete(p.foreign, key)
		}
	}
	return n
}

// tellForeign tells of a foreign claim, and reports whether that took a call. In a
// namespace that is not switched on it is only counted: nobody asked us there.
func (p *patrol) tellForeign(ctx context.Context, key types.NamespacedName) (called bool) {
	if enabled, err := p.Ensurer.Enabled(ctx, key.Namespace); err != nil || !enabled {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pvc := &corev1.PersistentVolumeClaim{}
	err := p.Ensurer.Live.Get(ctx, key, pvc)
	if err == nil {
		err = p.post(ctx, aboutClaim(pvc), note{reason: reasonForeign, message: "the claim carries the labels of ensure-volumes, which did not create it: " +
			"it is a copy, or was restored; it is used like any other, and ensure-volumes never deletes it; with an owner of its own, Kubernetes does"}, false)
	}
	if client.IgnoreNotFound(err) != nil {
		p.Log.Info("a foreign claim could not be told of", "namespace", key.Namespace, "claim", key.Name, "reason", err.Error())
		return true
	}
	p.foreign[key] = true
	return true
}
