package integration

import (
	"context"
	"fmt"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// The API server serves the webhook's calls in a level of their own, so that no
// flood of pods can hold up the claims that the pods wait for. Not parallel: it
// counts the calls for everybody.
func TestOurCallsHaveALevelOfTheirOwn(t *testing.T) {
	ns, person := world.namespace(t), world.author(t)
	dispatched := func() int {
		t.Helper()
		n, err := world.counted(t.Context(), "apiserver_flowcontrol_dispatched_requests_total",
			"flow_schema", stack.Name, "priority_level", stack.Name)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// Some calls more may come from the webhook's caches, of which there are few.
	const claims = 10
	before := dispatched()
	for i := range claims {
		if err := person.Create(t.Context(), pod(ns, fmt.Sprintf("sb%d", i), fmt.Sprintf("data-%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	// A call is counted when it has ended, which may be after its answer.
	wait(t, "the calls have been counted", func(context.Context) error {
		if n := dispatched() - before; n < claims {
			return fmt.Errorf("%d claims were created, %d calls were served in our level", claims, n)
		}
		return nil
	})
}
