package e2e

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// twenty creates a second.
var twenty = pace{4, 200 * time.Millisecond}

const (
	down       = time.Minute      // how long no replica is there
	afterReady = 10 * time.Second // by then every claim exists
)

// outage: every replica dies, and for a while there is none; creates go on. What
// was admitted meanwhile has its claims soon after the first replica is back. The
// whole cluster catches up on the machine's processors then: where claims come
// late, it is done once more, and said.
func (g *ground) outage(t *testing.T, r *report) {
	tardy := g.outageIn(t, r, "outage")
	if tardy != "" && !t.Failed() {
		r.say("once more, since after an outage %s", tardy)
		tardy = g.outageIn(t, r, "outage-again")
	}
	if tardy != "" {
		t.Error(tardy)
	}
}

// outageIn says which claims came too late.
func (g *ground) outageIn(t *testing.T, r *report, namespace string) (tardy string) {
	const free = 20
	g.enabled(t, namespace)
	g.knows(t, namespace)
	second := g.share(t, namespace, "shared")
	before := g.asked(t)
	l := g.startLate(t, namespace, twenty)
	time.Sleep(2 * time.Second)

	g.kubectl(t, "scale", "deployment", stack.Name, "--namespace", stack.Name, "--replicas=0")
	victims, err := g.clients.CoreV1().Pods(stack.Name).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, victim := range victims.Items {
		g.kill(t, victim)
	}
	eventually(t, time.Minute, "no replica is left", func() error { return g.nobody(t) })
	begin := time.Now()
	second.come(t, g)
	for n := range free {
		pod := freeSandbox(fmt.Sprintf("free-%02d", n+1))
		if _, err := g.clients.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Errorf("no replica was there, and creating %s failed: %v", pod.Name, err)
		}
		time.Sleep(down / (free + 1))
	}
	time.Sleep(time.Until(begin.Add(down)))
	if err := g.nobody(t); err != nil {
		t.Error(err)
	}
	release := l.hold()
	end := time.Now()
	g.kubectl(t, "scale", "deployment", stack.Name, "--namespace", stack.Name, "--replicas=2")
	back := g.firstReady(t)
	time.Sleep(afterReady)
	release()
	l.finish()
	wantNone(t, l.since(time.Time{}))

	last, late := back, 0
	missed := l.waited(begin, end)
	for _, w := range l.waited(time.Time{}, time.Now()) {
		last = later(last, w.to)
		if w.to.After(later(w.from, back).Add(afterReady)) {
			late++
		}
	}
	if late > 0 {
		tardy = fmt.Sprintf("the first replica was ready at %s, and %d claims came more than %s later, the last one at %s", clock(back), late, afterReady, clock(last))
	}
	if len(missed) < 1000 {
		t.Errorf("%d pods were created while no replica was there: that is no load", len(missed))
	}
	without := len(l.waited(time.Time{}, time.Now())) + free
	if failed := g.asked(t).failed - before.failed; failed < float64(without) {
		t.Errorf("%d pods were admitted without us, and by the API server's own count %v", without, failed)
	}
	for n := range free {
		g.until(t, namespace, fmt.Sprintf("pod/free-%02d", n+1), ready)
		at, err := l.arrivals.of(t.Context(), fmt.Sprintf("free-%02d", n+1))
		switch {
		case err != nil:
			t.Errorf("the claim of free-%02d: %v", n+1, err)
		case at.After(back.Add(afterReady)) && tardy == "":
			tardy = fmt.Sprintf("the claim of free-%02d came at %s", n+1, clock(at))
		}
	}
	second.stays(t, g)
	r.say("no replica for %s: %d creates, none failed; %d of the pods were admitted meanwhile, and every claim existed %s after the first replica was ready; the %d that were free to run ran",
		end.Sub(begin).Round(time.Second), l.count()+free, len(missed)+free, last.Sub(back).Round(100*time.Millisecond), free)
	g.wantReady(t, 2)
	return tardy
}

// nobody says that there is a replica, ready or not.
func (g *ground) nobody(t *testing.T) error {
	pods, err := g.clients.CoreV1().Pods(stack.Name).List(t.Context(), metav1.ListOptions{})
	if err == nil && len(pods.Items) != 0 {
		err = fmt.Errorf("%d replicas are there", len(pods.Items))
	}
	return err
}

// firstReady waits until a replica is ready and says since when it is, by the
// kubelet, to the second, and too early rather than too late.
func (g *ground) firstReady(t *testing.T) (at time.Time) {
	t.Helper()
	eventually(t, 2*time.Minute, "a replica is ready", func() error {
		pods, _, err := g.replicas(t.Context())
		for _, pod := range pods {
			for _, c := range pod.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && (at.IsZero() || c.LastTransitionTime.Time.Before(at)) {
					at = c.LastTransitionTime.Time
				}
			}
		}
		if err == nil && at.IsZero() {
			err = fmt.Errorf("none of %d is", len(pods))
		}
		return err
	})
	return at
}

// freeSandbox is a sandbox that runs as soon as its claim is there.
func freeSandbox(name string) *corev1.Pod {
	pod := sandbox(name, name)
	now := int64(0)
	pod.Spec.SchedulingGates, pod.Spec.TerminationGracePeriodSeconds, pod.Spec.RestartPolicy = nil, &now, corev1.RestartPolicyNever
	main := &pod.Spec.Containers[0]
	main.Command = []string{"sh", "-c", "hostname > /home/ran && sleep 86400"}
	main.VolumeMounts = []corev1.VolumeMount{{Name: "home", MountPath: "/home"}}
	return pod
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func clock(at time.Time) string { return at.UTC().Format("15:04:05.000") }
