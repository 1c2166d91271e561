package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// TestChart is the life of a release with the default values.
func TestChart(t *testing.T) {
	g := newGround(t)
	before := g.everything(t)
	g.install(t)
	t.Run("helm test", func(t *testing.T) {
		if said := g.helm(t, "test", stack.Name, "--namespace", stack.Name); strings.Count(said, "Succeeded") < 2 {
			t.Errorf("it says\n%s", said)
		}
	})
	g.enabled(t, "sandboxes")
	t.Run("what one sandbox writes the next one reads", g.persists)
	t.Run("two sandboxes share a claim", g.shares)
	t.Run("without the webhook the same pod waits", func(t *testing.T) {
		g.kubectl(t, "create", "namespace", "bare")
		g.run(t, "bare", running("first", "home", "echo kept > /home/file", "storage=10Mi"))
		g.wantMissing(t, "bare", "first", "home")
		time.Sleep(3 * time.Second)
		g.wantMissing(t, "bare", "first", "home")
	})
	t.Run("an upgrade keeps certificates and caBundle", g.upgrades)
	t.Run("helm uninstall", func(t *testing.T) { g.uninstalls(t, before) })
}

func (g *ground) persists(t *testing.T) {
	const ns = "sandboxes"
	g.run(t, ns, running("first", "home", "echo kept > /home/file", "storage=10Mi", "storageClass=on-first-use"))
	if got := g.kubectl(t, "get", "pvc", "home", "-n", ns, "-o", "jsonpath={.spec.resources.requests.storage} {.spec.storageClassName} {.metadata.labels.app\\.kubernetes\\.io/managed-by}"); got != "10Mi on-first-use ensure-volumes" {
		t.Errorf("once the pod is created its claim is %q", got)
	}
	g.until(t, ns, "pod/first", succeeded)
	g.kubectl(t, "delete", "pod", "first", "-n", ns)
	g.run(t, ns, running("second", "home", "cat /home/file", "storage=10Mi", "storageClass=on-first-use"))
	g.until(t, ns, "pod/second", succeeded)
	if got := g.kubectl(t, "logs", "second", "-n", ns); got != "kept" {
		t.Errorf("the second sandbox reads %q", got)
	}
}

func (g *ground) shares(t *testing.T) {
	const ns = "sandboxes"
	hints := []string{"storage=10Mi", "accessModes=RWX"}
	g.run(t, ns, running("writer", "shared", "until cat /home/from-reader; do sleep 0.1; done; echo to you > /home/from-writer; sleep 600", hints...))
	g.run(t, ns, running("reader", "shared", "echo to me > /home/from-reader; until cat /home/from-writer; do sleep 0.1; done; sleep 600", hints...))
	for pod, want := range map[string]string{"writer": "to me", "reader": "to you"} {
		g.until(t, ns, "pod/"+pod, ready)
		eventually(t, time.Minute, "the other's file is seen", func() error {
			if got := g.kubectl(t, "logs", pod, "-n", ns); !strings.HasSuffix(got, want) {
				return fmt.Errorf("%s reads %q, not %q", pod, got, want)
			}
			return nil
		})
	}
	if got := g.kubectl(t, "get", "pvc", "shared", "-n", ns, "-o", "jsonpath={.spec.accessModes} {.status.phase}"); got != `["ReadWriteMany"] Bound` {
		t.Errorf("the claim is %s", got)
	}
	g.kubectl(t, "delete", "pod", "writer", "reader", "-n", ns)
}

// certificates are what the built-in authority keeps. The generation tells of a
// change that was taken back.
func (g *ground) certificates(t *testing.T) string {
	t.Helper()
	return g.kubectl(t, "get", "secret", caSecret, "-n", stack.Name, "-o", "jsonpath={.metadata.uid} {.data}") + "\n" +
		g.kubectl(t, "get", "mutatingwebhookconfiguration", stack.Name, "-o", "jsonpath={.metadata.uid} {.metadata.generation} {.webhooks[*].clientConfig.caBundle}")
}

func (g *ground) upgrades(t *testing.T) {
	was, _, err := g.replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := g.certificates(t)
	if !strings.Contains(before, "ca.key") || len(before) < 1000 {
		t.Fatalf("there are no certificates: %s", before)
	}
	g.upgrade(t, "--set", "defaultStorage=2Mi")
	if after := g.certificates(t); after != before {
		t.Errorf("certificates and caBundle were\n%s\nand are\n%s", before, after)
	}
	now, _, err := g.replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range was {
		for _, pod := range now {
			if pod.UID == old.UID {
				t.Errorf("replica %s has survived the upgrade: nothing was shown", pod.Name)
			}
		}
	}
	// A replica that is on its way out still answers on connections that it has.
	tries := 0
	eventually(t, 2*time.Minute, "the new value decides", func() error {
		tries++
		name := fmt.Sprintf("upgraded-%d", tries)
		g.run(t, "sandboxes", running(name, name, "true"))
		if got := g.kubectl(t, "get", "pvc", name, "-n", "sandboxes", "-o", "jsonpath={.spec.resources.requests.storage}"); got != "2Mi" {
			return fmt.Errorf("a claim without a hint has %s", got)
		}
		return nil
	})
}

// everything is what the cluster holds outside of namespaces, but for what
// claims bring along.
func (g *ground) everything(t *testing.T) string {
	t.Helper()
	kinds := strings.Fields(g.kubectl(t, "api-resources", "--namespaced=false", "--verbs=list", "-o", "name"))
	var listed []string
	for _, kind := range kinds {
		switch kind {
		case "componentstatuses", "namespaces", "persistentvolumes", "volumeattachments.storage.k8s.io":
		default:
			listed = append(listed, kind)
		}
	}
	names := strings.Fields(g.kubectl(t, "get", strings.Join(listed, ","), "-o", "name"))
	slices.Sort(names)
	return strings.Join(names, "\n")
}

func (g *ground) uninstalls(t *testing.T, before string) {
	const ns = "sandboxes"
	claims := g.kubectl(t, "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].metadata.uid}")
	if len(strings.Fields(claims)) < 3 {
		t.Fatalf("there are no claims to keep: %q", claims)
	}
	g.helm(t, "uninstall", stack.Name, "--namespace", stack.Name, "--wait")
	configurations, err := g.clients.AdmissionregistrationV1().MutatingWebhookConfigurations().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(configurations.Items) != 0 {
		t.Errorf("webhook configurations are left: %v, %v", configurations.Items, err)
	}
	if after := g.everything(t); after != before {
		t.Errorf("outside of namespaces there was\n%s\nand now there is\n%s", before, after)
	}
	if got := g.kubectl(t, "get", "pvc", "-n", ns, "-o", "jsonpath={.items[*].metadata.uid}"); got != claims {
		t.Errorf("claims were %s and are %s", claims, got)
	}
	g.run(t, ns, running("after", "never-made", "true", "storage=1Mi"))
	if got := g.kubectl(t, "get", "pod", "after", "-n", ns, "-o", "jsonpath={.metadata.annotations}"); strings.Contains(got, created) {
		t.Errorf("the pod is not as it was written: %s", got)
	}
	g.wantMissing(t, ns, "after", "never-made")
	time.Sleep(3 * time.Second)
	g.wantMissing(t, ns, "after", "never-made")
	// What was kept is used as before.
	g.run(t, ns, running("third", "home", "cat /home/file"))
	g.until(t, ns, "pod/third", succeeded)
	if got := g.kubectl(t, "logs", "third", "-n", ns); got != "kept" {
		t.Errorf("the third sandbox reads %q", got)
	}
}
