package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// withOwner is the hint of a claim that goes with its sandbox.
const withOwner = "deleteOnSandboxTermination=true"

// sandboxKinds installs OpenSandbox's kind. No controller acts on it: tests make
// the pods themselves.
func (g *ground) sandboxKinds(t *testing.T) {
	t.Helper()
	g.kubectl(t, "apply", "-f", filepath.Join(g.root, "test", "standin", "manifests", "batchsandboxes.yaml"))
	g.kubectl(t, "wait", "crd/batchsandboxes.sandbox.opensandbox.io", "--for=condition=Established", "--timeout=30s")
}

// owner creates a BatchSandbox and returns its UID.
func (g *ground) owner(t *testing.T, namespace, name string) (uid string) {
	t.Helper()
	g.give(t, fmt.Sprintf("apiVersion: sandbox.opensandbox.io/v1alpha1\nkind: BatchSandbox\nmetadata: {name: %q}\nspec: {replicas: 1}\n", name), "create", "-n", namespace, "-f", "-")
	return g.kubectl(t, "get", "batchsandbox", name, "-n", namespace, "-o", "jsonpath={.metadata.uid}")
}

// by makes a BatchSandbox the controller of the pod in a manifest.
func by(manifest, owner, uid string) string {
	return strings.Replace(manifest, "metadata:\n", fmt.Sprintf("metadata:\n  ownerReferences: [{apiVersion: sandbox.opensandbox.io/v1alpha1, kind: BatchSandbox, name: %q, uid: %q, controller: true}]\n", owner, uid), 1)
}

// claim is a claim as it is.
func (g *ground) claim(t *testing.T, namespace, name string) *corev1.PersistentVolumeClaim {
	t.Helper()
	c, err := g.clients.CoreV1().PersistentVolumeClaims(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantOwned holds that a claim goes with the owner of a UID; "": with nobody.
func wantOwned(t *testing.T, c *corev1.PersistentVolumeClaim, uid string) {
	t.Helper()
	switch {
	case uid == "" && len(c.OwnerReferences) == 0:
	case len(c.OwnerReferences) == 1 && string(c.OwnerReferences[0].UID) == uid:
	default:
		t.Errorf("claim %s is owned by %v; want %q", c.Name, c.OwnerReferences, uid)
	}
}

// wantSame holds that a claim is still there, and that nobody has deleted it.
func (g *ground) wantSame(t *testing.T, c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
	t.Helper()
	now := g.claim(t, c.Namespace, c.Name)
	if now.UID != c.UID || now.DeletionTimestamp != nil {
		t.Errorf("claim %s/%s was %s and is %s, deletion %v", c.Namespace, c.Name, c.UID, now.UID, now.DeletionTimestamp)
	}
	return now
}

// collected bounds a wait for Kubernetes' garbage collector, which looks for new
// kinds twice a minute.
const collected = 2 * time.Minute

// gone waits until an object is no more.
func (g *ground) gone(t *testing.T, namespace, object string) {
	t.Helper()
	eventually(t, collected, object+" is gone", func() error {
		if output := g.kubectl(t, "get", object, "-n", namespace, "--ignore-not-found", "-o", "name"); output != "" {
			return fmt.Errorf("%s is there", output)
		}
		return nil
	})
}

// reads holds what a pod that runs finds in a file of its claim.
func (g *ground) reads(t *testing.T, namespace, pod, want string) {
	t.Helper()
	g.until(t, namespace, "pod/"+pod, ready)
	eventually(t, 30*time.Second, pod+" reads", func() error {
		if got := g.kubectl(t, "logs", pod, "-n", namespace); got != want {
			return fmt.Errorf("%q, not %q", got, want)
		}
		return nil
	})
}
