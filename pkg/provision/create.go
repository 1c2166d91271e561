package provision

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
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
		found    *Record // somebody was faster: the claim is judged like one that was there
		warnings []string
		err      error
	}
	outcomes := make([]outcome, len(t.wants))
	t.each(func(i int) {
		if t.records[i] != nil {
			return
		}
		o := &outcomes[i]
		pvc, kept := t.build(t.wants[i])
		r, err := t.createOne(ctx, pvc)
		switch {
		case err != nil:
			o.err = err
		case r != nil:
			o.found = r
			if d := r.refuse(t.podOwner()); d != nil {
				o.err = d
			}
		default:
			o.created = true
			o.warnings = []string{t.waits[i], kept, t.checkClock(pvc)}
		}
	})
	errs := make([]error, len(outcomes))
	for i, o := range outcomes {
		errs[i] = o.err
		if o.found != nil {
			t.drifts(o.found, t.wants[i])
		}
		t.warnings = append(t.warnings, slices.DeleteFunc(o.warnings, func(w string) bool { return w == "" })...)
		if o.created {
			t.created = append(t.created, t.wants[i].Name)
		}
	}
	err := t.worst(errs)
	if err != nil && !t.req.DryRun {
		for _, name := range t.created {
			t.warnings = append(t.warnings, claim.Warning("claim ", name, " was created all the same and is kept"))
		}
	}
	return err
}

// checkClock warns where a claim was just created for one sandbox alone and does
// not look so, because our clock and the API server's are too far apart: others
// would be let in, and lose their data with its owner.
func (t *task) checkClock(pvc *corev1.PersistentVolumeClaim) string {
	if len(pvc.OwnerReferences) == 0 || originOf(pvc) == ours {
		return ""
	}
	t.Log.Error(nil, "the clocks of the webhook and the API server are more than a minute apart: claims that go with their sandbox are not protected from other sandboxes",
		"namespace", pvc.Namespace, "claim", pvc.Name, "recorded", pvc.Annotations[claim.KeyCreated], "created", pvc.CreationTimestamp.UTC())
	return claim.Warning("claim ", pvc.Name, " is not protected from other sandboxes: the operator's clocks differ")
}

// createOne creates a claim, which pvc then is as it was stored, and interprets
// the answer. It returns the record of the claim where that was there already,
// also after a refusal: those come before the API server looks for the name.
func (t *task) createOne(ctx context.Context, pvc *corev1.PersistentVolumeClaim) (*Record, error) {
	options := []client.CreateOption{client.FieldOwner(fieldManager)}
	if t.req.DryRun {
		options = append(options, client.DryRunAll)
	}
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		created := pvc.DeepCopy() // the client writes into it, also where it fails
		err := t.Live.Create(ctx, created, options...)
		if err == nil {
			*pvc = *created
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
		if t.req.Waiting { // and comes back by itself; others wait for their turn
			return nil, &Retryable{fmt.Errorf("creating %s: %w", c.object, err)}
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
				claim.KeyCreated:    time.Now().UTC().Format(time.RFC3339),
				claim.KeyCreatedFor: t.req.PodName,
			},
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: w.Storage.Value},
			},
		},
	}
	if t.req.User != "" {
		pvc.Annotations[claim.KeyRequestedBy] = t.req.User
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
		return pvc, claim.Warning("claim ", w.Name, " is kept despite deleteOnSandboxTermination: "+reason)
	}
	pvc.OwnerReferences = []metav1.OwnerReference{*ref}
	pvc.Annotations[claim.KeyDeleteWithOwner] = "true"
	pvc.Annotations[claim.KeyOwner] = formatOwner(ref)
	return pvc, ""
}
