package integration

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr/funcr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/ensure-volumes/ensure-volumes/pkg/mutate"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// fragile is the webhook's own code inside this process, acting as the shipped
// account, with an API server that fails creates of claims as a test wants, or a clock
// of its own.
type fragile struct {
	server  *httptest.Server
	log     *logged
	reviews atomic.Int32 // what the API server has sent since install
	tries   atomic.Int32 // to create a claim, dry runs left out
}

// fragile starts one that asks fail before each create of a claim: with how
// often it was tried before, and takes an error for the API server's answer. fail may
// change the claim.
func (g *ground) fragile(t *testing.T, fail func(before int, pvc *corev1.PersistentVolumeClaim) error) *fragile {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", g.in.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	kinds, err := provision.ParseOwnerKinds("BatchSandbox.sandbox.opensandbox.io/batchsandboxes")
	if err != nil {
		t.Fatal(err)
	}
	mapper := kinds.Mapper()
	informers, err := cache.New(config, cache.Options{Scheme: scheme.Scheme, Mapper: mapper, ReaderFailOnMissingInformer: true})
	if err != nil {
		t.Fatal(err)
	}
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	for _, object := range []client.Object{namespace, &storagev1.StorageClass{}} {
		if _, err := informers.GetInformer(t.Context(), object, cache.BlockUntilSynced(false)); err != nil {
			t.Fatal(err)
		}
	}
	live, err := client.NewWithWatch(config, client.Options{Scheme: scheme.Scheme, Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	core, err := typedcorev1.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	claims := &provision.Claims{}
	go claims.Run(t.Context(), core)
	go func() { _ = informers.Start(t.Context()) }() // its failure shows below: the caches do not fill
	wait(t, "the caches are filled", func(ctx context.Context) error {
		if !informers.WaitForCacheSync(ctx) || !claims.Synced() {
			return fmt.Errorf("claims: %t", claims.Synced())
		}
		return nil
	})
	f := &fragile{log: &logged{}}
	log := funcr.New(f.log.add, funcr.Options{})
	handler := &mutate.Handler{Log: log, Ensurer: &provision.Ensurer{
		Live: interceptor.NewClient(live, interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
				if pvc, is := object.(*corev1.PersistentVolumeClaim); is && !slices.Contains(options, client.CreateOption(client.DryRunAll)) {
					if err := fail(int(f.tries.Add(1))-1, pvc); err != nil {
						return err
					}
				}
				return c.Create(ctx, object, options...)
			},
		}),
		Cached: everywhere{informers}, Claims: claims, Log: log,
		Config: provision.Config{
			AutoCreate: true, DefaultStorage: resource.MustParse("1Gi"), MissingClass: provision.DenyMissingClass,
			DeleteWithOwner: true, OwnerKinds: kinds,
		},
	}}
	f.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.reviews.Add(1)
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(f.server.Close)
	return f
}

// logged is what was logged. For use by many goroutines at once.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) add(prefix, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(prefix + line + "\n")
}

// String is all of it.
func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// everywhere reads every Namespace as an enabled one. Those of these tests are
// not: the installed webhook would be asked as well.
type everywhere struct{ client.Reader }

// Get reads an object.
func (e everywhere) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	err := e.Reader.Get(ctx, key, object, options...)
	if namespace, is := object.(*metav1.PartialObjectMetadata); is && err == nil {
		namespace.Labels = map[string]string{domain + "/auto-create": "enabled"}
	}
	return err
}

// install has the API server ask the fragile webhook, under a name of its own, about
// a namespace of its own, which it returns.
func (f *fragile) install(t *testing.T, name string, policy admissionregistrationv1.FailurePolicyType, seconds int32) string {
	t.Helper()
	ns := world.quiet(t)
	label := map[string]string{"example.com/fragile": ns}
	world.create(t, &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "fragile-" + ns},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name:                    name,
			AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL:      new(f.server.URL + "/mutate"),
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: label},
			FailurePolicy:     &policy,
			SideEffects:       new(admissionregistrationv1.SideEffectClassNoneOnDryRun),
			TimeoutSeconds:    &seconds,
		}},
	})
	patch := client.MergeFrom(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
	if err := world.admin.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: label}}, patch); err != nil {
		t.Fatal(err)
	}
	wait(t, "the API server asks "+name, func(ctx context.Context) error {
		p := pod(ns, "probe", "probe")
		err := world.admin.Create(ctx, p, client.DryRunAll)
		if err == nil && p.Annotations[domain+"/created"] == "" {
			err = fmt.Errorf("the pod was admitted without its answer")
		}
		return err
	})
	f.reviews.Store(0)
	return ns
}
