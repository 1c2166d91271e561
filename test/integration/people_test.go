package integration

import (
	"context"
	"errors"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// patience bounds every wait for what the control plane does in the background.
const patience = 30 * time.Second

// person is a user of the API server who notes the warnings that come with the
// answers. For use by many goroutines at once.
type person struct {
	client.Client
	config *rest.Config
	said   *warnings
}

type warnings struct {
	mu   sync.Mutex
	list []string
}

// HandleWarningHeader notes a warning; for client-go.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, text)
}

// warned are the warnings since the last call.
func (p *person) warned() []string {
	p.said.mu.Lock()
	defer p.said.mu.Unlock()
	list := p.said.list
	p.said.list = nil
	return list
}

// as is a client that acts as a user.
func (g *ground) as(t *testing.T, user string, groups ...string) *person {
	t.Helper()
	p := &person{config: rest.CopyConfig(g.cp.Config), said: &warnings{}}
	p.config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	p.config.WarningHandler = p.said
	var err error
	if p.Client, err = client.New(p.config, client.Options{Scheme: scheme.Scheme, Mapper: g.admin.RESTMapper()}); err != nil {
		t.Fatal(err)
	}
	return p
}

// author may create, get, list and delete pods, and no claims.
func (g *ground) author(t *testing.T) *person {
	t.Helper()
	return g.as(t, author)
}

// through has all of a person's requests pass a transport.
func (p *person) through(t *testing.T, transport func(http.RoundTripper) http.RoundTripper) {
	t.Helper()
	p.config.Wrap(transport)
	var err error
	if p.Client, err = client.New(p.config, client.Options{Scheme: p.Scheme(), Mapper: p.RESTMapper()}); err != nil {
		t.Fatal(err)
	}
}

// kubectl runs kubectl as the author in a namespace; refused says whether it
// reported a failure.
func (g *ground) kubectl(t *testing.T, ns, stdin string, args ...string) (output string, refused bool) {
	t.Helper()
	output, err := g.cp.Kubectl(t.Context(), stdin, append([]string{"--as", author, "--namespace", ns}, args...)...)
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return output, err != nil
}

// manifest is an object as somebody would hand it to kubectl.
func (g *ground) manifest(t *testing.T, object client.Object) string {
	t.Helper()
	kind, err := g.admin.GroupVersionKindFor(object)
	if err != nil {
		t.Fatal(err)
	}
	object = object.DeepCopyObject().(client.Object)
	object.GetObjectKind().SetGroupVersionKind(kind)
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// create makes an object as the administrator. What has no namespace is
// removed with the test; namespaces stay, since removing them takes the
// control plane's time and the whole control plane goes.
func (g *ground) create(t *testing.T, object client.Object) {
	t.Helper()
	if err := g.admin.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	if _, ok := object.(*corev1.Namespace); ok || object.GetNamespace() != "" {
		return
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(g.admin.Delete(context.Background(), object)); err != nil {
			t.Error(err)
		}
	})
}

// pod is a pod that mounts those claims.
func pod(ns, name string, claims ...string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "sandbox"}}},
	}
	for i, c := range claims {
		volume := "v" + strconv.Itoa(i)
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c},
		}})
		p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: "/" + volume})
	}
	return p
}

// hinted adds annotations under our domain to a pod: pairs of a key, such as
// "storage" for every claim, or scoped("home", "storage") for one, and a value.
func hinted(p *corev1.Pod, pairs ...string) *corev1.Pod {
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	for pair := range slices.Chunk(pairs, 2) {
		key := pair[0]
		if !slices.Contains([]byte(key), '/') {
			key = domain + "/" + key
		}
		p.Annotations[key] = pair[1]
	}
	return p
}

// domain is the DNS part of every key of ours.
const domain = "volumes.opensandbox.io"

// scoped is the key of one claim's own hint.
func scoped(claim, field string) string { return claim + "." + domain + "/" + field }

// owned makes an object the pod's controller.
func owned(p *corev1.Pod, apiVersion, kind, name string, uid types.UID) *corev1.Pod {
	yes := true
	p.OwnerReferences = append(p.OwnerReferences, metav1.OwnerReference{
		APIVersion: apiVersion, Kind: kind, Name: name, UID: uid, Controller: &yes, BlockOwnerDeletion: &yes,
	})
	return p
}

// claim is a claim as somebody would make it by hand.
func claim(ns, name, size string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceStorage: resource.MustParse(size),
			}},
		},
	}
}

// claims are the names of a namespace's claims, sorted.
func (g *ground) claims(t *testing.T, ns string) []string {
	t.Helper()
	var list corev1.PersistentVolumeClaimList
	if err := g.admin.List(t.Context(), &list, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(list.Items))
	for i := range list.Items {
		names[i] = list.Items[i].Name
	}
	slices.Sort(names)
	return names
}

// wantClaims holds that a namespace has exactly these claims.
func (g *ground) wantClaims(t *testing.T, ns string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := g.claims(t, ns); !slices.Equal(got, want) {
		t.Errorf("the claims are %q, want %q", got, want)
	}
}

// claim reads one claim.
func (g *ground) claim(t *testing.T, ns, name string) *corev1.PersistentVolumeClaim {
	t.Helper()
	pvc := &corev1.PersistentVolumeClaim{}
	if err := g.admin.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, pvc); err != nil {
		t.Fatal(err)
	}
	return pvc
}

// wait polls until what holds (nil) and fails the test when it does not in time.
// It may be used in a test's cleanup as well.
func wait(t *testing.T, what string, holds func(ctx context.Context) error) {
	t.Helper()
	waitFor(t, patience, what, holds)
}

// waitFor is wait with a limit of its own. It fails with the last error that the
// limit has not cut short: the context's says nothing about what was waited for.
func waitFor(t *testing.T, limit time.Duration, what string, holds func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), limit)
	defer cancel()
	var last error
	for {
		err := holds(ctx)
		if err == nil {
			return
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting until %s: %v", what, last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// status is what the API server answered; the test ends where it did not refuse.
func status(t *testing.T, err error) metav1.Status {
	t.Helper()
	var s apierrors.APIStatus
	if !errors.As(err, &s) {
		t.Fatalf("got %v, want a refusal", err)
	}
	return s.Status()
}
