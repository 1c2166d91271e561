package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/collectors"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes/scheme"
	admissionv1 "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crlog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/ensure-volumes/ensure-volumes/pkg/authority"
	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/mutate"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
	"github.com/ensure-volumes/ensure-volumes/pkg/serve"
)

// serveWebhook puts the parts together and runs them. When ctx ends, the server
// drains first; the caches stay alive until its last request is answered.
//
// controller-runtime's manager would run them too, but brings servers of admission
// and conversion webhooks, events and profiling along, 1.5 MiB, and never ends where
// it is stopped before its caches are filled.
func serveWebhook(ctx context.Context, o *options, log logr.Logger) error {
	crlog.SetLogger(log)
	klog.SetLogger(log)
	cfg, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the API server's address and credentials: %w", err)
	}
	// API Priority and Fairness protects the API server. A limit of the client's
	// would only add its queue to every pod's creation.
	cfg.QPS, cfg.RateLimiter = -1, nil
	cfg.UserAgent = "ensure-volumes"

	http, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return fmt.Errorf("preparing the clients: %w", err)
	}
	mapper := o.OwnerKinds.Mapper()
	core, live, err := newClients(cfg, http, mapper)
	if err != nil {
		return err
	}
	cached, err := newCache(cfg, http, mapper)
	if err != nil {
		return err
	}
	monitor, err := newMonitor(cfg, http, o)
	if err != nil {
		return err
	}
	admission, err := mutate.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	certificates, err := newCertificates(cfg, http, core, o, log)
	if err != nil {
		return err
	}
	claims := &provision.Claims{}
	var synced atomic.Bool
	s := &serve.Server{
		Listen: o.listen, MaxConnections: o.maxConnections, Certificates: certificates,
		Log: log, Metrics: metrics.Registry,
		Handler: &mutate.Handler{
			Ensurer: &provision.Ensurer{Live: live, Cached: cached, Claims: claims, Log: log, Config: o.Config},
			Log:     log, Metrics: admission,
		},
		Ready: func() error {
			switch {
			case !claims.Synced():
				return errors.New("the claims of the cluster are not known yet: waiting for a list of persistentvolumeclaims")
			case !synced.Load():
				return errors.New("the caches are not filled yet: waiting for lists of namespaces and storageclasses")
			}
			return nil
		},
	}

	life, end := context.WithCancel(context.WithoutCancel(ctx))
	serving, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { claims.Run(life, core) })
	wg.Go(func() { synced.Store(cached.WaitForCacheSync(life)) })
	parts := []func(context.Context) error{cached.Start}
	if monitor != nil {
		parts = append(parts, monitor.Start)
	}
	failures := make([]error, len(parts))
	for i, start := range parts {
		wg.Go(func() {
			defer stop()
			failures[i] = start(life)
		})
	}
	err = s.Start(serving)
	end()
	wg.Wait()
	return errors.Join(err, errors.Join(failures...))
}

// newClients are the clients for the API server: one that watches the claims, and
// one for everything live. Neither limits its own rate, which is asserted on what
// was made of cfg, since client-go's default would let each pod of a burst wait.
func newClients(cfg *rest.Config, http *http.Client, mapper meta.RESTMapper) (typedcorev1.CoreV1Interface, client.Client, error) {
	core, err := typedcorev1.NewForConfigAndClient(cfg, http)
	if err != nil {
		return nil, nil, fmt.Errorf("preparing the clients: %w", err)
	}
	if core.RESTClient().GetRateLimiter() != nil {
		return nil, nil, errors.New("the client for the API server limits its own rate: every burst of pods would wait for it")
	}
	live, err := client.New(cfg, client.Options{Scheme: scheme.Scheme, Mapper: mapper, HTTPClient: http})
	if err != nil {
		return nil, nil, fmt.Errorf("preparing the clients: %w", err)
	}
	return core, live, nil
}

// newCertificates is where the serving certificate comes from.
func newCertificates(cfg *rest.Config, http *http.Client, core typedcorev1.SecretsGetter, o *options, log logr.Logger) (serve.Certificates, error) {
	if o.certificates == folderCertificates {
		return serve.NewFolder(o.certDir, log, metrics.Registry)
	}
	admission, err := admissionv1.NewForConfigAndClient(cfg, http)
	if err != nil {
		return nil, err
	}
	return authority.New(authority.Config{
		Secrets: core.Secrets(o.caNamespace), Secret: o.caSecret,
		Configurations: admission.MutatingWebhookConfigurations(), Configuration: o.configuration,
		CALifetime: o.caLifetime, LeafLifetime: o.leafLifetime,
		Log: log, Metrics: metrics.Registry,
	})
}

// newCache is controller-runtime's cache: informers for the enabled Namespaces'
// metadata and for StorageClasses.
func newCache(cfg *rest.Config, http *http.Client, mapper meta.RESTMapper) (cache.Cache, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	class := &storagev1.StorageClass{}
	shared := true // nobody changes what this cache hands out
	cached, err := cache.New(cfg, cache.Options{
		Scheme: scheme.Scheme, Mapper: mapper, HTTPClient: http,
		// A read that no informer answers is a mistake of ours, and must not become a LIST in a request's path.
		ReaderFailOnMissingInformer: true,
		DefaultTransform:            cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			namespace: {Label: labels.SelectorFromSet(labels.Set{claim.KeyAutoCreate: claim.Enabled}), UnsafeDisableDeepCopy: &shared},
			class:     {UnsafeDisableDeepCopy: &shared},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the cache: %w", err)
	}
	for _, object := range []client.Object{namespace, class} {
		if _, err := cached.GetInformer(context.Background(), object, cache.BlockUntilSynced(false)); err != nil {
			return nil, fmt.Errorf("preparing the informers: %w", err)
		}
	}
	return cached, nil
}

// newMonitor is controller-runtime's server of metrics: its own, client-go's and
// ours, Go's and the process's. It is nil where there is to be none.
func newMonitor(cfg *rest.Config, http *http.Client, o *options) (server.Server, error) {
	err := errors.Join(
		metrics.Registry.Register(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsAll))),
		metrics.Registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	)
	if err != nil {
		return nil, fmt.Errorf("preparing the metrics: %w", err)
	}
	monitor, err := server.NewServer(server.Options{BindAddress: o.metricsListen}, cfg, http)
	if err != nil {
		return nil, fmt.Errorf("preparing the metrics: %w", err)
	}
	return monitor, nil
}
