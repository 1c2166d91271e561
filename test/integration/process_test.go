package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ensure-volumes/ensure-volumes/test/process"
	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// elsewhere is an installation that the API server does not know: the webhook
// at another address, acting as a service account of the namespace.
func (g *ground) elsewhere(t *testing.T, ns, name string) *stack.Installation {
	t.Helper()
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	in := *g.in
	in.Dir = t.TempDir()
	in.Address, in.URL = address, "https://"+address
	in.Kubeconfig = filepath.Join(in.Dir, "kubeconfig")
	as := g.token(t, ns, name)
	config := clientcmdapi.NewConfig()
	config.CurrentContext = name
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.Clusters[name] = &clientcmdapi.Cluster{Server: as.Host, CertificateAuthorityData: as.CAData}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: as.BearerToken}
	if err := clientcmd.WriteToFile(*config, in.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	return &in
}

// ask is one HTTP request to the webhook: the status, the body, Retry-After.
func ask(ctx context.Context, in *stack.Installation, method, path, body string) (code int, said, retryAfter string, err error) {
	request, err := http.NewRequestWithContext(ctx, method, in.URL+path, strings.NewReader(body))
	if err != nil {
		return 0, "", "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := in.Client().Do(request)
	if err != nil {
		return 0, "", "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(content)), response.Header.Get("Retry-After"), err
}

// The process is alive at once, and ready once it knows the cluster. Until then
// it asks the API server to repeat its reviews.
func TestReadinessFollowsTheCaches(t *testing.T) {
	t.Parallel()
	ns := world.quiet(t)
	world.create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "webhook"}})
	in := world.elsewhere(t, ns, "webhook") // which may do nothing yet
	type started struct {
		process *process.Process
		err     error
	}
	ready := make(chan started, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		process, err := in.Start(ctx)
		ready <- started{process, err}
	}()
	result := sync.OnceValue(func() started { return <-ready })
	t.Cleanup(func() {
		cancel()
		if process := result().process; process != nil {
			process.Kill()
		}
	})
	wait(t, "the process is alive", func(ctx context.Context) error {
		code, said, _, err := ask(ctx, in, http.MethodGet, "/healthz", "")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("GET /healthz: %d %s", code, said)
		}
		return err
	})
	code, said, _, err := ask(t.Context(), in, http.MethodGet, "/readyz", "")
	if want := "not ready: the claims of the cluster are not known yet: waiting for a list of persistentvolumeclaims"; err != nil || code != http.StatusServiceUnavailable || said != want {
		t.Errorf("GET /readyz: %d %q (%v), want %q", code, said, err, want)
	}
	world.faults.Saw(t, "not-ready", fmt.Sprintf("%d %s", code, said))
	const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"CREATE","namespace":"default",
		"resource":{"version":"v1","resource":"pods"},"object":{"spec":{"volumes":[{"persistentVolumeClaim":{"claimName":"data"}}]}}}}`
	code, said, retryAfter, err := ask(t.Context(), in, http.MethodPost, "/mutate?timeout=5s", review)
	if err != nil || code != http.StatusServiceUnavailable || retryAfter != "1" {
		t.Errorf("POST /mutate: %d %q, Retry-After %q (%v)", code, said, retryAfter, err)
	}
	world.faults.Saw(t, "caches-not-filled", fmt.Sprintf("%d %s", code, said))
	if len(ready) > 0 {
		t.Fatalf("the process is ready without permissions: %v", result().err)
	}
	world.create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: ns},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: stack.Name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: ns, Name: "webhook"}},
	})
	if err := result().err; err != nil { // Start has a limit of its own
		t.Fatal(err)
	}
	if code, said, _, err := ask(t.Context(), in, http.MethodGet, "/readyz", ""); err != nil || code != http.StatusOK || said != "ok" {
		t.Errorf("GET /readyz: %d %q (%v)", code, said, err)
	}
	if code, said, _, err := ask(t.Context(), in, http.MethodPost, "/mutate?timeout=5s", review); err != nil || code != http.StatusOK {
		t.Errorf("POST /mutate: %d %q (%v)", code, said, err)
	}
}

// histogram has how long the answers took, by outcome.
const histogram = "ensure_volumes_admission_duration_seconds"

func TestTheMetrics(t *testing.T) {
	t.Parallel()
	ns, person := world.namespace(t), world.author(t)
	before := world.metrics(t)
	for _, name := range []string{"makes-it", "uses-it"} {
		if err := person.Create(t.Context(), pod(ns, name, "data")); err != nil {
			t.Fatal(err)
		}
	}
	refused := status(t, person.Create(t.Context(), hinted(pod(ns, "faulty", "other"), "storage", "none")))
	if refused.Reason != metav1.StatusReasonInvalid {
		t.Errorf("got %+v", refused)
	}
	after := world.metrics(t)
	for _, name := range []string{
		histogram + `_count{outcome="created"}`, histogram + `_count{outcome="allowed"}`, histogram + `_count{outcome="denied"}`,
		histogram + `_sum{outcome="allowed"}`, `ensure_volumes_claims_created_total{dry_run="false"}`,
	} {
		if after[name] <= before[name] {
			t.Errorf("%s went from %v to %v", name, before[name], after[name])
		}
	}
	var below []float64
	for name := range after {
		if bound, ok := strings.CutPrefix(name, histogram+`_bucket{outcome="allowed",le="`); ok {
			if le, err := strconv.ParseFloat(strings.TrimSuffix(bound, `"}`), 64); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if le < 0.001 {
				below = append(below, le)
			}
		}
	}
	slices.Sort(below)
	if len(below) < 4 || below[0] > 0.0001 {
		t.Errorf("buckets below a millisecond: %v", below)
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "ensure_volumes_certificate_expiry_timestamp_seconds"} {
		if after[name] <= 0 {
			t.Errorf("%s is %v", name, after[name])
		}
	}
}
