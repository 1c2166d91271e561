package provision

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// fieldManager names us in managedFields.
const fieldManager = "ensure-volumes"

// Between two attempts that a quota's own conflict made necessary.
const (
	firstPause = 10 * time.Millisecond
	maxPause   = 250 * time.Millisecond
)

// create creates every missing claim, all at once.
func (t *task) create(ctx context.Context) error {
	type outcome struct {
		created  bool
		warnings []string
		err      error
	}
	outcomes := make([]outcome, len(t.wants))
	var wg sync.WaitGroup
	for i, w := range t.wants {
		if t.records[i] != nil {
			continue
		}
		pvc, warning := t.build(w)
		if warning != "" {
			outcomes[i].warnings = []string{warning}
		}
		wg.Go(func() {
			r, err := t.createOne(ctx, pvc)
			outcomes[i].created, outcomes[i].err = r == nil && err == nil, err
			if r == nil {
				return
			}
			// Somebody was faster: the claim is judged like one that was there.
			outcomes[i].warnings = r.drift(w)
			if d := r.refuse(t.podOwner()); d != nil {
				outcomes[i].err = d
			}
		})
	}
	wg.Wait()
	errs := make([]error, len(outcomes))
	for i, o := range outcomes {
		errs[i] = o.err
		t.warnings = append(t.warnings, o.warnings...)
		if o.created {
			t.created = append(t.created, t.wants[i].Name)
		}
	}
	err := worst(errs)
	if err != nil {
		for _, name := range t.created {
			t.warnings = append(t.warnings, "claim "+claim.Quote(name, nameInWarning)+" was created all the same and is kept")
		}
	}
	return err
}

// createOne creates a claim and interprets the answer. It returns the record of
// the claim where that was there already, after any refusal: those come before
// the API server looks whether the name exists.
func (t *task) createOne(ctx context.Context, pvc *corev1.PersistentVolumeClaim) (*Record, error) {
	options := []client.CreateOption{client.FieldOwner(fieldManager)}
	if t.req.DryRun {
		options = append(options, client.DryRunAll)
	}
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		err := t.Live.Create(ctx, pvc.DeepCopy(), options...)
		if err == nil {
			return nil, nil
		}
		c := call{
			verb: "create", resource: "persistentvolumeclaims",
			object: "PersistentVolumeClaim " + pvc.Namespace + "/" + pvc.Name,
		}
		if passing(err) {
			return nil, t.refusal(ctx, err, c)
		}
		if r, gerr := t.get(ctx, pvc.Name); r != nil || gerr != nil {
			return r, gerr
		}
		// Not there: deleted since (AlreadyExists), a quota in conflict with
		// itself, or a refusal that stands.
		if !apierrors.IsAlreadyExists(err) && !quotaConflict(err) {
			return nil, t.refusal(ctx, err, c)
		}
		select {
		case <-ctx.Done():
			return nil, &Retryable{fmt.Errorf("creating %s: %w", c.object, err)}
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

// build is the claim as it will be created, and a warning where it is kept
// although the hints ask that it goes with its sandbox.
func (t *task) build(w claim.Want) (pvc *corev1.PersistentVolumeClaim, warning string) {
	pvc = &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: t.req.Namespace,
			Name:      w.Name,
			Labels:    map[string]string{labelManagedBy: managedBy},
			Annotations: map[string]string{
				claim.KeyCreated:     time.Now().UTC().Format(time.RFC3339),
				claim.KeyCreatedFor:  t.req.PodName,
				claim.KeyRequestedBy: t.req.User,
			},
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: w.Storage.Value},
			},
		},
	}
	for _, m := range w.AccessModes.Value.Names() {
		pvc.Spec.AccessModes = append(pvc.Spec.AccessModes, corev1.PersistentVolumeAccessMode(m))
	}
	if w.StorageClass.Hinted() {
		pvc.Spec.StorageClassName = &w.StorageClass.Value
	}
	if id := t.req.Labels[labelSandboxID]; id != "" && len(validation.IsValidLabelValue(id)) == 0 {
		pvc.Labels[labelSandboxID] = id
	}
	if !w.DeleteOnSandboxTermination.Value {
		return pvc, ""
	}
	ref, reason := t.claimOwner()
	if ref == nil {
		return pvc, "claim " + claim.Quote(w.Name, 30) + " is kept despite deleteOnSandboxTermination: " + reason
	}
	pvc.OwnerReferences = []metav1.OwnerReference{*ref}
	pvc.Annotations[claim.KeyDeleteWithOwner] = "true"
	pvc.Annotations[claim.KeyOwner] = formatOwner(ref)
	return pvc, ""
}
