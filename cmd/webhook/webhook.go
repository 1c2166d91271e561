package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
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

	web, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return fmt.Errorf("preparing the clients: %w", err)
	}
	mapper := o.OwnerKinds.Mapper()
	core, live, err := newClients(cfg, web, mapper)
	if err != nil {
		return err
	}
	cached, err := newCache(cfg, web, mapper)
	if err != nil {
		return err
	}
	monitor, err := newMonitor(ctx, o)
	if err != nil {
		return err
	}
	admission, err := mutate.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	certificates, err := newCertificates(cfg, web, core, o, log)
	if err != nil {
		return err
	}
	claims := &provision.Claims{}
	ensurer := &provision.Ensurer{Live: live, Cached: cached, Claims: claims, Log: log, Config: o.Config}
	var synced atomic.Bool
	safety, err := newSafetyNet(cfg, web, core, cached, ensurer, o, log)
	if err != nil {
		return err
	}
	s := &serve.Server{
		Listen: o.listen, MaxConnections: o.maxConnections, Certificates: certificates,
		Log: log, Metrics: metrics.Registry,
		Handler: &mutate.Handler{
			Ensurer: ensurer, Log: log, Metrics: admission,
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
	if safety != nil {
		// It ends with the first signal, not after the last answer: another replica takes over.
		parts = append(parts, func(context.Context) error { return safety.run(serving) })
	}
	if monitor != nil {
		parts = append(parts, monitor)
	}
	failures := make([]error, len(parts))
	for i, start := range parts {
		wg.Go(func() {
			defer stop() // of what runs for ever, an end is a failure
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
	// What every claim and every pod comes through speaks protobuf, as the control plane
	// itself does: JSON would cost the API server an encoding for us alone. The other
	// client chooses for itself, by what it is asked for.
	compact := rest.CopyConfig(cfg)
	compact.ContentType = runtime.ContentTypeProtobuf
	compact.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	core, err := typedcorev1.NewForConfigAndClient(compact, http)
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
	namespace, class := enabledNamespaces(), &storagev1.StorageClass{}
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

// enabledNamespaces says to the cache which of its informers is meant: that of
// Namespaces has the enabled ones, their metadata only.
func enabledNamespaces() *metav1.PartialObjectMetadata {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return namespace
}

// newMonitor answers /metrics at an address until its context ends: controller-runtime's
// metrics, client-go's and ours, Go's and the process's. It is nil where there is to be none.
func newMonitor(ctx context.Context, o *options) (func(context.Context) error, error) {
	if o.metricsListen == "0" {
		return nil, nil
	}
	err := errors.Join(
		metrics.Registry.Register(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsAll))),
		metrics.Registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	)
	if err != nil {
		return nil, fmt.Errorf("preparing the metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.metricsListen)
	if err != nil {
		return nil, fmt.Errorf("listening for /metrics: %w", err)
	}
	return func(ctx context.Context) error {
		server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
		defer context.AfterFunc(ctx, func() { _ = server.Close() })() // whoever scrapes comes again
		if err := server.Serve(listener); ctx.Err() == nil {
			return fmt.Errorf("serving /metrics: %w", err)
		}
		return nil
	}, nil
}
