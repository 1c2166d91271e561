package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// TestRollout: replicas come and go under load, failing closed, and nobody notices.
func TestRollout(t *testing.T) {
	rollouts, deletions, creates := of(20), of(60), of(20000)
	g := newGround(t)
	g.install(t, "--set", "failurePolicy=Fail")
	before := g.asked(t)
	r := g.report(t)
	l := g.start(t, "load", pace{1, 30 * time.Millisecond})
	// Connections that are opened for a burst are idle until the next one.
	b := g.start(t, "bursts", pace{40, 20 * time.Second})
	each := deletions / rollouts
	for range rollouts {
		g.kubectl(t, "rollout", "restart", "deployment", stack.Name, "-n", stack.Name)
		g.kubectl(t, "rollout", "status", "deployment", stack.Name, "-n", stack.Name, "--timeout=2m")
		g.wantReady(t, 2)
		for range each {
			g.deleteOne(t)
		}
	}
	disturbed := l.count() + b.count()
	for l.count()+b.count() < creates && len(l.since(time.Time{})) == 0 {
		time.Sleep(time.Second)
	}
	g.wantGone(t) // the end of the last replicas is under load as well
	l.finish()
	b.finish()
	failures := append(l.since(time.Time{}), b.since(time.Time{})...)
	wantNone(t, failures)
	g.wantNoRestarts(t)
	total := l.count() + b.count()
	r.say("%d rolling restarts and %d deletions of single pods under load, failurePolicy Fail", rollouts, each*rollouts)
	r.say("%d creates, %d of them before the last of these was over; %d creates failed; each of the others had its claim", total, disturbed, len(failures))
	r.say("one by one: %s", l.summary())
	r.say("40 at once: %s", b.summary())
	g.wantAsked(t, r, before, total)
}

// wantGone waits until every replica that was on its way out is gone.
func (g *ground) wantGone(t *testing.T) {
	t.Helper()
	eventually(t, 3*time.Minute, "only two pods are left", func() error {
		pods, err := g.clients.CoreV1().Pods(stack.Name).List(t.Context(), metav1.ListOptions{})
		if err == nil && len(pods.Items) != 2 {
			err = fmt.Errorf("there are %d", len(pods.Items))
		}
		return err
	})
}

// deleteOne deletes one replica and returns when its successor is ready.
func (g *ground) deleteOne(t *testing.T) {
	t.Helper()
	pods, _, err := g.replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	victim := pods[rand.IntN(len(pods))]
	if err := g.clients.CoreV1().Pods(stack.Name).Delete(t.Context(), victim.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "it is on its way out", func() error {
		pods, _, err := g.replicas(t.Context())
		for _, pod := range pods {
			if pod.UID == victim.UID {
				return fmt.Errorf("%s is still there", victim.Name)
			}
		}
		return err
	})
	g.wantReady(t, 2)
}
