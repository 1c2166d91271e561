package reconcile

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Between two tries of client-go's elector is up to 2.2 times the retryPeriod. So
// a leader that dies is succeeded after 10.2 s at the latest, and one that ends in
// order after 2.2 s.
const (
	leaseDuration = 8 * time.Second
	renewDeadline = 5 * time.Second
	retryPeriod   = time.Second
	// clockSkew is how far the clocks of two replicas may differ.
	clockSkew = 3 * time.Second
)

// LeaseTimeout is how long a call about the Lease may take, for the client of
// [Election].
const LeaseTimeout = renewDeadline / 2

// Election decides by a Lease which replica leads (coordination.k8s.io/v1).
type Election struct {
	Leases coordinationv1.LeasesGetter
	// Namespace and Name are the Lease's. It is made where it is missing.
	Namespace, Name string
	// Identity is this replica's name, unlike any other's.
	Identity string
	Log      logr.Logger
}

// Run calls lead whenever this replica leads, with a context that ends when it
// does not any more, until ctx ends. It then gives the lease back, so that
// another replica leads at once.
func (e *Election) Run(ctx context.Context, lead func(ctx context.Context)) error {
	// The elector does not wait for the end of a term; here one follows the other.
	terms := make(chan context.Context)
	var leading sync.WaitGroup
	defer leading.Wait()
	leading.Go(func() {
		for {
			select {
			case term := <-terms:
				e.Log.Info("this replica is the safety net now", "identity", e.Identity)
				lead(term)
			case <-ctx.Done():
				return
			}
		}
	})
	lock := lease{&resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: e.Namespace, Name: e.Name},
		Client:     e.Leases,
		LockConfig: resourcelock.ResourceLockConfig{Identity: e.Identity},
	}}
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
			ReleaseOnCancel: true, Name: e.Name,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(term context.Context) {
					select {
					case terms <- term:
					case <-term.Done():
					}
				},
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			return fmt.Errorf("preparing the leader election: %w", err)
		}
		elector.Run(ctx)
	}
	return nil
}

// lease is the Lease as the elector is to see it. An elector that has just begun
// counts from when it first saw the record, however old that is: after an outage
// of every replica nobody would lead for another leaseDuration. So a lease that by
// our clock was not renewed for longer than that is free. Where the clocks differ
// by more than clockSkew a leader may be succeeded while it lives, once: its
// successor then renews.
type lease struct{ *resourcelock.LeaseLock }

// Get reads the record.
func (l lease) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.LeaseLock.Get(ctx)
	if err == nil && time.Since(record.RenewTime.Time) > leaseDuration+clockSkew {
		record.HolderIdentity = ""
	}
	return record, raw, err
}
