package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

const (
	leafLife = "30s"  // renewed after 20 s
	caLife   = "120s" // succeeded after 80 s
)

// bursts make the API server connect anew each time: it keeps 25 connections.
var bursts = pace{40, 2 * time.Second}

// TestCertificates: leaves and authorities follow one another under load.
func TestCertificates(t *testing.T) {
	g := newGround(t)
	g.install(t, "--set", "failurePolicy=Fail", "--set", "logLevel=debug",
		"--set", "certificates.leafLifetime="+leafLife, "--set", "certificates.caLifetime="+caLife)
	r := g.report(t)
	g.rotates(t, r)
}

func (g *ground) rotates(t *testing.T, r *report) {
	leaves, authorities := of(20), of(5)
	before := g.asked(t)
	l, h := g.start(t, "rotations", bursts), g.shake(t)
	begin := time.Now()
	limit := time.Duration(max(leaves*20, authorities*80)+120) * time.Second
	eventually(t, limit, "the certificates rotate", func() error {
		gotLeaves, gotAuthorities := h.seen()
		// Of each of two replicas the first leaf is no rotation, nor is the first authority.
		if gotLeaves < 2+2*leaves || gotAuthorities < 1+authorities {
			return fmt.Errorf("%d leaves of two replicas by %d authorities", gotLeaves, gotAuthorities)
		}
		return nil
	})
	took := time.Since(begin)
	l.finish()
	h.finish()
	failures := l.since(time.Time{})
	wantNone(t, failures)
	wantNone(t, h.failures)
	refused := g.refusedHandshakes(t)
	if refused != 0 {
		t.Errorf("the replicas have logged %d refused handshakes", refused)
	}
	gotLeaves, gotAuthorities := h.seen()
	r.say("%d leaf rotations a replica on average, %d in all, those after a new authority included, and %d of the authority in %s of load, failurePolicy Fail", (gotLeaves-2)/2, gotLeaves-2, gotAuthorities-1, took.Round(time.Second))
	r.say("%s; %d failed", l.summary(), len(failures))
	r.say("%d new connections with the live caBundle; %d failed; the replicas logged %d refused handshakes", h.made, len(h.failures), refused)
	g.wantAsked(t, r, before, l.count())
	g.wantNoRestarts(t)
}

// refusedHandshakes is how many of them the replicas have logged.
func (g *ground) refusedHandshakes(t *testing.T) int {
	t.Helper()
	pods, _, err := g.replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, pod := range pods {
		log := g.kubectl(t, "logs", pod.Name, "-n", stack.Name)
		if !strings.Contains(log, "debug") {
			t.Errorf("%s does not log at level debug: %.500s", pod.Name, log)
		}
		refused += strings.Count(log, "TLS handshake refused")
	}
	return refused
}
