package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// leads finds the replica that leads, and another one that does not. Both are
// ready, and there is no third.
func (g *ground) leads(t *testing.T) (leader, follower corev1.Pod) {
	t.Helper()
	eventually(t, time.Minute, "one of two replicas leads", func() error {
		name, err := g.holder(t.Context())
		if err != nil {
			return err
		}
		pods, ready, err := g.replicas(t.Context())
		if err != nil {
			return err
		}
		i := slices.IndexFunc(pods, func(p corev1.Pod) bool { return p.Name == name })
		if len(pods) != 2 || ready != 2 || i < 0 {
			return fmt.Errorf("%d of %d are ready, and %q leads", ready, len(pods), name)
		}
		leader, follower = pods[i], pods[1-i]
		return nil
	})
	return leader, follower
}

// holder is the name of the pod that holds the Lease, or held it when it died;
// "" where nobody does.
func (g *ground) holder(ctx context.Context) (string, error) {
	lease, err := g.clients.CoordinationV1().Leases(stack.Name).Get(ctx, stack.Name, metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		return "", err
	}
	name, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	return name, nil
}

// kill kills the process of a replica, in whose place the kubelet would start another.
func (g *ground) kill(t *testing.T, replica corev1.Pod) {
	t.Helper()
	id := strings.TrimPrefix(replica.Status.ContainerStatuses[0].ContainerID, "containerd://")
	if output, err := g.Exec(t.Context(), nil, "ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", id); err != nil {
		t.Fatalf("killing replica %s: %v\n%s", replica.Name, err, output)
	}
}

// end deletes a replica, in order.
func (g *ground) end(t *testing.T, replica corev1.Pod) {
	t.Helper()
	if err := g.clients.CoreV1().Pods(stack.Name).Delete(t.Context(), replica.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// gauges are the values of metrics without labels, by name, as a replica shows them.
func (g *ground) gauges(t *testing.T, replica corev1.Pod) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for line := range strings.Lines(g.kubectl(t, "get", "--raw", "/api/v1/namespaces/"+stack.Name+"/pods/"+replica.Name+":8080/proxy/metrics")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = n
		}
	}
	return values
}

// bypassed creates an enabled namespace whose pods the webhook is never asked
// about, as if it were down for them. What is made there only the safety net made.
func (g *ground) bypassed(t *testing.T, name string) {
	t.Helper()
	const label = "ensure-volumes.test/bypassed"
	g.kubectl(t, "patch", "mutatingwebhookconfiguration", stack.Name, "--type=json", "--patch",
		`[{"op": "add", "path": "/webhooks/0/namespaceSelector/matchExpressions", "value": [{"key": "`+label+`", "operator": "DoesNotExist"}]}]`)
	g.kubectl(t, "create", "namespace", name)
	g.kubectl(t, "label", "namespace", name, label+"=", "volumes.opensandbox.io/auto-create=enabled")
	eventually(t, 10*time.Second, "pods pass the webhook by", func() error {
		pod, err := g.clients.CoreV1().Pods(name).Create(t.Context(), sandbox("first", "first"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && pod.Annotations[created] != "" {
			err = fmt.Errorf("it was asked")
		}
		return err
	})
}

// events are those of ours about an object, as "reason xCount: message", the oldest first.
func (g *ground) events(t *testing.T, namespace, kind, name string) (told []string) {
	t.Helper()
	list, err := g.clients.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{
		FieldSelector: "involvedObject.kind=" + kind + ",involvedObject.name=" + name + ",source=" + stack.Name,
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.Event) int { return a.FirstTimestamp.Compare(b.FirstTimestamp.Time) })
	for _, e := range list.Items {
		told = append(told, fmt.Sprintf("%s x%d: %s", e.Reason, e.Count, e.Message))
	}
	return told
}
