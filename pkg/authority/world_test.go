package authority

import (
	"context"
	"encoding/json"
	"maps"
	"strconv"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/fake"
	admissionclient "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	clienttesting "k8s.io/client-go/testing"
)

const (
	secretName = "ensure-volumes-ca"
	namespace  = "ensure-volumes"
	configName = "ensure-volumes"
	host       = "ensure-volumes.ensure-volumes.svc"
)

var (
	secretsResource = corev1.SchemeGroupVersion.WithResource("secrets")
	configsResource = admissionv1.SchemeGroupVersion.WithResource("mutatingwebhookconfigurations")
)

// world is an API server in memory with a clock of its own. Unlike the plain fake it counts resource versions and refuses
// writes at an old one, and it remembers which caBundle was published when.
type world struct {
	t       *testing.T
	clients *fake.Clientset

	mu      sync.Mutex
	clock   time.Time
	version int
	history []published

	// first, if set, runs once, before one of a replica's next calls: another is faster. skip is how many go before.
	first func()
	skip  int
}

// published is what an API server that heard of the configuration at that time believes from then on.
type published struct {
	at   time.Time
	live live
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: time.Now().Truncate(time.Second)}
	w.clients = fake.NewClientset()
	for _, verb := range []string{"create", "update", "patch"} {
		w.clients.PrependReactor(verb, "*", w.write)
	}
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

// write judges a write by its resource version.
func (w *world) write(action clienttesting.Action) (bool, runtime.Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	resource := action.GetResource()
	next := func(object metav1.Object) {
		w.version++
		object.SetResourceVersion(strconv.Itoa(w.version))
	}
	current := func(name string) (metav1.Object, runtime.Object) {
		object, err := w.clients.Tracker().Get(resource, action.GetNamespace(), name)
		if err != nil {
			return nil, nil
		}
		accessor, _ := meta.Accessor(object)
		return accessor, object
	}
	switch action := action.(type) {
	case clienttesting.CreateActionImpl:
		accessor, _ := meta.Accessor(action.GetObject())
		next(accessor)
	case clienttesting.UpdateActionImpl:
		accessor, _ := meta.Accessor(action.GetObject())
		if now, _ := current(accessor.GetName()); now != nil && now.GetResourceVersion() != accessor.GetResourceVersion() {
			return true, nil, apierrors.NewConflict(resource.GroupResource(), accessor.GetName(), nil)
		}
		next(accessor)
	case clienttesting.PatchActionImpl:
		now, object := current(action.GetName())
		if now == nil {
			return true, nil, apierrors.NewNotFound(resource.GroupResource(), action.GetName())
		}
		var at metav1.PartialObjectMetadata
		if err := json.Unmarshal(action.GetPatch(), &at); err != nil {
			return true, nil, err
		}
		if at.ResourceVersion != now.GetResourceVersion() {
			return true, nil, apierrors.NewConflict(resource.GroupResource(), action.GetName(), nil)
		}
		before, err := json.Marshal(object)
		if err != nil {
			return true, nil, err
		}
		after, err := strategicpatch.StrategicMergePatch(before, action.GetPatch(), &admissionv1.MutatingWebhookConfiguration{})
		if err != nil {
			return true, nil, err
		}
		config := &admissionv1.MutatingWebhookConfiguration{}
		if err := json.Unmarshal(after, config); err != nil {
			return true, nil, err
		}
		next(config)
		w.history = append(w.history, published{w.clock, readLive(config)})
		return true, config, w.clients.Tracker().Update(resource, config, "")
	}
	return false, nil, nil
}

// overtaken are the clients of a replica that another may overtake before it writes.
type overtakenSecrets struct {
	coreclient.SecretInterface
	*world
}

func (s overtakenSecrets) Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.Secret, error) {
	s.overtake()
	return s.SecretInterface.Get(ctx, name, opts)
}

func (s overtakenSecrets) Create(ctx context.Context, o *corev1.Secret, opts metav1.CreateOptions) (*corev1.Secret, error) {
	s.overtake()
	return s.SecretInterface.Create(ctx, o, opts)
}

func (s overtakenSecrets) Update(ctx context.Context, o *corev1.Secret, opts metav1.UpdateOptions) (*corev1.Secret, error) {
	s.overtake()
	return s.SecretInterface.Update(ctx, o, opts)
}

type overtakenConfigs struct {
	admissionclient.MutatingWebhookConfigurationInterface
	*world
}

func (c overtakenConfigs) Get(ctx context.Context, name string, opts metav1.GetOptions) (*admissionv1.MutatingWebhookConfiguration, error) {
	c.overtake()
	return c.MutatingWebhookConfigurationInterface.Get(ctx, name, opts)
}

func (c overtakenConfigs) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, sub ...string) (*admissionv1.MutatingWebhookConfiguration, error) {
	c.overtake()
	return c.MutatingWebhookConfigurationInterface.Patch(ctx, name, pt, data, opts, sub...)
}

func (w *world) overtake() {
	if w.skip--; w.skip < 0 && w.first != nil {
		first := w.first
		w.first = nil
		first()
	}
}

// install makes the configuration as it is shipped: without a caBundle.
func (w *world) install(hosts ...string) {
	w.t.Helper()
	config := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: configName}}
	path, port := "/mutate", int32(443)
	for i, url := range hosts {
		config.Webhooks = append(config.Webhooks, admissionv1.MutatingWebhook{
			Name: "w" + strconv.Itoa(i), ClientConfig: admissionv1.WebhookClientConfig{URL: &url},
		})
	}
	if len(hosts) == 0 {
		config.Webhooks = []admissionv1.MutatingWebhook{{Name: "claims", ClientConfig: admissionv1.WebhookClientConfig{
			Service: &admissionv1.ServiceReference{Namespace: namespace, Name: "ensure-volumes", Path: &path, Port: &port},
		}}}
	}
	if _, err := w.clients.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(w.t.Context(), config, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// replica is another process.
func (w *world) replica(change func(*Config)) *Authority {
	w.t.Helper()
	config := Config{
		Secrets: overtakenSecrets{w.clients.CoreV1().Secrets(namespace), w}, Secret: secretName,
		Configurations: overtakenConfigs{w.clients.AdmissionregistrationV1().MutatingWebhookConfigurations(), w}, Configuration: configName,
		CALifetime: 30 * time.Hour, LeafLifetime: 10 * time.Hour,
	}
	if change != nil {
		change(&config)
	}
	a, err := New(config)
	if err != nil {
		w.t.Fatal(err)
	}
	a.now = w.now
	return a
}

func (w *world) look(replicas ...*Authority) {
	w.t.Helper()
	for _, a := range replicas {
		if err := a.pass(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// data is what the Secret holds, nil where there is none.
func (w *world) data() map[string][]byte {
	object, err := w.clients.Tracker().Get(secretsResource, namespace, secretName)
	if err != nil {
		return nil
	}
	return object.(*corev1.Secret).Data
}

func (w *world) state() state {
	w.t.Helper()
	s, _, fault := decode(w.data())
	if fault != "" {
		w.t.Fatal(fault)
	}
	return s
}

// setData is somebody's hand at the Secret.
func (w *world) setData(data map[string][]byte) {
	w.t.Helper()
	object, err := w.clients.Tracker().Get(secretsResource, namespace, secretName)
	if err != nil {
		return
	}
	secret := object.(*corev1.Secret).DeepCopy()
	secret.Data = maps.Clone(data)
	if _, err := w.clients.CoreV1().Secrets(namespace).Update(w.t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) deleteSecret() {
	w.t.Helper()
	err := w.clients.CoreV1().Secrets(namespace).Delete(w.t.Context(), secretName, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		w.t.Fatal(err)
	}
}

func (w *world) config() *admissionv1.MutatingWebhookConfiguration {
	w.t.Helper()
	object, err := w.clients.Tracker().Get(configsResource, "", configName)
	if err != nil {
		w.t.Fatal(err)
	}
	return object.(*admissionv1.MutatingWebhookConfiguration).DeepCopy()
}

// setBundle is somebody's hand at the configuration.
func (w *world) setBundle(bundle []byte) {
	w.t.Helper()
	for {
		config := w.config()
		for i := range config.Webhooks {
			config.Webhooks[i].ClientConfig.CABundle = bundle
		}
		_, err := w.clients.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(w.t.Context(), config, metav1.UpdateOptions{})
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			w.t.Fatal(err)
		}
	}
}
