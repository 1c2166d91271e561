package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// retained are claims that nobody has asked to delete: one of a sandbox that is
// gone, and one that goes with a sandbox that stays.
type retained struct {
	namespace string
	kept      *corev1.PersistentVolumeClaim
	model     *corev1.PersistentVolumeClaim // what is restored is a copy of it
	modelUID  string                        // of its owner
}

func (g *ground) retain(t *testing.T) *retained {
	t.Helper()
	k := &retained{namespace: "retained"}
	g.enabled(t, k.namespace)
	g.knows(t, k.namespace)
	uid := g.owner(t, k.namespace, "goes")
	g.run(t, k.namespace, by(running("goes-a", "goes-home", writes, "storage=1Mi"), "goes", uid))
	k.modelUID = g.owner(t, k.namespace, "stays")
	g.run(t, k.namespace, by(running("stays-a", "stays-home", writes, "storage=1Mi", withOwner), "stays", k.modelUID))
	g.reads(t, k.namespace, "goes-a", "goes-a")
	k.kept, k.model = g.claim(t, k.namespace, "goes-home"), g.claim(t, k.namespace, "stays-home")
	wantOwned(t, k.model, k.modelUID)
	g.kubectl(t, "delete", "batchsandbox", "goes", "-n", k.namespace)
	return k
}

// wantRetained holds that the claim of the sandbox that is gone is still there,
// with what was written to it.
func (g *ground) wantRetained(t *testing.T, k *retained) {
	g.gone(t, k.namespace, "pod/goes-a")
	g.wantSame(t, k.kept)
	wantOwned(t, g.wantSame(t, k.model), k.modelUID)
	g.run(t, k.namespace, running("heir", k.kept.Name, looks))
	g.reads(t, k.namespace, "heir", "goes-a")
}

// restores: a claim that a backup brings back, with all our marks, is none of
// ours. It is used, and never written to.
func (g *ground) restores(t *testing.T, k *retained) {
	time.Sleep(time.Until(k.model.CreationTimestamp.Add(65 * time.Second))) // a copy is younger than what it says
	copied := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: k.namespace, Name: "restored",
			Labels: k.model.Labels, Annotations: map[string]string{}, OwnerReferences: k.model.OwnerReferences,
		},
		Spec: *k.model.Spec.DeepCopy(),
	}
	for key, value := range k.model.Annotations {
		if strings.HasPrefix(key, "volumes.opensandbox.io/") {
			copied.Annotations[key] = value
		}
	}
	copied.Spec.VolumeName = ""
	copied, err := g.clients.CoreV1().PersistentVolumeClaims(k.namespace).Create(t.Context(), copied, metav1.CreateOptions{FieldManager: "backup"})
	if err != nil {
		t.Fatal(err)
	}
	// A pod of nobody uses it, which would have an exclusive claim of ours kept.
	g.run(t, k.namespace, running("guest", "restored", looks))
	g.reads(t, k.namespace, "guest", "nothing")
	eventually(t, 30*time.Second, "it is told", func() error {
		return told(g.events(t, k.namespace, "PersistentVolumeClaim", "restored"), []string{"ClaimForeign x1: |did not create it"})
	})
	eventually(t, 30*time.Second, "it is counted", func() error {
		leader, _ := g.leads(t)
		if got := g.gauges(t, leader)["ensure_volumes_foreign_claims"]; got != 1 {
			return fmt.Errorf("the leader counts %v", got)
		}
		return nil
	})
	now := g.wantSame(t, copied)
	wantOwned(t, now, k.modelUID)
	for _, m := range now.ManagedFields {
		if strings.HasPrefix(m.Manager, "ensure-volumes") {
			t.Errorf("it was written by %s: %s", m.Manager, m.FieldsV1)
		}
	}
}
