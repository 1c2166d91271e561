package e2e

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// deployment is a workload of an enabled namespace.
const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: workload}
spec:
  strategy: {type: Recreate}
  selector: {matchLabels: {app: workload}}
  template:
    metadata: {labels: {app: workload}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: ` + stack.BusyboxImage + `
        command: [sh, -c, "date >> /home/starts; sleep 86400"]
        volumeMounts: [{name: home, mountPath: /home}]
      volumes: [{name: home, persistentVolumeClaim: {claimName: workload-home}}]
`

// TestBoot: a cluster that fails closed comes back by itself after it was
// stopped, the pods that need the webhook included.
func TestBoot(t *testing.T) {
	boots := of(5)
	g := newGround(t)
	g.install(t, "--set", "failurePolicy=Fail")
	g.enabled(t, "sandboxes")
	eventually(t, 30*time.Second, "the namespace is known", func() error { return g.admits(t, "at-first") })
	g.give(t, deployment, "apply", "-n", "sandboxes", "-f", "-")
	g.kubectl(t, "rollout", "status", "deployment", "workload", "-n", "sandboxes", "--timeout=1m")
	r := g.report(t)
	for n := range boots {
		if err := g.Stop(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		g.boot(t, g.Dir)
		up := time.Now()
		// A pod that must be created anew while the webhook may not answer yet.
		g.kubectl(t, "rollout", "restart", "deployment", "workload", "-n", "sandboxes")
		refused := 0
		name := fmt.Sprintf("after-boot-%d", n+1)
		eventually(t, 2*time.Minute, "pods are admitted with their claims", func() error {
			err := g.admits(t, name)
			if err != nil {
				refused++
			}
			return err
		})
		served := time.Now()
		eventually(t, time.Minute, "every replica has been started", func() error { return g.startedSince(t, begin) })
		g.wantReady(t, 2)
		g.kubectl(t, "rollout", "status", "deployment", "workload", "-n", "sandboxes", "--timeout=3m")
		r.say("boot %d: the node was up after %s, pods were admitted %s later (%d tries refused before), all was well %s after the start", n+1,
			up.Sub(begin).Round(100*time.Millisecond), served.Sub(up).Round(100*time.Millisecond), refused, time.Since(begin).Round(100*time.Millisecond))
	}
}

// startedSince says which replica has not been started since a time: what the
// API server knows of it is from before.
func (g *ground) startedSince(t *testing.T, begin time.Time) error {
	pods, _, err := g.replicas(t.Context())
	for _, pod := range pods {
		for _, container := range pod.Status.ContainerStatuses {
			if running := container.State.Running; running == nil || running.StartedAt.Time.Before(begin.Truncate(time.Second)) {
				return fmt.Errorf("%s: %+v", pod.Name, container.State)
			}
		}
	}
	return err
}

// admits creates a pod with a missing claim and looks for the claim.
func (g *ground) admits(t *testing.T, name string) error {
	pod, err := g.clients.CoreV1().Pods("sandboxes").Create(t.Context(), sandbox(name, name), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if pod.Annotations[created] != name {
		t.Errorf("failing closed, a pod was admitted without its claim: %v", pod.Annotations)
	}
	_, err = g.clients.CoreV1().PersistentVolumeClaims("sandboxes").Get(t.Context(), name, metav1.GetOptions{})
	return err
}
