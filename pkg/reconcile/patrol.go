package reconcile

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// recheckAfter is after how long a claim is looked at again that a pod refers to
// which waits no longer.
const recheckAfter = time.Minute

// patrol looks for what nobody reports, every few seconds, until ctx ends.
func (t *term) patrol(ctx context.Context) {
	p := &patrol{term: t, orphans: map[types.NamespacedName]*orphan{}, foreign: map[types.NamespacedName]bool{}}
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if t.Synced() {
			p.round(ctx)
		}
		select {
		case <-ctx.Done():
			t.Metrics.found(0, 0, 0)
			return
		case <-ticker.C:
		}
	}
}

// patrol is what is remembered from one round to the next.
type patrol struct {
	*term
	audited int // lists of pods and claims there had been at the last audit
	orphans map[types.NamespacedName]*orphan
	foreign map[types.NamespacedName]bool // those that were told
}

// orphan is a claim that may be one.
type orphan struct {
	certain bool      // no pod refers to it, not even one that waits no longer
	looked  time.Time // when the API server was last asked
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
	foreign := 0
	candidates := map[types.NamespacedName]bool{}
	for r := range p.Ensurer.Claims.All() {
		switch key := r.Key(); {
		case r.Foreign():
			foreign++
			p.tellForeign(ctx, key)
		case r.Abandonable() && time.Since(r.Created()) > p.orphanAfter() && !p.pods.wanted(key):
			candidates[key] = true
		}
	}
	for key := range p.orphans {
		if !candidates[key] {
			delete(p.orphans, key)
		}
	}
	for key := range p.foreign {
		if r := p.Ensurer.Claims.Get(key.Namespace, key.Name); r == nil || !r.Foreign() {
			delete(p.foreign, key)
		}
	}
	for namespace, keys := range p.due(candidates) {
		if err := p.look(ctx, namespace, keys); err != nil {
			p.Log.Info("claims that may be orphans could not be looked at", "namespace", namespace, "reason", err.Error())
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

// due are the candidates that the API server is to be asked about, by namespace:
// those that are new, those that a pod referred to a while ago, and those that are
// old enough to be deleted.
func (p *patrol) due(candidates map[types.NamespacedName]bool) map[string][]types.NamespacedName {
	due := map[string][]types.NamespacedName{}
	for key := range candidates {
		o := p.orphans[key]
		if o == nil {
			o = &orphan{}
			p.orphans[key] = o
		}
		r := p.Ensurer.Claims.Get(key.Namespace, key.Name)
		old := p.DeleteOrphans && r != nil && time.Since(r.Created()) > p.deleteAfter()
		if time.Since(o.looked) > recheckAfter && (!o.certain || old) {
			due[key.Namespace] = append(due[key.Namespace], key)
		}
	}
	return due
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
			return err
		case err == nil && provision.Abandonable(pvc):
			live[key.Name] = pvc
		}
	}
	err := p.podsIn(ctx, namespace, func(pod *corev1.Pod) (enough bool) {
		for _, v := range pod.Spec.Volumes {
			if c := v.PersistentVolumeClaim; c != nil {
				delete(live, c.ClaimName)
			}
		}
		return len(live) == 0
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		pvc, o := live[key.Name], p.orphans[key]
		if pvc == nil {
			o.certain = false
			continue
		}
		if !o.certain {
			if err := p.tellOrphan(ctx, pvc); err != nil {
				return err
			}
			o.certain = true
		}
		if p.DeleteOrphans && time.Since(pvc.CreationTimestamp.Time) > p.deleteAfter() {
			if err := p.remove(ctx, pvc); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *patrol) tellOrphan(ctx context.Context, pvc *corev1.PersistentVolumeClaim) error {
	next := "it is kept; delete it where nobody needs it"
	if p.DeleteOrphans {
		next = "it is deleted once it is " + p.deleteAfter().String() + " old"
	}
	return p.post(ctx, aboutClaim(pvc), note{
		reason: reasonOrphaned,
		message: "the claim was created for Pod " + claim.Quote(pvc.Annotations[claim.KeyCreatedFor], 253) +
			", was never bound, and no pod refers to it: " + next,
	}, 1)
}

// remove deletes an orphan, if it is still the very claim that was looked at. One
// that has changed is looked at again.
func (p *patrol) remove(ctx context.Context, pvc *corev1.PersistentVolumeClaim) error {
	err := p.Ensurer.Live.Delete(ctx, pvc, client.Preconditions{UID: &pvc.UID, ResourceVersion: &pvc.ResourceVersion})
	if err == nil {
		p.Metrics.deleted()
		p.Log.Info("deleted an orphaned claim", "namespace", pvc.Namespace, "claim", pvc.Name, "created", pvc.CreationTimestamp.UTC())
	}
	if apierrors.IsConflict(err) {
		return nil
	}
	return client.IgnoreNotFound(err)
}

// tellForeign tells once of a claim that looks like ours and is not. In a
// namespace that is not switched on it is only counted: nobody asked us there.
func (p *patrol) tellForeign(ctx context.Context, key types.NamespacedName) {
	if p.foreign[key] {
		return
	}
	if enabled, err := p.Ensurer.Enabled(ctx, key.Namespace); err != nil || !enabled {
		return
	}
	pvc := &corev1.PersistentVolumeClaim{}
	err := p.Ensurer.Live.Get(ctx, key, pvc)
	if err == nil {
		err = p.post(ctx, aboutClaim(pvc), note{reason: reasonForeign, message: "the claim carries the labels of ensure-volumes, which did not create it: " +
			"it is a copy, or was restored; it is used like any other and never deleted with a sandbox"}, 1)
	}
	if client.IgnoreNotFound(err) != nil {
		p.Log.Info("a foreign claim could not be told of", "namespace", key.Namespace, "claim", key.Name, "reason", err.Error())
		return
	}
	p.foreign[key] = true
}
