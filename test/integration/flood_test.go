package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// accounts are service accounts of a namespace, each with a token of its own,
// that may create pods and no claims: as the controllers that make sandboxes.
// Their requests go through a transport of the caller's.
func (g *ground) accounts(t *testing.T, ns string, n int, through func(http.RoundTripper) http.RoundTripper) []*person {
	t.Helper()
	people := make([]*person, n)
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: author},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: author},
	}
	for i := range people {
		name := fmt.Sprintf("controller-%d", i)
		g.create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}})
		binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: "ServiceAccount", Namespace: ns, Name: name})
		p := &person{config: g.token(t, ns, name), said: &warnings{}}
		p.config.WarningHandler = p.said
		p.config.Wrap(through)
		var err error
		if p.Client, err = client.New(p.config, client.Options{Scheme: scheme.Scheme, Mapper: g.admin.RESTMapper()}); err != nil {
			t.Fatal(err)
		}
		people[i] = p
	}
	g.create(t, binding)
	for _, p := range people {
		wait(t, "the service account may create pods", func(ctx context.Context) error {
			return p.Create(ctx, pod(ns, "probe"), client.DryRunAll)
		})
	}
	return people
}

// token is a configuration that acts with a real token of a service account.
func (g *ground) token(t *testing.T, ns, name string) *rest.Config {
	t.Helper()
	token, err := g.clients.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(g.cp.Config)
	config.BearerToken, config.QPS = token.Status.Token, -1
	return config
}

// gate holds pods' creations back until all that are to come have come, and
// then lets them go at once. Dry runs pass.
func gate(n int) func(http.RoundTripper) http.RoundTripper {
	var missing atomic.Int64
	missing.Store(int64(n))
	open := make(chan struct{})
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/pods") && !r.URL.Query().Has("dryRun") {
				if missing.Add(-1) == 0 {
					close(open)
				}
				select {
				case <-open:
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}
			return next.RoundTrip(r)
		})
	}
}

// flood creates n pods, all at once, each by a request of its own, the accounts
// taking turns, and returns them as they are stored. All must be admitted, at
// the first try and with our answer, and none of our calls must have waited for
// a limit of our own.
func (g *ground) flood(t *testing.T, ns string, n int, nth func(i int) *corev1.Pod) []corev1.Pod {
	t.Helper()
	people := g.accounts(t, ns, 5, gate(n))
	t.Cleanup(func() { g.sweep(t, ns) })
	passed, err := g.failOpen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := g.metrics(t)
	var wg sync.WaitGroup
	errs := make([]error, n)
	start := time.Now()
	for i := range n {
		wg.Go(func() { errs[i] = people[i%len(people)].Create(t.Context(), nth(i)) })
	}
	wg.Wait()
	took := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		t.Errorf("pods were refused: %v", err)
	}
	for i, p := range people {
		if warned := p.warned(); len(warned) > 0 {
			t.Errorf("account %d was warned %d times, first %q", i, len(warned), warned[0])
		}
	}
	after := g.metrics(t)
	t.Logf("%d pods in %.1f s, each answered by us within %v s", n, took.Seconds(), slowest(before, after))
	for _, outcome := range []string{"denied", "bad_request", "panic", "retry"} {
		name := `ensure_volumes_admission_duration_seconds_count{outcome="` + outcome + `"}`
		if more := after[name] - before[name]; more != 0 {
			t.Errorf("%s: %v more", name, more)
		}
	}
	if now, err := g.failOpen(t.Context()); err != nil || now != passed {
		t.Errorf("%d reviews passed without our answer (%v)", now-passed, err)
	}
	log, err := os.ReadFile(g.webhook.LogPath)
	if err != nil {
		t.Fatal(err)
	}
	// client-go says it like this when a request has waited for its own limit.
	for _, words := range []string{"client-side throttling", "Waited before sending request", "Waited for"} {
		if bytes.Contains(log, []byte(words)) {
			t.Errorf("the webhook's log holds %q", words)
		}
	}
	var pods corev1.PodList
	if err := g.admin.List(t.Context(), &pods, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != n {
		t.Errorf("there are %d pods, want %d", len(pods.Items), n)
	}
	return pods.Items
}

// slowest is a bound, in seconds, that all answers between two looks at the
// webhook's metrics kept.
func slowest(before, after map[string]float64) float64 {
	const histogram = "ensure_volumes_admission_duration_seconds"
	within, all := map[float64]float64{}, 0.0
	for name, value := range after {
		more := value - before[name]
		if strings.HasPrefix(name, histogram+"_count{") {
			all += more
		} else if _, bound, ok := strings.Cut(name, `le="`); ok && strings.HasPrefix(name, histogram+"_bucket{") {
			le, _ := strconv.ParseFloat(strings.TrimSuffix(bound, `"}`), 64) // of a metric: a number or +Inf
			within[le] += more
		}
	}
	for _, le := range slices.Sorted(maps.Keys(within)) {
		if within[le] == all {
			return le
		}
	}
	return math.Inf(1)
}

// sweep removes a namespace's pods and claims, which other tests need not carry.
func (g *ground) sweep(t *testing.T, ns string) {
	t.Helper()
	for _, object := range []client.Object{&corev1.Pod{}, &corev1.PersistentVolumeClaim{}} {
		if err := g.admin.DeleteAllOf(context.Background(), object, client.InNamespace(ns), client.GracePeriodSeconds(0)); err != nil {
			t.Error(err)
		}
	}
}

// Not parallel: it takes the machine for itself and counts everybody's reviews.
func TestFiveHundredPodsAtOnceOnOneClaim(t *testing.T) {
	ns := world.namespace(t)
	made := 0
	for _, p := range world.flood(t, ns, 500, func(i int) *corev1.Pod {
		return hinted(pod(ns, fmt.Sprintf("sb-%d", i), "data"), "storage", "3Gi")
	}) {
		if _, ok := p.Annotations[domain+"/created"]; ok {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d pods say that they made the claim", made)
	}
	world.wantClaims(t, ns, "data")
	c := world.claim(t, ns, "data")
	if got, want := managers(c), "ensure-volumes Update"; strings.Join(got, ",") != want {
		t.Errorf("the claim was written by %q", got)
	}
	if by := c.Annotations[domain+"/requested-by"]; !strings.HasPrefix(by, "system:serviceaccount:"+ns+":controller-") {
		t.Errorf("the claim was asked for by %q", by)
	}
}

// Not parallel either.
func TestTwoHundredPodsAtOnceWithAClaimEach(t *testing.T) {
	world.eachItsClaim(t, world.namespace(t), 200)
}

// A quota that allows them all refuses none, although each claim updates it.
// Not parallel either.
func TestTwoHundredPodsAtOnceUnderAQuota(t *testing.T) {
	ns := world.namespace(t)
	hard := map[string]string{"persistentvolumeclaims": "200", "requests.storage": "200Gi"}
	quota := world.quota(t, ns, hard)
	world.eachItsClaim(t, ns, 200)
	wait(t, "the quota has counted all", func(ctx context.Context) error {
		if err := world.admin.Get(ctx, client.ObjectKeyFromObject(quota), quota); err != nil {
			return err
		}
		for name, amount := range hard {
			if used := quota.Status.Used[corev1.ResourceName(name)]; used.String() != amount {
				return fmt.Errorf("%s: %s of %s are used", name, used.String(), amount)
			}
		}
		return nil
	})
	s := status(t, world.author(t).Create(t.Context(), pod(ns, "one-more", "one-more")))
	wantForbidden(t, s, "limited: persistentvolumeclaims=200,requests.storage=200Gi")
}

// eachItsClaim floods a namespace with n pods that have a claim each.
func (g *ground) eachItsClaim(t *testing.T, ns string, n int) {
	t.Helper()
	claims := make([]string, n)
	for i := range claims {
		claims[i] = fmt.Sprintf("data-%d", i)
	}
	for _, p := range g.flood(t, ns, n, func(i int) *corev1.Pod {
		return pod(ns, fmt.Sprintf("sb-%d", i), claims[i])
	}) {
		if got, want := p.Annotations[domain+"/created"], p.Spec.Volumes[0].PersistentVolumeClaim.ClaimName; got != want {
			t.Errorf("pod %s says that %q were created, want %q", p.Name, got, want)
		}
	}
	g.wantClaims(t, ns, claims...)
	for _, name := range []string{claims[0], claims[n/2], claims[n-1]} {
		if got := g.describe(t.Context(), ns, name); got != defaults {
			t.Errorf("claim %s: %s", name, got)
		}
	}
}
