package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// suspicions are the claims that belong to one sandbox alone and seem to have a
// second user, with the pods that seem to be it. The zero value is empty. It may
// be used by several goroutines at once.
type suspicions struct {
	mu     sync.Mutex
	claims map[types.NamespacedName]*suspicion
}

type suspicion struct {
	pods   map[string]bool
	untold *note // of a claim that is kept by now
}

// add notes a pod.
func (s *suspicions) add(claim types.NamespacedName, pod string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims == nil {
		s.claims = map[types.NamespacedName]*suspicion{}
	}
	if s.claims[claim] == nil {
		s.claims[claim] = &suspicion{pods: map[string]bool{}}
	}
	s.claims[claim].pods[pod] = true
}

// of are the pods noted for a claim, in order, and what is still to be told of it.
func (s *suspicions) of(claim types.NamespacedName) (pods []string, untold *note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.claims[claim]; c != nil {
		return slices.Sorted(maps.Keys(c.pods)), c.untold
	}
	return nil, nil
}

// clear forgets pods that are no second user.
func (s *suspicions) clear(claim types.NamespacedName, pods ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.claims[claim]
	if c == nil {
		return
	}
	for _, pod := range pods {
		delete(c.pods, pod)
	}
	if len(c.pods) == 0 && c.untold == nil {
		delete(s.claims, claim)
	}
}

// tell has a note told, nil when it is.
func (s *suspicions) tell(claim types.NamespacedName, n *note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.claims[claim]; c != nil {
		c.untold = n
	}
}

// suspect has the claims looked at that the pod uses although they belong to
// another sandbox alone, and reports whether there are any. What is being deleted
// already is beyond help.
func (t *term) suspect(pod *waiting) (any bool) {
	for _, use := range pod.Claims {
		r := t.Ensurer.Claims.Get(pod.Namespace, use.Name)
		if r == nil || r.Terminating() || !exclusive(r.ExclusiveOwner(), pod.controller()) {
			continue
		}
		t.suspicions.add(r.Key(), pod.PodName)
		t.claimsDue.Add(r.Key())
		any = true
	}
	return any
}

// exclusive reports whether a claim of that owner, "" where it is nobody's alone,
// is not for a pod of that controller.
func exclusive(owner, controller types.UID) bool { return owner != "" && owner != controller }

// guard looks live at one claim that belongs to a sandbox alone and seems to have
// a second user. Where it has, our ownerReference is dropped: it is not deleted
// with its owner any more. It applies in every namespace, also one that was
// switched off meanwhile: what would delete the second user's data is ours.
func (t *term) guard(ctx context.Context, key types.NamespacedName) (again bool) {
	again, err := t.keep(ctx, key)
	if err != nil {
		t.Log.Error(err, "a claim of one sandbox alone that has a second user is not settled", "namespace", key.Namespace, "claim", key.Name)
	}
	return again || err != nil
}

func (t *term) keep(ctx context.Context, key types.NamespacedName) (again bool, err error) {
	pvc := &corev1.PersistentVolumeClaim{}
	if err := t.Ensurer.Live.Get(ctx, key, pvc); err != nil {
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return false, err
	}
	pods, untold := t.suspicions.of(key)
	if untold != nil && untold.of == pvc.UID {
		return false, t.tellShared(ctx, pvc, untold)
	}
	if untold != nil { // of a claim that is no more
		t.suspicions.tell(key, nil)
		t.suspicions.clear(key)
	}
	owner, uid := provision.ExclusiveOwner(pvc)
	if uid == "" || pvc.DeletionTimestamp != nil {
		t.suspicions.clear(key, pods...)
		return false, nil
	}
	second, again, err := t.secondUser(ctx, pvc, uid, pods)
	if second == "" || err != nil {
		return again, err
	}
	patch, err := release(pvc, uid)
	if err != nil {
		return false, err
	}
	if err := t.Ensurer.Live.Patch(ctx, pvc, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		return false, fmt.Errorf("dropping the ownerReference of PersistentVolumeClaim %s: %w", key, err)
	}
	t.Metrics.shared()
	t.Log.Info("kept a claim for its second user", "namespace", key.Namespace, "claim", key.Name, "pod", second, "owner", owner)
	n := &note{of: pvc.UID, reason: reasonShared, message: "Pod " + second + " uses the claim, which belonged to " + claim.Printable(owner, 320) +
		" (uid " + claim.Printable(string(uid), 64) + ") alone: it is kept when that is deleted; delete it where nobody needs it any more"}
	t.suspicions.tell(key, n)
	return false, t.tellShared(ctx, pvc, n)
}

func (t *term) tellShared(ctx context.Context, pvc *corev1.PersistentVolumeClaim, n *note) error {
	if err := t.post(ctx, aboutClaim(pvc), *n, false); err != nil {
		return fmt.Errorf("the claim is kept; writing an Event about it: %w", err)
	}
	key := client.ObjectKeyFromObject(pvc)
	pods, _ := t.suspicions.of(key)
	t.suspicions.tell(key, nil)
	t.suspicions.clear(key, pods...)
	return nil
}

// secondUser is the first of the pods that uses the claim and is not its owner's.
// A pod of an owner that was made anew under its name, and that has no node yet,
// has not touched the data: where the claim is about to go with the owner before,
// it must not get it, so again is true until one or the other has happened.
func (t *term) secondUser(ctx context.Context, pvc *corev1.PersistentVolumeClaim, owner types.UID, pods []string) (second string, again bool, err error) {
	for _, name := range pods {
		pod := &corev1.Pod{}
		err := t.Ensurer.Live.Get(ctx, client.ObjectKey{Namespace: pvc.Namespace, Name: name}, pod)
		if client.IgnoreNotFound(err) != nil {
			return "", false, errors.Join(fmt.Errorf("reading Pod %s/%s: %w", pvc.Namespace, name, err))
		}
		switch ref := provision.Controller(pod.OwnerReferences); {
		case err != nil, !slices.Contains(provision.ClaimsOf(pod), pvc.Name), ref != nil && ref.UID == owner,
			pod.DeletionTimestamp != nil && pod.Spec.NodeName == "": // which never had it
			t.suspicions.clear(client.ObjectKeyFromObject(pvc), name)
		case ref != nil && pod.Spec.NodeName == "" && remade(pvc, owner, ref):
			again = true
		default:
			return name, false, nil
		}
	}
	return "", again, nil
}

// remade reports whether a controller has the kind and the name of the claim's owner.
func remade(pvc *corev1.PersistentVolumeClaim, owner types.UID, controller *metav1.OwnerReference) bool {
	return slices.ContainsFunc(pvc.OwnerReferences, func(ref metav1.OwnerReference) bool {
		return ref.UID == owner && ref.Kind == controller.Kind && ref.Name == controller.Name
	})
}

// release is the patch that drops our ownerReference, and nothing else, of exactly
// this version of the claim.
func release(pvc *corev1.PersistentVolumeClaim, owner types.UID) ([]byte, error) {
	kept := slices.DeleteFunc(slices.Clone(pvc.OwnerReferences), func(ref metav1.OwnerReference) bool { return ref.UID == owner })
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
	var failures []error
	for namespace, claims := range owned {
		failures = append(failures, t.podsIn(ctx, namespace, func(pod *corev1.Pod) (enough bool) {
			controller := types.UID("")
			if ref := provision.Controller(pod.OwnerReferences); ref != nil {
				controller = ref.UID
			}
			for _, name := range provision.ClaimsOf(pod) {
				if exclusive(claims[name], controller) {
					key := types.NamespacedName{Namespace: namespace, Name: name}
					t.suspicions.add(key, pod.Name)
					t.claimsDue.Add(key)
				}
			}
			return false
		}))
	}
	return errors.Join(failures...)
}
