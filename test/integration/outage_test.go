package integration

import (
	"context"
	"testing"
)

// While nobody answers, a pod is admitted and waits for its claim as it would
// without us, and the API server counts that it went by. That count is what all
// other tests hold at rest. Not parallel: it takes the webhook away.
func TestAnOutageUnderIgnore(t *testing.T) {
	ns, person := world.namespace(t), world.author(t)
	before, err := world.failOpen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { world.swap(context.Background(), t) })
	world.webhook.Kill()
	output, refused := world.kubectl(t, ns, world.manifest(t, hinted(pod(ns, "sb1", "data"), "storage", "banana")), "create", "-f", "-")
	if refused || output != "pod/sb1 created\n" {
		t.Errorf("kubectl says %q", output)
	}
	world.faults.Saw(t, "no-answer", output)
	after, err := world.failOpen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	world.outages += after - before
	if after != before+1 {
		t.Errorf("one review passed without our answer, and %d were counted", after-before)
	}
	if stored := world.pod(t, ns, "sb1"); stored.Annotations[domain+"/created"] != "" || stored.Spec.NodeName != "" {
		t.Errorf("the pod does not wait: %+v", stored)
	}
	world.wantClaims(t, ns)

	world.swap(t.Context(), t)
	if err := person.Create(t.Context(), pod(ns, "sb2", "data")); err != nil {
		t.Error(err)
	}
	world.wantClaims(t, ns, "data")
	if now, err := world.failOpen(t.Context()); err != nil || now != after {
		t.Errorf("after the outage %d more reviews passed without our answer (%v)", now-after, err)
	}
}
