package safety

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// createOwner creates a sandbox, often under the name of one that was deleted.
func (a *actor) createOwner(ctx context.Context) error {
	if len(a.owners) >= 6 {
		return a.deleteOwner(ctx)
	}
	kind := pick(a, kinds)
	o := a.sandbox(kind, fmt.Sprintf("sandbox-%d", a.rng.IntN(sandboxes)))
	if a.chance(15) {
		f := pick(a, faults)
		o.SetAnnotations(map[string]string{domain + "/" + f.field: f.value, "example.com/because": f.because})
	}
	err := a.admin.Create(ctx, o)
	if err == nil {
		a.owners = append(a.owners, o)
	}
	return client.IgnoreAlreadyExists(err)
}

// deleteOwner deletes a sandbox. Its pods, and claims that were to go with it, follow.
func (a *actor) deleteOwner(ctx context.Context) error {
	if len(a.owners) == 0 {
		return nil
	}
	i := a.rng.IntN(len(a.owners))
	o := a.owners[i]
	a.owners = slices.Delete(a.owners, i, i+1)
	a.note(func(l *ledger) { l.owners[o.GetUID()] = true })
	policy := pick(a, []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground})
	uid := o.GetUID()
	return client.IgnoreNotFound(a.admin.Delete(ctx, o, client.PropagationPolicy(policy), client.Preconditions{UID: &uid}))
}

// createClaim creates a claim as people do, or as a backup restores one of ours.
func (a *actor) createClaim(ctx context.Context) error {
	namespace, standard := a.home, class
	if a.chance(30) {
		namespace = a.never
	}
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pick(a, []string{a.claim(), a.ownClaim()})},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &standard, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	if a.chance(50) {
		c.Labels = map[string]string{"app.kubernetes.io/managed-by": "ensure-volumes"}
		c.Annotations = map[string]string{
			domain + "/created":     time.Now().Add(-time.Hour).UTC().Format(time.RFC3339),
			domain + "/created-for": "somebody",
		}
		if len(a.owners) > 0 {
			o := pick(a, a.owners)
			c.Annotations[domain+"/delete-with-owner"] = "true"
			c.Annotations[domain+"/owner"] = o.GetKind() + "." + o.GroupVersionKind().Group + "/" + o.GetName() + "/" + string(o.GetUID())
		}
	}
	err := a.admin.Create(ctx, c)
	if err == nil {
		a.note(func(l *ledger) { l.byHand[c.UID] = name{Namespace: c.Namespace, Name: c.Name} })
	}
	if apierrors.IsForbidden(err) { // over quota
		return nil
	}
	return client.IgnoreAlreadyExists(err)
}

// deleteClaim deletes a claim, whoever created it and whatever uses it.
func (a *actor) deleteClaim(ctx context.Context) error {
	var list corev1.PersistentVolumeClaimList
	if err := a.admin.List(ctx, &list, client.InNamespace(a.home)); err != nil || len(list.Items) == 0 {
		return err
	}
	c := &list.Items[a.rng.IntN(len(list.Items))]
	a.note(func(l *ledger) { l.deleted[c.UID] = true })
	return client.IgnoreNotFound(a.admin.Delete(ctx, c, client.Preconditions{UID: &c.UID}))
}

func (a *actor) label(ctx context.Context, kind, key string, value string) error {
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{%q:{%q:%s}}}`, kind, domain+"/"+key, value))
	return a.admin.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.home}}, patch)
}

// switchNamespace switches the namespace off, or on again.
func (a *actor) switchNamespace(ctx context.Context) error {
	value := pick(a, []string{`"enabled"`, `"enabled"`, `"enabled"`, `"off"`, `null`})
	a.off = value != `"enabled"`
	return a.label(ctx, "labels", "auto-create", value)
}

// strictNamespace has the namespace's own default create nothing, or everything again.
func (a *actor) strictNamespace(ctx context.Context) error {
	value := pick(a, []string{`"false"`, `null`, `null`})
	a.note(func(l *ledger) { l.strict[a.home] = value != `null` })
	return a.label(ctx, "annotations", "createIfNotExists", value)
}

// changeQuota raises, lowers or lifts the namespace's quota of claims.
func (a *actor) changeQuota(ctx context.Context) error {
	if a.chance(30) {
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: a.home, Name: "claims"}}
		return client.IgnoreNotFound(a.admin.Delete(ctx, quota))
	}
	return a.setQuota(ctx, *resource.NewQuantity(int64(8+a.rng.IntN(40)), resource.DecimalSI))
}

func (a *actor) setQuota(ctx context.Context, claims resource.Quantity) error {
	q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: a.home, Name: "claims"}}
	q.Spec.Hard = corev1.ResourceList{corev1.ResourcePersistentVolumeClaims: claims}
	err := a.admin.Create(ctx, q.DeepCopy())
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"hard":{"persistentvolumeclaims":%q}}}`, claims.String()))
	return a.admin.Patch(ctx, q, patch)
}
