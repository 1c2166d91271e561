package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// suspect has the claims looked at that the pod uses although they belong to
// another sandbox alone, and reports whether there are any. What is being deleted
// already is beyond help.
func (t *term) suspect(pod *waiting) (any bool) {
	for _, use := range pod.Claims {
		r := t.Ensurer.Claims.Get(pod.Namespace, use.Name)
		if r == nil || r.Terminating() || !shared(r.ExclusiveOwner(), pod.controller()) {
			continue
		}
		t.claimsDue.Add(r.Key())
		any = true
	}
	return any
}

// shared reports whether a claim of that owner, "" where it is nobody's alone, has
// a second user in a pod of that controller.
func shared(owner, controller types.UID) bool { return owner != "" && owner != controller }

// guard looks live at one claim that belongs to a sandbox alone and seems to have
// a second user. Where it has, our ownerReference is dropped: it is not deleted
// with its owner any more. It applies in every namespace, also one that was
// switched off meanwhile: what would delete the second user's data is ours.
func (t *term) guard(ctx context.Context, key types.NamespacedName) (again bool) {
	err := t.share(ctx, key)
	if err != nil {
		t.Log.Error(err, "a claim that has a second user still goes with its owner", "namespace", key.Namespace, "claim", key.Name)
	}
	return err != nil
}

func (t *term) share(ctx context.Context, key types.NamespacedName) error {
	pvc := &corev1.PersistentVolumeClaim{}
	if err := t.Ensurer.Live.Get(ctx, key, pvc); err != nil {
		return client.IgnoreNotFound(err)
	}
	owner, uid := provision.ExclusiveOwner(pvc)
	if uid == "" || pvc.DeletionTimestamp != nil {
		return nil
	}
	var second *corev1.Pod
	err := t.podsIn(ctx, key.Namespace, func(pod *corev1.Pod) (enough bool) {
		if refers(pod, key.Name) && shared(uid, controllerOf(pod)) {
			second = pod
		}
		return second != nil
	})
	if err != nil || second == nil {
		return err
	}
	patch, err := release(pvc, uid)
	if err != nil {
		return err
	}
	err = t.Ensurer.Live.Patch(ctx, pvc, client.RawPatch(types.JSONPatchType, patch))
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("dropping the ownerReference of PersistentVolumeClaim %s: %w", key, err)
	}
	t.Metrics.shared()
	message := "Pod " + second.Name + " uses the claim, which belonged to " + claim.Printable(owner, 320) + " (uid " + claim.Printable(string(uid), 64) +
		") alone: it is kept when that is deleted; delete it where nobody needs it any more"
	t.Log.Info("kept a claim for its second user", "namespace", key.Namespace, "claim", key.Name, "pod", second.Name, "owner", owner)
	return t.post(ctx, aboutClaim(pvc), note{reason: reasonShared, message: message}, 1)
}

// release is the patch that drops our ownerReference, and nothing else, of exactly
// this version of the claim.
func release(pvc *corev1.PersistentVolumeClaim, owner types.UID) ([]byte, error) {
	kept := []metav1.OwnerReference{}
	for _, ref := range pvc.OwnerReferences {
		if ref.UID != owner {
			kept = append(kept, ref)
		}
	}
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	return json.Marshal([]operation{
		{"test", "/metadata/uid", pvc.UID},
		{"test", "/metadata/resourceVersion", pvc.ResourceVersion},
		{"replace", "/metadata/ownerReferences", kept},
		{"replace", "/metadata/annotations/" + strings.ReplaceAll(claim.KeyDeleteWithOwner, "/", "~1"), "false"},
	})
}

// audit finds the claims that have a second user whom nobody has seen waiting: the
// pod came and ran while nobody was watching.
func (t *term) audit(ctx context.Context) error {
	owned := map[string]map[string]types.UID{} // by namespace and claim
	for r := range t.Ensurer.Claims.All() {
		uid, key := r.ExclusiveOwner(), r.Key()
		if uid == "" || r.Terminating() {
			continue
		}
		if owned[key.Namespace] == nil {
			owned[key.Namespace] = map[string]types.UID{}
		}
		owned[key.Namespace][key.Name] = uid
	}
	for namespace, claims := range owned {
		err := t.podsIn(ctx, namespace, func(pod *corev1.Pod) (enough bool) {
			for _, v := range pod.Spec.Volumes {
				if c := v.PersistentVolumeClaim; c != nil && shared(claims[c.ClaimName], controllerOf(pod)) {
					t.claimsDue.Add(types.NamespacedName{Namespace: namespace, Name: c.ClaimName})
				}
			}
			return false
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// page is how many pods are read at a time.
const page = 500

// podsIn reads the pods of a namespace, whatever their phase, until see has seen enough.
func (t *term) podsIn(ctx context.Context, namespace string, see func(*corev1.Pod) (enough bool)) error {
	list := &corev1.PodList{}
	for {
		if err := t.Ensurer.Live.List(ctx, list, client.InNamespace(namespace), client.Limit(page), client.Continue(list.Continue)); err != nil {
			return fmt.Errorf("listing the pods of namespace %s: %w", namespace, err)
		}
		for i := range list.Items {
			if see(&list.Items[i]) {
				return nil
			}
		}
		if list.Continue == "" {
			return nil
		}
	}
}

func refers(pod *corev1.Pod, claim string) bool {
	for _, v := range pod.Spec.Volumes {
		if c := v.PersistentVolumeClaim; c != nil && c.ClaimName == claim {
			return true
		}
	}
	return false
}

func controllerOf(pod *corev1.Pod) types.UID {
	if ref := provision.Controller(pod.OwnerReferences); ref != nil {
		return ref.UID
	}
	return ""
}

func aboutClaim(pvc *corev1.PersistentVolumeClaim) corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: pvc.Namespace, Name: pvc.Name, UID: pvc.UID, ResourceVersion: pvc.ResourceVersion,
	}
}
