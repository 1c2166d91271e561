package e2e

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// created is what the webhook sets on a pod that it made claims for.
const created = "volumes.opensandbox.io/created"

// sandbox is a pod with a claim, which is of the class that makes no volume
// before a pod runs. The pod never does: a scheduling gate holds it.
func sandbox(name, claim string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{
			"volumes.opensandbox.io/storage":      "1Mi",
			"volumes.opensandbox.io/storageClass": "on-first-use",
		}},
		Spec: corev1.PodSpec{
			SchedulingGates: []corev1.PodSchedulingGate{{Name: "ensure-volumes.test/load"}},
			Containers:      []corev1.Container{{Name: "main", Image: stack.BusyboxImage}},
			Volumes: []corev1.Volume{{Name: "home", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
			}}},
		},
	}
}

// running is the manifest of a sandbox that runs a command of the shell, with
// the claim mounted at /home and hints as annotations.
func running(name, claim, command string, hints ...string) string {
	var annotations strings.Builder
	for _, hint := range hints {
		key, value, _ := strings.Cut(hint, "=")
		fmt.Fprintf(&annotations, "    volumes.opensandbox.io/%s: %q\n", key, value)
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata:
  name: %q
  annotations:
    example.test/by: e2e
%sspec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: main
    image: %s
    command: [sh, -c, %q]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: home, mountPath: /home}]
  volumes:
  - name: home
    persistentVolumeClaim: {claimName: %q}
`, name, &annotations, stack.BusyboxImage, command, claim)
}

// run creates a pod from a manifest.
func (g *ground) run(t *testing.T, namespace, manifest string) {
	t.Helper()
	g.give(t, manifest, "create", "--namespace", namespace, "--filename", "-")
}

// until waits until an object is as it should be, and tells of it where it is not.
func (g *ground) until(t *testing.T, namespace, object, condition string) {
	t.Helper()
	if output, err := g.Kubectl(t.Context(), "", "wait", "--namespace", namespace, object, "--for="+condition, "--timeout=60s"); err != nil {
		described, _ := g.Kubectl(t.Context(), "", "describe", "--namespace", namespace, object)
		t.Fatalf("waiting for %s of %s: %v\n%s\n%s", condition, object, err, output, described)
	}
}

const (
	succeeded = "jsonpath={.status.phase}=Succeeded"
	ready     = "condition=Ready"
)

// wantMissing holds that a pod stays Pending for want of its claim, in the
// scheduler's words.
func (g *ground) wantMissing(t *testing.T, namespace, pod, claim string) {
	t.Helper()
	words := fmt.Sprintf("persistentvolumeclaim %q not found", claim)
	g.until(t, namespace, "pod/"+pod, `jsonpath={.status.conditions[?(@.type=="PodScheduled")].reason}=Unschedulable`)
	if got := g.kubectl(t, "get", "pod", pod, "--namespace", namespace, "-o", `jsonpath={.status.phase}: {.status.conditions[?(@.type=="PodScheduled")].message}`); !strings.HasPrefix(got, "Pending: ") || !strings.Contains(got, words) {
		t.Errorf("the pod is %s; want it Pending: %s", got, words)
	}
}
