package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// comes: claims come to pods that wait, whyever they are missing.
func (g *ground) comes(t *testing.T, r *report) {
	t.Run("deleted under its pod", func(t *testing.T) {
		const ns = "deleted"
		g.enabled(t, ns)
		g.knows(t, ns)
		claims := g.clients.CoreV1().PersistentVolumeClaims(ns)
		if _, err := g.clients.CoreV1().Pods(ns).Create(t.Context(), sandbox("waits", "home"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second) // so that the safety net has seen the pod, and has no reason to look again
		before, err := claims.Get(t.Context(), "home", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := claims.Delete(t.Context(), "home", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		g.wantClaim(t, ns, "home", string(before.UID))
	})
	t.Run("its namespace enabled later", func(t *testing.T) {
		const ns = "enabled-later"
		g.kubectl(t, "create", "namespace", ns)
		g.run(t, ns, running("early", "home", "echo kept > /home/file", "storage=1Mi"))
		g.wantMissing(t, ns, "early", "home")
		g.kubectl(t, "label", "namespace", ns, "volumes.opensandbox.io/auto-create=enabled")
		g.until(t, ns, "pod/early", succeeded)
	})
	t.Run("blocked by quota", func(t *testing.T) { g.unblocks(t, r) })
}

// unblocks: a pod that quota blocks runs soon after the quota is raised, and
// what stands in its way is told once for each change, on its controller too.
func (g *ground) unblocks(t *testing.T, r *report) {
	const ns = "blocked"
	g.bypassed(t, ns)
	quota := func(hard string) string {
		return "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: bound}\nspec: {hard: {" + hard + "}}\n"
	}
	g.give(t, quota(`persistentvolumeclaims: "0"`), "apply", "-n", ns, "-f", "-")
	// Before the controller manager has looked, the quota is not in force.
	g.until(t, ns, "resourcequota/bound", "jsonpath={.status.hard.persistentvolumeclaims}=0")
	g.run(t, ns, by(running("waits", "home", "sleep 86400", "storage=1Mi"), "sandbox", g.owner(t, ns, "sandbox")))
	wantTold := func(want ...string) {
		t.Helper()
		for _, object := range [][2]string{{"Pod", "waits"}, {"BatchSandbox", "sandbox"}} {
			eventually(t, 45*time.Second, "it is told", func() error { return told(g.events(t, ns, object[0], object[1]), want) })
		}
	}
	wantTold("FailedEnsureClaims x1: |exceeded quota: bound|persistentvolumeclaims=1")
	time.Sleep(25 * time.Second) // of tries, the last pause between which is 20 s
	wantTold("FailedEnsureClaims x1: |exceeded quota: bound|persistentvolumeclaims=1")
	g.give(t, quota(`persistentvolumeclaims: "1", requests.storage: 1Ki`), "apply", "-n", ns, "-f", "-")
	wantTold("FailedEnsureClaims x1: |persistentvolumeclaims=1", "FailedEnsureClaims x1: |exceeded quota: bound|requests.storage=1Mi")
	g.give(t, quota(`persistentvolumeclaims: "1"`), "apply", "-n", ns, "-f", "-")
	raised := time.Now()
	g.until(t, ns, "pod/waits", ready)
	took := time.Since(raised)
	if took > 30*time.Second {
		t.Errorf("the pod runs %s after the quota was raised", took)
	}
	wantTold("FailedEnsureClaims x1: |persistentvolumeclaims=1", "FailedEnsureClaims x1: |requests.storage=1Mi", "ClaimsEnsured x1: |exist")
	r.say("a pod that quota blocked ran %s after the quota was raised; three changes, three Events on it and three on its controller", took.Round(100*time.Millisecond))
}

// told says how events differ from what they should be: each is the words of
// one, which are separated by "|" and follow one another, and there are no others.
func told(events, want []string) error {
	wrong := len(events) != len(want)
	for i := 0; !wrong && i < len(want); i++ {
		rest := events[i]
		for word := range strings.SplitSeq(want[i], "|") {
			_, after, found := strings.Cut(rest, word)
			rest, wrong = after, wrong || !found
		}
	}
	if wrong {
		return fmt.Errorf("told was\n%s\nwanted\n%s", strings.Join(events, "\n"), strings.Join(want, "\n"))
	}
	return nil
}

// wantClaim waits until a claim is there, another one than that with the UID,
// and not on its way out.
func (g *ground) wantClaim(t *testing.T, namespace, name, other string) {
	t.Helper()
	eventually(t, 30*time.Second, "claim "+name+" is there", func() error {
		c, err := g.clients.CoreV1().PersistentVolumeClaims(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && (string(c.UID) == other || c.DeletionTimestamp != nil) {
			err = fmt.Errorf("it is %s, deletion %v", c.UID, c.DeletionTimestamp)
		}
		return err
	})
}
