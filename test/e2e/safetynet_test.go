package e2e

import "testing"

// TestSafetyNet: what the webhook missed heals by itself, and nothing is lost.
// Orphans are deleted when they are ten minutes old, so they are left behind
// first, and looked for again at the end; meanwhile the rest goes on.
func TestSafetyNet(t *testing.T) {
	g := newGround(t)
	g.install(t, "--set", "safetyNet.deleteOrphanedClaims=true")
	g.sandboxKinds(t)
	r := g.report(t)
	o := g.leaveOrphans(t)
	kept := g.retain(t)
	t.Run("what is missing comes", func(t *testing.T) { g.comes(t, r) })
	t.Run("claims that go with their sandbox", g.exclusives)
	t.Run("a restored copy is foreign", func(t *testing.T) { g.restores(t, kept) })
	t.Run("orphans are counted", func(t *testing.T) { o.counted(t, r) })
	t.Run("every replica is down", func(t *testing.T) { g.outage(t, r) })
	t.Run("replicas are killed, and end", func(t *testing.T) { g.replicasGo(t, r) })
	t.Run("orphans are deleted", func(t *testing.T) { o.deleted(t, r) })
	t.Run("what is retained is kept", func(t *testing.T) { g.wantRetained(t, kept) })
}
