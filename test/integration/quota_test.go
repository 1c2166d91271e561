package integration

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// While somebody edits the quota without a pause, the API server refuses claims
// for a conflict of the quota's own, and the webhook tries again. Few pods at a
// time, since each may take many tries, and for as long as no conflict was seen.
func TestAQuotaInConflictWithItself(t *testing.T) {
	ns, person := world.namespace(t), world.author(t)
	quota := world.quota(t, ns, map[string]string{"persistentvolumeclaims": "1000"})
	ctx, cancel := context.WithCancel(t.Context())
	var editor sync.WaitGroup
	defer editor.Wait()
	defer cancel()
	editor.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			note := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{"example.com/edit":"%d"}}}`, n))
			if err := world.admin.Patch(ctx, quota.DeepCopy(), note); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	pods := 0
	wait(t, "the quota was in conflict with itself", func(ctx context.Context) error {
		var wg sync.WaitGroup
		for range 10 {
			p := pod(ns, fmt.Sprintf("sb-%d", pods), fmt.Sprintf("data-%d", pods))
			pods++
			wg.Go(func() {
				if err := person.Create(ctx, p); err != nil || p.Annotations[domain+"/created"] == "" {
					t.Errorf("pod %s: %v, annotations %v", p.Name, err, p.Annotations)
				}
			})
		}
		wg.Wait()
		if tries := times(world.calls(t, ns), "create persistentvolumeclaims"); tries == pods {
			return fmt.Errorf("each of %d claims was created at the first try", pods)
		}
		return nil
	})
	if n := len(world.claims(t, ns)); n != pods {
		t.Errorf("there are %d claims for %d pods", n, pods)
	}
}
