package authority

import (
	"strings"
	"testing"
	"time"
)

// TestClockSet: a leaf that was signed by a clock that was wrong is replaced when the clock is right.
func TestClockSet(t *testing.T) {
	for _, wrong := range []time.Duration{-12 * time.Hour, -5 * time.Hour, 5 * time.Hour, 12 * time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			w := newWorld(t)
			w.install()
			w.look(w.replica(nil))
			w.pass(15 * time.Hour)
			a := w.replica(nil)
			a.now = func() time.Time { return w.now().Add(wrong) }
			w.look(a)
			a.now = w.now
			w.look(a)
			if cert, refused := a.Serving(); refused != nil {
				t.Errorf("%v: from %s until %s, and it is %s", refused, cert.Leaf.NotBefore, cert.Leaf.NotAfter, w.now().UTC())
			}
		})
	}
}

// TestRenewedByTheWall: a machine that has slept, or whose clock was set ahead, knows that a leaf is due. Only the wall clock
// tells: time.Time prints the other one's reading behind m=.
func TestRenewedByTheWall(t *testing.T) {
	ca, err := newSigner(time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.sign(nil, time.Now(), time.Minute)
	if err != nil || strings.Contains(leaf.renew.String(), "m=") {
		t.Errorf("due at %s, %v", leaf.renew, err)
	}
}
