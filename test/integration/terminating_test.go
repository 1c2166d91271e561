package integration

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// hold keeps a claim Terminating until it is removed.
const hold = "example.com/hold"

// terminating makes a claim that is being deleted and held, and returns once the
// webhook refuses pods for it.
func (g *ground) terminating(t *testing.T, ns, name string) *corev1.PersistentVolumeClaim {
	t.Helper()
	c := claim(ns, name, "5Gi")
	c.Finalizers = []string{hold}
	g.create(t, c)
	t.Cleanup(func() { _ = g.release(context.Background(), c) }) // most tests have released it
	if err := g.admin.Delete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	wait(t, "nobody but we hold the claim", func(ctx context.Context) error {
		// The controller-manager takes its own finalizer away.
		if err := g.admin.Get(ctx, client.ObjectKeyFromObject(c), c); err != nil {
			return err
		}
		if len(c.Finalizers) > 1 {
			return fmt.Errorf("finalizers %q", c.Finalizers)
		}
		return nil
	})
	impatient := g.impatient(t)
	wait(t, "the webhook knows that the claim is being deleted", func(ctx context.Context) error {
		_, err := impatient.CoreV1().Pods(ns).Create(ctx, pod(ns, "asks", name), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return fmt.Errorf("the pod was admitted")
		}
		return nil
	})
	return c
}

// release lets a claim go.
func (g *ground) release(ctx context.Context, c *corev1.PersistentVolumeClaim) error {
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	return client.IgnoreNotFound(g.admin.Patch(ctx, c.DeepCopy(), patch))
}

// impatient is the author with a client that never tries a second time.
func (g *ground) impatient(t *testing.T) kubernetes.Interface {
	t.Helper()
	return g.plain(t, func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(r)
			if err == nil {
				response.Header.Del("Retry-After") // what client-go waits for
			}
			return response, err
		})
	})
}

// plain is the author with client-go as it comes, its answers seen by through.
func (g *ground) plain(t *testing.T, through func(http.RoundTripper) http.RoundTripper) kubernetes.Interface {
	t.Helper()
	config := rest.CopyConfig(g.author(t).config)
	config.Wrap(through)
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// unavailable is how often the API server has answered 503 in a namespace.
func (g *ground) unavailable(t *testing.T, ns string) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(g.cp.Dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range bytes.Lines(content) {
		if bytes.Contains(line, []byte(`"namespace":"`+ns+`"`)) && bytes.Contains(line, []byte(`"code":503`)) {
			n++
		}
	}
	return n
}

func beingDeleted(ns, name string) string {
	return "PersistentVolumeClaim " + ns + "/" + name + " is being deleted and cannot be used; " +
		"try again once it is gone (a pod that still uses it holds it)"
}

func TestAPlainClientWaitsForATerminatingClaim(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	old := world.terminating(t, ns, "data")

	var refusals atomic.Int32
	clients := world.plain(t, func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(r)
			if err == nil && response.StatusCode == http.StatusServiceUnavailable {
				refusals.Add(1)
			}
			return response, err
		})
	})
	answered := make(chan error, 1)
	go func() {
		_, err := clients.CoreV1().Pods(ns).Create(t.Context(), hinted(pod(ns, "sb1", "data", "other"), "storage", "2Gi"), metav1.CreateOptions{})
		answered <- err
	}()
	wait(t, "the pod was refused twice", func(context.Context) error {
		select {
		case err := <-answered:
			t.Fatalf("the client did not wait: %v", err)
		default:
		}
		if n := refusals.Load(); n < 2 {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
	world.wantClaims(t, ns, "data") // nothing is created beside a claim that refuses
	if err := world.release(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-answered:
		if err != nil {
			t.Errorf("the claim is gone, and the pod: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the claim is gone, and the client waits on")
	}
	world.wantClaims(t, ns, "data", "other")
	fresh := world.claim(t, ns, "data")
	if size := fresh.Spec.Resources.Requests.Storage().String(); fresh.UID == old.UID || size != "2Gi" {
		t.Errorf("the claim has uid %s, which was %s, and %s", fresh.UID, old.UID, size)
	}
}

func TestTheAnswerForATerminatingClaim(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	held := world.terminating(t, ns, "data")
	_, err := world.impatient(t).CoreV1().Pods(ns).Create(t.Context(), pod(ns, "sb1", "data"), metav1.CreateOptions{})
	world.saw(t, "claim-terminating", err)
	s := status(t, err)
	if s.Code != 503 || s.Reason != metav1.StatusReasonServiceUnavailable || s.Details == nil || s.Details.RetryAfterSeconds != 1 ||
		!strings.HasSuffix(s.Message, beingDeleted(ns, "data")) {
		t.Errorf("got %+v", s)
	}
	wantUntouched(t, held, world.claim(t, ns, "data"))
}

func TestKubectlWaitsForATerminatingClaim(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	old := world.terminating(t, ns, "data")
	manifest := world.manifest(t, pod(ns, "sb1", "data"))
	t.Run("and gives up after ten seconds with the reason", func(t *testing.T) {
		output, refused := world.kubectl(t, ns, manifest, "create", "-f", "-")
		if !refused || !strings.Contains(output, "(ServiceUnavailable)") || !strings.Contains(output, beingDeleted(ns, "data")) {
			t.Errorf("kubectl says %s", output)
		}
	})
	t.Run("and succeeds once it is gone", func(t *testing.T) {
		type answer struct {
			output  string
			refused bool
		}
		answered := make(chan answer, 1)
		go func() {
			output, err := world.cp.Kubectl(t.Context(), manifest, "create", "--as", author, "-n", ns, "-f", "-")
			answered <- answer{output, err != nil}
		}()
		before := world.unavailable(t, ns)
		wait(t, "kubectl was refused twice", func(context.Context) error {
			select {
			case a := <-answered:
				t.Fatalf("kubectl did not wait: %+v", a)
			default:
			}
			if n := world.unavailable(t, ns) - before; n < 2 {
				return fmt.Errorf("%d times", n)
			}
			return nil
		})
		if err := world.release(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		if a := <-answered; a.refused || a.output != "pod/sb1 created\n" {
			t.Errorf("kubectl says %+v", a)
		}
		if fresh := world.claim(t, ns, "data"); fresh.UID == old.UID {
			t.Error("the claim is the old one")
		}
	})
}
