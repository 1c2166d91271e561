package e2e

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// What sandboxes do with their claim.
const (
	writes = "echo $HOSTNAME > /home/file; cat /home/file; sleep 86400"
	looks  = "cat /home/file 2>/dev/null || echo nothing; sleep 86400"
)

// exclusives: a claim that goes with its sandbox goes with that one alone, and is
// nobody else's while it is there.
func (g *ground) exclusives(t *testing.T) {
	g.enabled(t, "exclusive")
	g.knows(t, "exclusive")
	g.bypassed(t, "unseen")
	t.Run("gone with its owner", g.goesWithOwner)
	t.Run("gone with its owner, whose successor passed the webhook by", g.goesBeforeSuccessor)
	t.Run("forged ownerReferences", g.forges)
	t.Run("kept for its second user", g.keepsForSecond)
}

// goesWithOwner: owner A is deleted and created anew, as B. B's pods are refused
// until A's claim is gone, and get one of their own.
func (g *ground) goesWithOwner(t *testing.T) {
	const ns = "exclusive"
	a := g.owner(t, ns, "box")
	g.run(t, ns, by(running("box-a", "box-home", writes, "storage=1Mi", withOwner), "box", a))
	g.reads(t, ns, "box-a", "box-a")
	first := g.claim(t, ns, "box-home")
	wantOwned(t, first, a)
	g.kubectl(t, "delete", "batchsandbox", "box", "-n", ns)
	b := g.owner(t, ns, "box")
	manifest := by(running("box-b", "box-home", looks, "storage=1Mi", withOwner), "box", b)
	eventually(t, collected, "B's pod is admitted", func() error {
		output, err := g.Kubectl(t.Context(), manifest, "create", "-n", ns, "-f", "-")
		if err != nil && !strings.Contains(output, "belongs to BatchSandbox.sandbox.opensandbox.io/box (uid "+a+") alone") && !strings.Contains(output, "is being deleted") {
			t.Fatalf("B's pod: %s", output)
		}
		return err
	})
	g.reads(t, ns, "box-b", "nothing")
	second := g.claim(t, ns, "box-home")
	wantOwned(t, second, b)
	if first.UID == second.UID {
		t.Error("B has A's claim")
	}
}

// goesBeforeSuccessor is the same where no webhook refuses: while A's claim is on
// its way out B's pod waits, and then the safety net gives it one of its own.
func (g *ground) goesBeforeSuccessor(t *testing.T) {
	const ns = "unseen"
	a := g.owner(t, ns, "box")
	slow := strings.Replace(running("box-a", "box-home", writes, "storage=1Mi", withOwner), "terminationGracePeriodSeconds: 0", "terminationGracePeriodSeconds: 10", 1)
	g.run(t, ns, by(slow, "box", a))
	g.reads(t, ns, "box-a", "box-a")
	first := g.claim(t, ns, "box-home")
	wantOwned(t, first, a)
	g.kubectl(t, "delete", "batchsandbox", "box", "-n", ns)
	b := g.owner(t, ns, "box")
	g.until(t, ns, "pvc/box-home", "jsonpath={.metadata.deletionTimestamp}")
	g.run(t, ns, by(running("box-b", "box-home", looks, "storage=1Mi", withOwner), "box", b))
	g.reads(t, ns, "box-b", "nothing")
	second := g.claim(t, ns, "box-home")
	wantOwned(t, second, b)
	if first.UID == second.UID {
		t.Error("B has A's claim")
	}
}

// forges: whoever names a controller that is not there, or not that one, gets no
// claim that goes with it, and no claim of its.
func (g *ground) forges(t *testing.T) {
	const ns, invented = "exclusive", "0b000000-0000-4000-8000-00000000000b"
	a := g.owner(t, ns, "victim")
	g.run(t, ns, by(running("victim-a", "victim-home", writes, "storage=1Mi", withOwner), "victim", a))
	g.reads(t, ns, "victim-a", "victim-a")
	owned := g.claim(t, ns, "victim-home")

	thief := by(running("thief", "victim-home", looks, "storage=1Mi", withOwner), "victim", invented)
	if output, err := g.Kubectl(t.Context(), thief, "create", "-n", ns, "-f", "-"); err == nil || !strings.Contains(output, "alone and is deleted with it") {
		t.Errorf("another one's claim: %v\n%s", err, output)
	}
	g.run(t, ns, by(running("forger", "forger-home", looks, "storage=1Mi", withOwner), "victim", invented))
	forged := g.claim(t, ns, "forger-home")
	wantOwned(t, forged, "")
	// The garbage collector deletes such a pod, and has then seen all there is to see.
	g.gone(t, ns, "pod/forger")
	wantOwned(t, g.wantSame(t, forged), "")
	wantOwned(t, g.wantSame(t, owned), a)

	// Passing the webhook by, it gets nothing at all.
	g.run(t, "unseen", by(running("forger", "forger-home", looks, "storage=1Mi", withOwner), "victim", invented))
	g.gone(t, "unseen", "pod/forger")
	time.Sleep(5 * time.Second)
	if got := g.kubectl(t, "get", "pvc", "forger-home", "-n", "unseen", "--ignore-not-found", "-o", "name"); got != "" {
		t.Errorf("the safety net made %s for a pod whose controller was never there", got)
	}
}

// keepsForSecond: somebody else's pod got in while nobody asked us.
func (g *ground) keepsForSecond(t *testing.T) {
	const ns = "unseen"
	s := g.share(t, ns, "shared")
	s.come(t, g)
	s.stays(t, g)
}

// shared is a claim that goes with its sandbox, and is to have a second user.
type shared struct {
	namespace, owner, guest string
	claim                   *corev1.PersistentVolumeClaim
}

// share makes a sandbox with such a claim.
func (g *ground) share(t *testing.T, namespace, owner string) *shared {
	t.Helper()
	s := &shared{namespace: namespace, owner: owner, guest: owner + "-guest"}
	uid := g.owner(t, namespace, owner)
	g.run(t, namespace, by(running(owner+"-a", owner+"-home", writes, "storage=1Mi", withOwner), owner, uid))
	g.reads(t, namespace, owner+"-a", owner+"-a")
	s.claim = g.claim(t, namespace, owner+"-home")
	wantOwned(t, s.claim, uid)
	return s
}

// come has the second user come, and run.
func (s *shared) come(t *testing.T, g *ground) {
	t.Helper()
	g.run(t, s.namespace, running(s.guest, s.claim.Name, looks))
	g.reads(t, s.namespace, s.guest, s.owner+"-a")
}

// stays holds that the claim goes with its sandbox no longer: that is deleted,
// and the second user keeps what there is.
func (s *shared) stays(t *testing.T, g *ground) {
	t.Helper()
	eventually(t, 30*time.Second, "it is told", func() error {
		return told(g.events(t, s.namespace, "PersistentVolumeClaim", s.claim.Name), []string{"ClaimShared x1: Pod |" + s.guest + "|" + s.owner + "|is kept"})
	})
	wantOwned(t, g.wantSame(t, s.claim), "")
	g.kubectl(t, "delete", "batchsandbox", s.owner, "-n", s.namespace)
	g.gone(t, s.namespace, "pod/"+s.owner+"-a") // the garbage collector has done all it will do
	time.Sleep(5 * time.Second)
	g.wantSame(t, s.claim)
	again := s.guest + "-again"
	g.run(t, s.namespace, running(again, s.claim.Name, looks))
	g.reads(t, s.namespace, again, s.owner+"-a")
}
