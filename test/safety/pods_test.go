package safety

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// faults are hints that refuse a missing claim, with words of the denial.
var faults = []struct{ field, value, because string }{
	{"storage", "10 GB", `invalid quantity "10 GB"`},
	{"storageClass", "none-such", `"none-such"`},
	{"createIfNotExists", "false", "createIfNotExists is false"},
	{"strorage", "1Gi", "strorage"},
}

// submit asks for a pod and writes down what came of it.
func (a *actor) submit(ctx context.Context, m *corev1.Pod, p *pod) error {
	p.name = name{Namespace: m.Namespace, Name: m.Name}
	a.note(func(l *ledger) { l.pods[p.name] = p })
	ctx, cancel := context.WithTimeout(ctx, answers)
	defer cancel()
	err := a.admin.Create(ctx, m)
	if err == nil {
		a.note(func(*ledger) { p.from = time.Now() })
	}
	if err == nil || isTimeout(err) {
		a.pods = append(a.pods, p)
	}
	return answered(err)
}

// createPod creates a pod with one to three claims: of its own, shared, of a
// sandbox, or another sandbox's.
func (a *actor) createPod(ctx context.Context) error {
	if len(a.pods) >= 25 {
		return a.deletePod(ctx)
	}
	p := &pod{}
	var hints []string
	for range 1 + a.rng.IntN(2) {
		p.claims = append(p.claims, a.claim())
	}
	if a.chance(20) {
		p.claims = append(p.claims, a.next("single"))
	}
	if a.chance(10) || a.off && a.chance(50) { // more where nobody refuses
		p.claims = append(p.claims, a.ownClaim())
	}
	if a.chance(30) {
		hints = append(hints, "storage", pick(a, []string{"1Gi", "2Gi", "5Gi"}))
	}
	if a.chance(8) {
		f := pick(a, faults)
		hints = append(hints, f.field, f.value)
		p.because = append(p.because, f.because)
	}
	namespace := a.home
	if a.chance(8) {
		namespace = a.never
	}
	m := a.manifest(a.next("pod"), nil, hints...)
	if len(a.owners) > 0 && namespace == a.home && a.chance(60) {
		o := pick(a, a.owners)
		m.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(o, o.GroupVersionKind())}
		p.owner = o.GetUID()
		if reason := o.GetAnnotations()["example.com/because"]; reason != "" {
			p.because = append(p.because, reason)
		}
		if a.chance(90) {
			own := "own-" + o.GetName()
			p.claims = append(p.claims, own)
			m.Annotations[own+"."+domain+"/deleteOnSandboxTermination"] = "true"
			a.note(func(l *ledger) { l.asked[wish{name{Namespace: a.home, Name: own}, p.owner}] = true })
		}
		if a.chance(10) { // as if it came too late
			m.OwnerReferences[0].UID = "0a000000-0000-4000-8000-00000000000a"
			p.owner = m.OwnerReferences[0].UID
		}
	}
	slices.Sort(p.claims)
	p.claims = slices.Compact(p.claims)
	m.Namespace, m.Spec.Volumes = namespace, a.manifest("", p.claims).Spec.Volumes
	return a.submit(ctx, m, p)
}

// bringSecond creates a pod that uses a claim which goes with somebody's sandbox.
// It is refused unless the webhook is down or the namespace is switched off,
// which it sometimes is for this.
func (a *actor) bringSecond(ctx context.Context) error {
	var list corev1.PersistentVolumeClaimList
	if err := a.admin.List(ctx, &list, client.InNamespace(a.home)); err != nil {
		return err
	}
	i := slices.IndexFunc(list.Items, func(c corev1.PersistentVolumeClaim) bool {
		return len(c.OwnerReferences) > 0 && c.DeletionTimestamp == nil
	})
	if i < 0 {
		return nil
	}
	p := &pod{claims: []string{list.Items[i].Name}}
	m := a.manifest(a.next("second"), p.claims)
	if a.off || a.chance(50) {
		return a.submit(ctx, m, p)
	}
	if err := a.label(ctx, "labels", "auto-create", `"off"`); err != nil {
		return err
	}
	return errors.Join(a.submit(ctx, m, p), a.label(ctx, "labels", "auto-create", `"enabled"`))
}

// rejectPod has a pod admitted by the webhook and refused after it: its claim is an orphan.
func (a *actor) rejectPod(ctx context.Context) error {
	m := a.manifest(a.next("rejected"), []string{a.next("orphan")})
	if len(a.pods) > 0 && a.chance(50) {
		m.Name = pick(a, a.pods).Name // taken
	}
	m.Spec.Containers[0].Image = "" // or else refused for this
	ctx, cancel := context.WithTimeout(ctx, answers)
	defer cancel()
	err := a.admin.Create(ctx, m)
	if err == nil {
		return errors.New("a pod without an image was admitted")
	}
	return answered(err)
}

// dryPod must leave nothing behind.
func (a *actor) dryPod(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answers)
	defer cancel()
	return answered(a.admin.Create(ctx, a.manifest(a.next("dry"), []string{a.next("dry")}), client.DryRunAll))
}

// deletePod deletes one, whatever it does.
func (a *actor) deletePod(ctx context.Context) error {
	if len(a.pods) == 0 {
		return nil
	}
	i := a.rng.IntN(len(a.pods))
	p := a.pods[i]
	a.pods = slices.Delete(a.pods, i, i+1)
	return client.IgnoreNotFound(a.admin.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}}))
}

// advancePod does what comes next for a pod that waits: volumes for its claims,
// and once these are bound a node, where it runs.
func (a *actor) advancePod(ctx context.Context) error {
	if len(a.pods) == 0 {
		return nil
	}
	i := a.rng.IntN(len(a.pods))
	p, live := a.pods[i], &corev1.Pod{}
	err := a.admin.Get(ctx, p.name, live)
	if apierrors.IsNotFound(err) { // its owner went, or it never came
		a.pods = slices.Delete(a.pods, i, i+1)
		return nil
	}
	if err != nil || live.Spec.NodeName != "" || live.DeletionTimestamp != nil {
		return err
	}
	ready := true
	for _, c := range p.claims {
		pvc := &corev1.PersistentVolumeClaim{}
		if err := a.admin.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: c}, pvc); err != nil {
			return client.IgnoreNotFound(err)
		}
		if pvc.DeletionTimestamp != nil {
			return nil
		}
		if pvc.Status.Phase != corev1.ClaimBound {
			ready = false
			if err := a.admin.Create(ctx, a.volume(pvc)); client.IgnoreAlreadyExists(err) != nil {
				return err
			}
		}
	}
	if !ready {
		return nil
	}
	target := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: p.Name, UID: live.UID}, Target: corev1.ObjectReference{Kind: "Node", Name: node}}
	switch err := a.clients.CoreV1().Pods(p.Namespace).Bind(ctx, target, metav1.CreateOptions{}); {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // it went meanwhile
		return nil
	case err != nil:
		return err
	}
	status := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"phase":"Running"}}`))
	return client.IgnoreNotFound(a.admin.Status().Patch(ctx, live, status))
}

// volume is one for that claim alone.
func (a *actor) volume(pvc *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "for-" + string(pvc.UID)},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("100Gi")},
			AccessModes: pvc.Spec.AccessModes,
			ClaimRef:    &corev1.ObjectReference{Namespace: pvc.Namespace, Name: pvc.Name, UID: pvc.UID},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				CSI: &corev1.CSIPersistentVolumeSource{Driver: "example.com", VolumeHandle: string(pvc.UID)},
			},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
		},
	}
	if pvc.Spec.StorageClassName != nil {
		v.Spec.StorageClassName = *pvc.Spec.StorageClassName
	}
	return v
}
