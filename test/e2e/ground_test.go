package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/ensure-volumes/ensure-volumes/test/process"
	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

var soak = flag.Bool("soak", false, "everything in full, not a tenth of it")

// of is how often something happens that happens n times with -soak.
func of(n int) int {
	if *soak {
		return n
	}
	return max(1, n/10)
}

// ground is a cluster of one node that has the image.
type ground struct {
	*stack.ControlPlane
	root    string
	clients *kubernetes.Clientset
}

func newGround(t *testing.T) *ground {
	t.Helper()
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	g := &ground{root: root}
	dir := filepath.Join(t.TempDir(), "cluster")
	g.boot(t, dir)
	t.Cleanup(func() {
		if t.Failed() {
			g.tell(t)
		}
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
	})
	archive, err := os.Open(filepath.Join(root, "bin", "ensure-volumes-image.tar"))
	if err != nil {
		t.Fatalf("the image (make image): %v", err)
	}
	defer archive.Close()
	if err := g.Load(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
	return g
}

// boot starts the cluster whose state is in dir, or a new one.
func (g *ground) boot(t *testing.T, dir string) {
	t.Helper()
	var progress bytes.Buffer
	cp, err := stack.StartNode(t.Context(), dir, &progress)
	if err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	g.ControlPlane = cp
	if g.clients, err = kubernetes.NewForConfig(cp.Config); err != nil {
		t.Fatal(err)
	}
}

// tell shows what a person would look at first. The test's context is over.
func (g *ground) tell(t *testing.T) {
	for _, args := range [][]string{
		{"get", "pods,pvc,deployments", "-A", "-o", "wide", "--show-labels=false"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"logs", "-n", stack.Name, "-l", "app.kubernetes.io/name=" + stack.Name, "--prefix", "--tail=40"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		output, err := g.Kubectl(ctx, "", args...)
		cancel()
		lines := strings.Split(strings.TrimSpace(output), "\n")
		t.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, strings.Join(lines[max(0, len(lines)-60):], "\n"))
	}
}

// kubectl fails the test where kubectl does.
func (g *ground) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return g.give(t, "", args...)
}

// give is kubectl with an input.
func (g *ground) give(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	output, err := g.Kubectl(t.Context(), stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s\n%s", strings.Join(args, " "), err, output, stdin)
	}
	return strings.TrimSpace(output)
}

// environment is that of a person who works on this cluster with the tools of
// the repository and has configured nothing.
func (g *ground) environment() []string {
	home := g.Dir
	return append(os.Environ(), "HOME="+home, "KUBECONFIG="+g.Kubeconfig, "KUBERC=off",
		"PATH="+filepath.Join(g.root, "bin")+":"+g.BinDir+":"+os.Getenv("PATH"),
		"HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home)
}

// helm fails the test where helm does.
func (g *ground) helm(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(g.root, "bin", "helm"), args...)
	cmd.Env = g.environment()
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("helm %s (make helm): %v\n%s", strings.Join(args, " "), err, output)
	}
	return string(output)
}

// install installs the chart into a namespace that enforces the restricted Pod
// Security level, and returns when the API server gets an answer.
func (g *ground) install(t *testing.T, flags ...string) {
	t.Helper()
	g.kubectl(t, "create", "namespace", stack.Name)
	g.kubectl(t, "label", "namespace", stack.Name, "pod-security.kubernetes.io/enforce=restricted")
	g.release(t, "install", flags...)
}

// upgrade upgrades the release to the default values and the given ones.
func (g *ground) upgrade(t *testing.T, flags ...string) {
	t.Helper()
	g.release(t, "upgrade", flags...)
}

func (g *ground) release(t *testing.T, command string, flags ...string) {
	t.Helper()
	args := []string{command, stack.Name, filepath.Join(g.root, "charts", stack.Name), "--namespace", stack.Name, "--wait", "--timeout=3m"}
	g.helm(t, append(args, flags...)...)
	g.wantReady(t, 2)
	g.answers(t)
}

// enabled creates a namespace that is switched on.
func (g *ground) enabled(t *testing.T, name string) {
	t.Helper()
	_, err := g.clients.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"volumes.opensandbox.io/auto-create": "enabled"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// answers waits until the API server gets an answer: after an installation every
// part of it has yet to hear of the others.
func (g *ground) answers(t *testing.T) {
	t.Helper()
	const name = "does-it-answer"
	if _, err := g.clients.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{}); err != nil {
		g.enabled(t, name)
	}
	pod := sandbox(name, name)
	eventually(t, 30*time.Second, "the webhook answers", func() error {
		got, err := g.clients.CoreV1().Pods(name).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && got.Annotations[created] != name {
			err = fmt.Errorf("a pod was admitted without %s", created)
		}
		return err
	})
}

// replicas are the pods of the webhook that are not on their way out, and how
// many of them are ready.
func (g *ground) replicas(ctx context.Context) (pods []corev1.Pod, ready int, err error) {
	list, err := g.clients.CoreV1().Pods(stack.Name).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + stack.Name})
	if err != nil {
		return nil, 0, err
	}
	for _, pod := range list.Items {
		if pod.DeletionTimestamp != nil {
			continue
		}
		pods = append(pods, pod)
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				ready++
			}
		}
	}
	return pods, ready, nil
}

// wantReady waits until there are n replicas, all of them ready.
func (g *ground) wantReady(t *testing.T, n int) {
	t.Helper()
	eventually(t, 2*time.Minute, fmt.Sprintf("%d replicas are ready", n), func() error {
		pods, ready, err := g.replicas(t.Context())
		if err == nil && (len(pods) != n || ready != n) {
			err = fmt.Errorf("%d of %d are ready", ready, len(pods))
		}
		return err
	})
}

// wantNoRestarts holds that no replica has died.
func (g *ground) wantNoRestarts(t *testing.T) {
	t.Helper()
	pods, _, err := g.replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		for _, container := range pod.Status.ContainerStatuses {
			if container.RestartCount != 0 {
				t.Errorf("replica %s was started again %d times: %+v", pod.Name, container.RestartCount, container.LastTerminationState)
			}
		}
	}
}

// eventually insists until try succeeds, for the limit at most.
func eventually(t *testing.T, limit time.Duration, what string, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || t.Context().Err() != nil {
			t.Fatalf("not so after %s: %s: %v", limit, what, err)
		}
	}
}
