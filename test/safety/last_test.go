package safety

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// block leaves every namespace enabled, with no room in its quota and one more
// pod that waits. The pod comes while the namespace is switched off: the webhook
// would refuse it.
func (w *world) block(ctx context.Context) error {
	for _, a := range w.actors {
		err := errors.Join(a.setQuota(ctx, *resource.NewQuantity(0, resource.DecimalSI)), a.label(ctx, "labels", "auto-create", `"off"`))
		if err != nil {
			return err
		}
		p := &pod{claims: []string{a.next("blocked")}}
		m := a.manifest(a.next("blocked"), p.claims)
		err = process.Poll(ctx, settled, nil, func() error {
			if err := a.submit(ctx, m.DeepCopy(), p); err != nil {
				return err
			}
			if p.from.IsZero() {
				return errors.New("it was refused")
			}
			return nil
		}, "creating a pod in a namespace that is switched off")
		if err != nil {
			return err
		}
		if err := a.label(ctx, "labels", "auto-create", `"enabled"`); err != nil {
			return err
		}
	}
	return nil
}

// lift takes away what is in the way of pods but faults of their own, and
// deletes some claims. Nobody tells the safety net of
// a quota: it has to try again by itself.
func (w *world) lift(ctx context.Context) error {
	for _, a := range w.actors {
		a.note(func(l *ledger) { l.strict[a.home] = false })
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: a.home, Name: "claims"}}
		if err := errors.Join(a.label(ctx, "annotations", "createIfNotExists", `null`), a.admin.Delete(ctx, quota)); err != nil {
			return err
		}
		for range 3 {
			if err := a.deleteClaim(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle returns once all is as it has to become, and how long that took.
func (w *world) settle(ctx context.Context, after string) (time.Duration, error) {
	begin := time.Now()
	err := process.Poll(ctx, settled, nil, func() error { return w.unsettled(ctx) }, "waiting until all is as it should be after "+after)
	return time.Since(begin).Round(100 * time.Millisecond), err
}
