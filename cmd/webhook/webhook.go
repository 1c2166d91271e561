package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
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
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
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
func serveWebhook(ctx context.Context, o *options, log logr.Logger) error {
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	cfg, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the API server's address and credentials: %w", err)
	}
	// API Priority and Fairness protects the API server. A limit of the client's
	// would only add its queue to every pod's creation.
	cfg.QPS, cfg.RateLimiter = -1, nil
	cfg.UserAgent = "ensure-volumes"

	mgr, err := newManager(cfg, o)
	if err != nil {
		return err
	}
	core, live, err := newClients(cfg, mgr.GetHTTPClient(), mgr.GetRESTMapper())
	if err != nil {
		return err
	}
	admission, err := mutate.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	certificates, err := newCertificates(cfg, mgr.GetHTTPClient(), core, o, log)
	if err != nil {
		return err
	}
	claims := &provision.Claims{}
	var synced atomic.Bool
	s := &serve.Server{
		Listen: o.listen, Certificates: certificates, Log: log,
		Handler: &mutate.Handler{
			Ensurer: &provision.Ensurer{Live: live, Cached: mgr.GetCache(), Claims: claims, Log: log, Config: o.Config},
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
	defer wg.Wait()
	defer end()
	wg.Go(func() { claims.Run(life, core) })
	wg.Go(func() { synced.Store(mgr.GetCache().WaitForCacheSync(life)) })
	var failure error
	managed := make(chan struct{})
	wg.Go(func() {
		defer close(managed)
		defer stop()
		failure = mgr.Start(life)
	})
	err = s.Start(serving)
	end()
	<-managed
	return errors.Join(err, failure)
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

// newManager is controller-runtime's manager: informers for the enabled
// Namespaces' metadata and for StorageClasses, and the metrics' server.
func newManager(cfg *rest.Config, o *options) (ctrl.Manager, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	class := &storagev1.StorageClass{}
	shared := true // nobody changes what these caches hand out
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:         scheme.Scheme,
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return o.OwnerKinds.Mapper(), nil },
		Metrics:        server.Options{BindAddress: o.metricsListen},
		Cache: cache.Options{
			// A read that no informer answers is a mistake of ours, and must not become a LIST in a request's path.
			ReaderFailOnMissingInformer: true,
			DefaultTransform:            cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				namespace: {Label: labels.SelectorFromSet(labels.Set{claim.KeyAutoCreate: claim.Enabled}), UnsafeDisableDeepCopy: &shared},
				class:     {UnsafeDisableDeepCopy: &shared},
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the manager: %w", err)
	}
	for _, object := range []client.Object{namespace, class} {
		if _, err := mgr.GetCache().GetInformer(context.Background(), object, cache.BlockUntilSynced(false)); err != nil {
			return nil, fmt.Errorf("preparing the informers: %w", err)
		}
	}
	return mgr, nil
}
