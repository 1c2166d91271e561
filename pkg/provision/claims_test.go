package provision

import (
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

func newClaim(namespace, name string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

// TestClaims: the store does what client-go's reflector asks of one.
func TestClaims(t *testing.T) {
	var c Claims
	if c.Synced() || c.Get("a", "x") != nil || c.Len() != 0 {
		t.Error("the zero value knows something")
	}
	// Before the first list is complete nothing counts as missing.
	if err := c.Add(newClaim("a", "early")); err != nil || c.Synced() {
		t.Errorf("synced %v, %v", c.Synced(), err)
	}
	// A list has whole claims; a streamed one has records already.
	streamed, err := c.Transformer()(newClaim("a", "streamed"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Replace([]any{newClaim("a", "listed"), streamed}, "7"); err != nil {
		t.Fatal(err)
	}
	if !c.Synced() || c.Len() != 2 || c.Get("a", "early") != nil || c.Get("a", "listed") == nil || c.Get("a", "streamed") == nil {
		t.Errorf("after the list: %d records", c.Len())
	}
	if c.Get("b", "listed") != nil {
		t.Error("a claim of another namespace was found")
	}
	changed := newClaim("a", "listed")
	changed.Status.Phase = corev1.ClaimLost
	if err := c.Update(changed); err != nil || !c.Get("a", "listed").lost {
		t.Errorf("an update was lost: %v", err)
	}
	if err := c.Delete(newClaim("a", "listed")); err != nil || c.Get("a", "listed") != nil {
		t.Errorf("a deletion was lost: %v", err)
	}
	gone := cache.DeletedFinalStateUnknown{Key: "a/streamed", Obj: newClaim("a", "streamed")}
	if err := c.Delete(gone); err != nil || c.Len() != 0 {
		t.Errorf("a deletion found late was lost: %v", err)
	}
	if c.Add(&corev1.Pod{}) == nil || c.Delete("x") == nil || c.Replace([]any{1}, "") == nil {
		t.Error("something that is no claim was taken")
	}
	if c.Resync() != nil {
		t.Error("resync failed")
	}
}

// TestClaimsConcurrently is for the race detector.
func TestClaimsConcurrently(t *testing.T) {
	var c Claims
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				pvc := newClaim("ns", fmt.Sprintf("c%d", (i*j)%50))
				switch j % 4 {
				case 0, 1:
					_ = c.Add(pvc)
				case 2:
					_ = c.Delete(pvc)
				case 3:
					_ = c.Replace([]any{pvc}, "")
				}
				if r := c.Get("ns", pvc.Name); r != nil && r.name != pvc.Name {
					t.Error("another record")
				}
			}
		})
	}
	wg.Wait()
}

// TestRecord: what is kept of a claim.
func TestRecord(t *testing.T) {
	class, beta := "fast", "old"
	now := metav1.NewTime(time.Now())
	pvc := newClaim("ns", "x")
	pvc.DeletionTimestamp = &now
	pvc.Spec.StorageClassName = &class
	pvc.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, corev1.ReadWriteMany, "FromTheFuture"}
	pvc.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("5Gi")}
	pvc.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("8Gi")}
	r := record(pvc)
	if got, ok := r.className(); got != "fast" || !ok {
		t.Errorf("class %q", got)
	}
	if r.size != 8<<30 || r.modes != claim.ReadWriteOnce|claim.ReadWriteMany || !r.terminating || r.lost || r.owner != nil {
		t.Errorf("%+v", r)
	}
	pvc.Annotations = map[string]string{corev1.BetaStorageClassAnnotation: beta}
	if got, _ := record(pvc).className(); got != beta {
		t.Errorf("the annotation's class lost to %q", got)
	}
	if _, ok := record(newClaim("ns", "y")).className(); ok {
		t.Error("a claim without class has one")
	}
	if m := r.GetObjectMeta(); m.GetNamespace() != "ns" || m.GetName() != "x" {
		t.Errorf("named %s/%s", m.GetNamespace(), m.GetName())
	}
}

// TestParseOwnerKinds: what the operator may write.
func TestParseOwnerKinds(t *testing.T) {
	kinds, err := ParseOwnerKinds("Sandbox.agents.x-k8s.io/sandboxes, Pool.sandbox.opensandbox.io/pools,")
	if err != nil || len(kinds) != 2 || kinds[schema.GroupKind{Group: "agents.x-k8s.io", Kind: "Sandbox"}] != "sandboxes" {
		t.Errorf("%v %v", kinds, err)
	}
	if kinds, err := ParseOwnerKinds(""); err != nil || len(kinds) != 0 {
		t.Errorf("%v %v", kinds, err)
	}
	for _, bad := range []string{"Sandbox", "Sandbox/sandboxes", ".group/x", "Sandbox.agents.x-k8s.io", "Sandbox.agents.x-k8s.io/"} {
		if _, err := ParseOwnerKinds(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
