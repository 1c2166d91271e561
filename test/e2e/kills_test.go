package e2e

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// ending is a way in which replicas go, and what it may cost.
type ending struct {
	what   string
	leader bool // whether it is the leader that goes
	killed bool // or ends in order
	times  int

	claims  time.Duration // by then a pod that was admitted meanwhile has its claim
	silence time.Duration // how long nothing may come of the safety net; 0: no matter
}

func waysToEnd() []ending {
	kills := of(30)
	return []ending{
		{what: "the leader killed", leader: true, killed: true, times: (kills + 1) / 2, claims: 25 * time.Second, silence: 20 * time.Second},
		{what: "a follower killed", killed: true, times: max(1, kills/2), claims: 5 * time.Second},
		{what: "the leader ended in order", leader: true, times: of(10), claims: 5 * time.Second, silence: 3 * time.Second},
	}
}

// replicasGo: replicas are killed, and end, under creates of pods. No create
// fails, and what is admitted meanwhile without its claim has it soon. Pods that
// pass the webhook by show all the time what the safety net does.
func (g *ground) replicasGo(t *testing.T, r *report) {
	g.enabled(t, "asked")
	g.bypassed(t, "never-asked")
	g.knows(t, "asked")
	asked := g.startLate(t, "asked", twenty)
	never := g.startLate(t, "never-asked", pace{1, 100 * time.Millisecond})
	time.Sleep(3 * time.Second)
	for _, e := range waysToEnd() {
		t.Run(e.what, func(t *testing.T) { g.goes(t, r, e, asked, never) })
	}
	asked.finish()
	never.finish()
	for _, l := range []*load{asked, never} {
		wantNone(t, l.since(time.Time{}))
	}
	r.say("meanwhile: %s", asked.summary())
}

func (g *ground) goes(t *testing.T, r *report, e ending, asked, never *load) {
	var claims, silence time.Duration
	late, creates := 0, asked.count()
	for range e.times {
		leader, follower := g.leads(t)
		victim := follower
		if e.leader {
			victim = leader
		}
		begin := time.Now()
		if e.killed {
			g.kill(t, victim)
		}
		g.end(t, victim)
		g.succeeded(t, victim)
		g.leads(t)
		time.Sleep(3 * time.Second) // of what comes after
		end := time.Now()
		settled(t, end, asked, never)

		waits := asked.waited(begin, end)
		late += len(waits)
		for _, w := range append(waits, never.waited(begin, end)...) {
			claims = max(claims, w.to.Sub(w.from))
		}
		silence = max(silence, never.arrivals.silence(begin, end))
	}
	if claims > e.claims {
		t.Errorf("a claim came %s after its pod was admitted; want %s at most", claims, e.claims)
	}
	if e.silence > 0 && silence > e.silence {
		t.Errorf("for %s the safety net made no claim; want %s at most", silence, e.silence)
	}
	r.say("%s, %d times: %d creates, %d pods admitted without their claims; of these, and of those that the webhook never saw, each had it within %s; the safety net rested for %s at most",
		e.what, e.times, asked.count()-creates, late, claims.Round(100*time.Millisecond), silence.Round(100*time.Millisecond))
}

// succeeded waits until a replica that goes is gone and, where it led, another one leads.
func (g *ground) succeeded(t *testing.T, victim corev1.Pod) {
	t.Helper()
	eventually(t, 3*time.Minute, "another one leads", func() error {
		name, err := g.holder(t.Context())
		if err == nil && (name == victim.Name || name == "") {
			err = fmt.Errorf("%q holds the lease", name)
		}
		return err
	})
}

// settled waits until every pod has its claim that was admitted before a time.
func settled(t *testing.T, before time.Time, loads ...*load) {
	t.Helper()
	for _, l := range loads {
		eventually(t, time.Minute, "the claims have come in "+l.namespace, func() error {
			waiting := 0
			for _, w := range l.waited(time.Time{}, before) {
				if w.to.IsZero() {
					waiting++
				}
			}
			if waiting > 0 {
				return fmt.Errorf("%d pods wait", waiting)
			}
			return nil
		})
	}
}
