package integration

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/faulty"
)

// Whatever goes wrong between the webhook and the API server, for a tenth of the calls, for half or for all: each
// review is answered in time and in the way that lets it be repeated, what the caches know is answered as ever, and
// once the fault ends everything is as it was before, by itself. The caches' watches go the same way. Not parallel: it
// is everybody's webhook that is led through the faults.
func TestFaultsOnTheWayToTheAPIServer(t *testing.T) {
	proxy, err := faulty.Start(world.cp.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := proxy.Kubeconfig(kubeconfig, world.in.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	passed, err := world.failOpen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		now, err := world.failOpen(context.Background())
		if err != nil {
			t.Error(err)
		}
		world.outages += now - passed
	})
	world.restart(t, "--kubeconfig="+kubeconfig)
	pid := world.webhook.PID
	f := &faultTrial{proxy: proxy, ns: world.namespace(t), failing: world.namespace(t)}
	f.policies(t)
	ns := f.ns
	world.create(t, claim(ns, "there", "1Gi"))
	wait(t, "the webhook knows the claim", func(ctx context.Context) error {
		before := len(world.events(t, ns+"/persistentvolumeclaims"))
		_, _, _, err := ask(ctx, world.in, http.MethodPost, "/mutate?timeout=5s", review(t, ns, pod(ns, "knows", "there")))
		if after := len(world.events(t, ns+"/persistentvolumeclaims")); err == nil && after != before {
			err = errors.New("it has asked the API server")
		}
		return err
	})
	f.reviews(t, "none", 0) // what is set up once, is set up by now
	before := world.metrics(t)
	for _, fault := range faulty.Faults() {
		t.Run(string(fault), func(t *testing.T) {
			for _, percent := range []int{10, 50, 100} {
				proxy.Set(fault, percent)
				f.reviews(t, string(fault), percent)
				spoiled, calls := proxy.Spoiled()
				t.Logf("%d %%: %d of %d calls went wrong", percent, spoiled, calls)
				if percent >= 50 && spoiled == 0 {
					t.Errorf("%d %%: no call went wrong", percent)
				}
			}
			again := f.pods(t, string(fault))
			proxy.Clear()
			for _, p := range again {
				wait(t, "pod "+p.Name+" is admitted with its claims", func(ctx context.Context) error {
					return f.admit(ctx, p)
				})
			}
			f.reviewAgain(t)
			if world.webhook.PID != pid {
				t.Error("another process answers")
			}
			world.wantNothingHeld(t, before)
		})
	}
	// The watches come back by themselves as well. client-go waits for up to a minute before it tries again what has
	// failed often; what is created meanwhile is asked of the API server.
	fresh := world.bareNamespace(t, map[string]string{domain + "/auto-create": "enabled"})
	waitFor(t, 2*time.Minute, "a new namespace is heard of", func(ctx context.Context) error {
		return world.in.WaitAnswers(ctx, fresh)
	})
}
