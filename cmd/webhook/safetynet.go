package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
	"github.com/ensure-volumes/ensure-volumes/pkg/reconcile"
)

// safetyNet is the safety net and the election of the replica that acts as it.
type safetyNet struct {
	net      *reconcile.Net
	election *reconcile.Election
	cached   cache.Cache
}

// newSafetyNet is nil where there is to be none. It comes before everything runs.
func newSafetyNet(cfg *rest.Config, http *http.Client, core typedcorev1.CoreV1Interface, cached cache.Cache, ensurer *provision.Ensurer, o *options, log logr.Logger) (*safetyNet, error) {
	if !o.safetyNet {
		return nil, nil
	}
	// A connection that has died must not keep a replica from leading for the time
	// that it takes to be found out.
	limited := *http
	limited.Timeout = reconcile.LeaseTimeout
	leases, err := coordinationv1.NewForConfigAndClient(cfg, &limited)
	if err != nil {
		return nil, fmt.Errorf("preparing the client for leases: %w", err)
	}
	counters, err := reconcile.NewMetrics(metrics.Registry)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("reading the host's name: %w", err)
	}
	net := &reconcile.Net{
		Ensurer: ensurer, Pods: core, OrphanAfter: o.orphanAfter, DeleteOrphans: o.deleteOrphans, DeleteAfter: o.deleteAfter,
		Identity: host, Log: log, Metrics: counters,
	}
	net.Attach()
	namespaces, err := cached.GetInformer(context.Background(), enabledNamespaces(), cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("preparing the informers: %w", err)
	}
	_, err = namespaces.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(now any) { net.NamespaceChanged(now.(client.Object).GetName()) },
		UpdateFunc: func(old, now any) {
			if !reflect.DeepEqual(old.(client.Object).GetAnnotations(), now.(client.Object).GetAnnotations()) {
				net.NamespaceChanged(now.(client.Object).GetName())
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the informers: %w", err)
	}
	// A pod's name comes again where a container is started anew; a leader's must not.
	return &safetyNet{net: net, cached: cached, election: &reconcile.Election{
		Leases: leases, Namespace: o.leaseNamespace, Name: o.lease, Identity: host + "_" + rand.Text(), Log: log,
	}}, nil
}

// run takes part in the election until ctx ends, once this replica knows all that a leader needs.
func (s *safetyNet) run(ctx context.Context) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { s.net.Watch(ctx) })
	err := wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(context.Context) (bool, error) { return s.net.Synced(), nil })
	if err == nil && !s.cached.WaitForCacheSync(ctx) {
		err = ctx.Err()
	}
	if err != nil {
		return nil // ctx has ended
	}
	return s.election.Run(ctx, s.net.Lead)
}
