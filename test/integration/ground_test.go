package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/test/catalogue"
	"github.com/ensure-volumes/ensure-volumes/test/process"
	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

const (
	entry   = "claims.volumes.opensandbox.io" // of the MutatingWebhookConfiguration
	account = "system:serviceaccount:" + stack.Name + ":" + stack.Name
	author  = "author" // may create pods and no claims

	standard = "standard" // the default StorageClass
	fast     = "fast"
)

// world is the ground that all tests stand on. It is set once, before any test
// runs: a control plane for each would take minutes.
var world *ground

// ground is a control plane with the webhook installed and running.
type ground struct {
	cp      *stack.ControlPlane
	in      *stack.Installation
	webhook *process.Process
	admin   client.Client
	clients kubernetes.Interface // the administrator's as well
	faults  *catalogue.Part      // of docs/errors.md

	outages int // reviews that tests about outages let pass without our answer
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// run prepares the ground, runs the tests and takes everything down again. The
// logs are kept where anything failed.
func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "ensure-volumes-integration-")
	if err != nil {
		return 1, err
	}
	g := &ground{}
	if g.faults, err = catalogue.Open("Kubernetes"); err != nil {
		return 1, err
	}
	defer func() {
		err = errors.Join(err, g.stop())
		if code == 0 && err == nil {
			err = os.RemoveAll(dir)
			return
		}
		fmt.Fprintf(os.Stderr, "the logs are kept in %s\n%s", dir, g.tail())
	}()
	if err := g.start(ctx, dir); err != nil {
		return 1, err
	}
	world = g
	code = m.Run()
	return code, errors.Join(g.checkFailOpen(ctx), g.faults.Check())
}

func (g *ground) start(ctx context.Context, dir string) (err error) {
	root, err := process.Root()
	if err != nil {
		return err
	}
	if g.cp, err = stack.StartControlPlane(ctx, filepath.Join(dir, "cluster"), os.Stderr); err != nil {
		return err
	}
	if g.in, err = g.cp.Install(ctx, root); err != nil {
		return err
	}
	if g.clients, err = kubernetes.NewForConfig(g.cp.Config); err != nil {
		return err
	}
	if g.admin, err = client.New(g.cp.Config, client.Options{Scheme: scheme.Scheme}); err != nil {
		return err
	}
	for _, object := range groundObjects() {
		if err := g.admin.Create(ctx, object); err != nil {
			return err
		}
	}
	g.webhook, err = g.in.Start(ctx)
	return err
}

// groundObjects are what an administrator has prepared: two classes of storage
// with nothing behind them, and the user who creates pods.
func groundObjects() []client.Object {
	return []client.Object{
		class(standard, true),
		class(fast, false),
		&rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: author},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"create", "get", "list", "delete"}}},
		},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: author},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: author},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: author}},
		},
	}
}

func class(name string, isDefault bool) *storagev1.StorageClass {
	mode := storagev1.VolumeBindingWaitForFirstConsumer
	return &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": strconv.FormatBool(isDefault)},
		},
		Provisioner:       "example.com/nothing",
		VolumeBindingMode: &mode,
	}
}

// stop ends everything that was started. The control plane goes first: a
// webhook drains for as long as an API server keeps a connection to it.
func (g *ground) stop() error {
	var err error
	if g.cp != nil {
		err = g.cp.Stop()
	}
	if g.webhook != nil {
		err = errors.Join(err, g.webhook.Stop())
	}
	return err
}

// tail is the end of the log of the webhook that ran last.
func (g *ground) tail() string {
	if g.webhook == nil {
		return ""
	}
	content, err := os.ReadFile(g.webhook.LogPath)
	if err != nil {
		return err.Error() + "\n"
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return fmt.Sprintf("the end of %s:\n%s\n", g.webhook.LogPath, strings.Join(lines[max(0, len(lines)-20):], "\n"))
}

// failOpen is how many reviews the API server has let pass without our answer.
// TestAnOutageUnderIgnore holds that it moves.
func (g *ground) failOpen(ctx context.Context) (int, error) {
	return g.counted(ctx, "apiserver_admission_webhook_fail_open_count", "name", entry)
}

// counted is what the API server has counted under a metric, all samples added
// that carry those labels: pairs of a name and a value.
func (g *ground) counted(ctx context.Context, metric string, labels ...string) (count int, err error) {
	text, err := g.clients.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading the API server's metrics: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		carries := strings.HasPrefix(line, metric+"{")
		for pair := range slices.Chunk(labels, 2) {
			carries = carries && strings.Contains(line, pair[0]+"="+strconv.Quote(pair[1]))
		}
		if !carries {
			continue
		}
		fields := strings.Fields(line)
		n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", metric, err)
		}
		count += int(n)
	}
	return count, nil
}

// checkFailOpen is an error where a review passed without our answer: under
// failurePolicy Ignore nothing else shows it.
func (g *ground) checkFailOpen(ctx context.Context) error {
	count, err := g.failOpen(ctx)
	if err == nil && count != g.outages {
		err = fmt.Errorf("the API server let %d reviews pass without the webhook's answer, %d of them in outages of the tests "+
			"(apiserver_admission_webhook_fail_open_count)", count, g.outages)
	}
	return err
}

// restart runs the webhook with other flags until the test ends. The one that
// runs is killed, since it would drain for as long as the API server keeps a
// connection to it. Not for parallel tests.
func (g *ground) restart(t *testing.T, flags ...string) {
	t.Helper()
	t.Cleanup(func() { g.swap(context.Background(), t) })
	g.swap(t.Context(), t, flags...)
}

func (g *ground) swap(ctx context.Context, t *testing.T, flags ...string) {
	t.Helper()
	g.webhook.Kill()
	webhook, err := g.in.Start(ctx, flags...)
	if err != nil {
		t.Fatal(err)
	}
	g.webhook = webhook
}

// namespace makes an enabled namespace for one test and returns once the
// webhook answers for it.
func (g *ground) namespace(t *testing.T) string {
	t.Helper()
	select {
	case <-g.webhook.Done():
		t.Fatal("the webhook does not run: ", g.webhook.Err()) // nothing to wait for
	default:
	}
	name := g.bareNamespace(t, map[string]string{"volumes.opensandbox.io/auto-create": "enabled"})
	if err := g.in.WaitAnswers(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return name
}

// bareNamespace makes a namespace with those labels. It may not have its
// default ServiceAccount yet, without which no pod can be created.
func (g *ground) bareNamespace(t *testing.T, labels map[string]string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Labels: labels}}
	g.create(t, ns)
	return ns.Name
}
