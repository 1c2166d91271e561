package explain_test

import (
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/explain"
)

// said is the table for a manifest, without a cluster or with that of a second manifest.
func said(t *testing.T, manifest string, cluster ...string) string {
	t.Helper()
	e := &explain.Explainer{Config: settings{}.config(t)}
	for _, c := range cluster {
		e.Cluster = newMemory(objects(t, c))
	}
	return saidBy(t, e, manifest)
}

func saidBy(t *testing.T, e *explain.Explainer, manifest string) string {
	t.Helper()
	report, trouble := explained(t, e, manifest)
	if report == nil {
		return "error: " + trouble
	}
	return shown(t, report)
}

// shown is the table of a report, its words alone.
func shown(t *testing.T, report *explain.Report) string {
	t.Helper()
	var b strings.Builder
	if err := report.Table(&b); err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func wants(t *testing.T, got string, parts ...string) {
	t.Helper()
	at := 0
	for _, part := range parts {
		i := strings.Index(got[at:], part)
		if i < 0 {
			t.Errorf("no %q, or not in that order, in:\n%s", part, got)
			return
		}
		at += i + len(part)
	}
}

const template = "{metadata: {annotations: {volumes.opensandbox.io/storage: 3Gi}}, spec: {volumes: [{name: v, persistentVolumeClaim: {claimName: home}}]}}"

// TestControllers: each kind's pods have the names that its controller gives them.
func TestControllers(t *testing.T) {
	for head, says := range map[string]string{
		"apps/v1 DaemonSet":                            "pod x-*: allowed",
		"apps/v1 Deployment":                           "pod x-*: allowed",
		"apps/v1 ReplicaSet":                           "pod x-*: allowed",
		"apps/v1 StatefulSet":                          "pod x-0: allowed",
		"batch/v1 Job":                                 "pod x-*: allowed",
		"sandbox.opensandbox.io/v1alpha1 BatchSandbox": "pod x-0: allowed",
		"sandbox.opensandbox.io/v1alpha1 Pool":         "pod x-*: allowed",
		"agents.x-k8s.io/v1alpha1 Sandbox":             "pod x: allowed",
		"agents.x-k8s.io/v1beta1 Sandbox":              "pod x: allowed",
	} {
		version, kind, _ := strings.Cut(head, " ")
		got := said(t, "apiVersion: "+version+"\nkind: "+kind+"\nmetadata: {name: x}\nspec: {template: "+template+", podTemplate: "+template+"}\n")
		wants(t, got, kind+" default/x, "+says, "home create storage 3Gi metadata.annotations[volumes.opensandbox.io/storage]")
	}
}

// TestReplicas: the second pod finds what the first one had created; others are not told.
func TestReplicas(t *testing.T) {
	sandbox := "apiVersion: sandbox.opensandbox.io/v1alpha1\nkind: BatchSandbox\nmetadata: {name: x}\nspec: {replicas: 5, template: " + template + "}\n"
	got := said(t, sandbox)
	wants(t, got, "pod x-0: allowed", "home create", "of 5 replicas the first 2 are explained", "pod x-1: allowed", "home use storage 3Gi the claim as it exists")
	if strings.Contains(got, "x-2") || strings.Contains(got, "warning") {
		t.Errorf("said %s", got)
	}
	wants(t, said(t, strings.Replace(sandbox, "5", "0", 1)), "pod x-0: allowed", "replicas is 0: there is no such pod yet")
	wants(t, said(t, strings.Replace(sandbox, "replicas: 5", "shardPatches: [{}]", 1)), "shardPatches are not read")
	wants(t, said(t, strings.Replace(sandbox, "template: "+template, "poolRef: p", 1)), "the manifest has nothing that makes pods")
	wants(t, said(t, strings.Replace(sandbox, "replicas: 5", "poolRef: p", 1)), "the manifest has nothing that makes pods")
	wants(t, said(t, strings.Replace(sandbox, "template: "+template, "a: b", 1)), "error: BatchSandbox x: spec.template.spec is missing")
}

// TestVolumeClaimTemplates: those claims are the controller's; hints for them only drift.
func TestVolumeClaimTemplates(t *testing.T) {
	spec := "{ordinals: {start: 3}, template: " + template + ", podTemplate: " + template +
		", volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}\n"
	got := said(t, "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: x}\nspec: "+spec)
	wants(t, got, "pod x-3: allowed", "data-x-3 use storage 1Gi", "home create",
		`warning: claim "data-x-3" exists: storage 3Gi asked, it has 1Gi`, "claim data-x-3 is made by the StatefulSet's controller itself")
	got = said(t, "apiVersion: agents.x-k8s.io/v1beta1\nkind: Sandbox\nmetadata: {name: x}\nspec: "+spec)
	wants(t, got, "pod x: allowed", "home create", "data-x use storage 1Gi", "claim data-x is made by the Sandbox's controller itself")
	got = said(t, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: "+spec)
	if wants(t, got, "home create"); strings.Contains(got, "data-") {
		t.Errorf("a Deployment has no volumeClaimTemplates: %s", got)
	}
}

// TestExclusiveClaims: a claim of one sandbox's own is refused to the next, within one manifest.
func TestExclusiveClaims(t *testing.T) {
	sandbox := "apiVersion: agents.x-k8s.io/v1beta1\nkind: Sandbox\nmetadata: {name: x, annotations: {volumes.opensandbox.io/deleteOnSandboxTermination: \"true\"}}\nspec: {podTemplate: " + template + "}\n"
	got := said(t, sandbox+"---\n"+strings.Replace(sandbox, "name: x", "name: z", 1))
	wants(t, got, "pod x: allowed", `deleteOnSandboxTermination true Sandbox "x": metadata.annotations`, "pod z: refused (409 Conflict)",
		"home belongs to Sandbox.agents.x-k8s.io/x (uid not-created-yet:sandbox:x) alone")
	// In the cluster the Sandbox exists with its claim: its own pod may use that.
	cluster := `
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {volumes.opensandbox.io/auto-create: enabled}}
---
apiVersion: agents.x-k8s.io/v1beta1
kind: Sandbox
metadata: {name: x, namespace: default, uid: u1}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: home
  namespace: default
  creationTimestamp: "2020-01-01T00:00:00Z"
  labels: {app.kubernetes.io/managed-by: ensure-volumes}
  annotations:
    volumes.opensandbox.io/created: "2020-01-01T00:00:00Z"
    volumes.opensandbox.io/delete-with-owner: "true"
    volumes.opensandbox.io/owner: Sandbox.agents.x-k8s.io/x/u1
  ownerReferences: [{apiVersion: agents.x-k8s.io/v1beta1, kind: Sandbox, name: x, uid: u1}]
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 3Gi}}}
`
	wants(t, said(t, sandbox, cluster), "pod x: allowed", "home use")
	wants(t, said(t, strings.Replace(sandbox, "name: x", "name: z", 1), cluster), "pod z: refused (409 Conflict)")
}

const aPod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {volumes: [{name: v, persistentVolumeClaim: {claimName: home}}]}\n"

// TestOrder: a claim exists for the pods after it, and is too late for those before.
func TestOrder(t *testing.T) {
	pvc := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: home}\nspec: {resources: {requests: {storage: 9Gi}}}\n"
	class := "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: std, annotations: {storageclass.kubernetes.io/is-default-class: \"true\"}}\n"
	got := said(t, pvc+"---\n"+aPod+"---\n"+class)
	wants(t, got, "home use storage 9Gi the claim as it exists storageClass std")
	if strings.Contains(got, "write it before the pod") || strings.Contains(got, "StorageClasses are not known") {
		t.Errorf("said %s", got)
	}
	wants(t, said(t, aPod+"---\n"+pvc+"---\n"+class), "home create storage 1Gi default storageClass std default",
		"PersistentVolumeClaim default/home comes after a pod that uses it")
	// What the first pod had created has the default class by the time of the second.
	second := strings.Replace(aPod, "name: p", "name: q, annotations: {volumes.opensandbox.io/storageClass: std}", 1)
	if got := said(t, class+"---\n"+aPod+"---\n"+second); strings.Contains(got, "warning") {
		t.Errorf("said %s", got)
	}
}

// TestNamespaces: where a pod goes, and whether the webhook is called there.
func TestNamespaces(t *testing.T) {
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {a: b}, annotations: {volumes.opensandbox.io/storage: 4Gi}}\n"
	wants(t, said(t, namespace+"---\n"+aPod), "home leave", "Namespace default lacks the label volumes.opensandbox.io/auto-create: enabled")
	enabled := strings.Replace(namespace, "a: b", "volumes.opensandbox.io/auto-create: enabled", 1)
	wants(t, said(t, enabled+"---\n"+aPod), `home create storage 4Gi Namespace "default": metadata.annotations`)
	// The cluster's Namespace is what the manifest's goes over.
	wants(t, said(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n---\n"+aPod, enabled), "home create storage 4Gi")
	wants(t, said(t, aPod, "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n"), "Namespace default does not exist")

	e := &explain.Explainer{Config: settings{}.config(t), Namespace: "here", DefaultNamespace: "there"}
	wants(t, saidBy(t, e, aPod), "Pod here/p: allowed")
	elsewhere := strings.Replace(aPod, "name: p", "name: p, namespace: elsewhere", 1)
	wants(t, saidBy(t, e, elsewhere), "Pod elsewhere/p: refused (400 BadRequest)", `the pod names namespace "elsewhere", the request "here"`)
	e.Namespace = ""
	wants(t, saidBy(t, e, aPod), "Pod there/p: allowed")
	wants(t, saidBy(t, e, elsewhere), "Pod elsewhere/p: allowed")
}

// TestClassesNotKnown: offline a class cannot be missing; with classes in the manifest it can.
func TestClassesNotKnown(t *testing.T) {
	pod := strings.Replace(aPod, "name: p", "name: p, annotations: {volumes.opensandbox.io/storageClass: fsat}", 1)
	wants(t, said(t, pod), "p: allowed", "home create", "storageClass fsat", "StorageClasses are not known")
	class := "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: fast}\n"
	wants(t, said(t, class+"---\n"+pod), "p: refused (422 Invalid)", `StorageClass "fsat" does not exist; write one of fast`)
	volume := "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: pv}\nspec: {storageClassName: fsat}\n"
	wants(t, said(t, class+"---\n"+volume+"---\n"+pod), "p: allowed")
	wants(t, said(t, class+"---\n"+aPod), `claim "home" asks for no class and the cluster has no default`)
}

// TestTerminal: what a manifest says does not talk to the terminal.
func TestTerminal(t *testing.T) {
	got := said(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p\u001b[2J","namespace":"\u009b2J","annotations":{"volumes.opensandbox.io/\u001b]0;":"\u0007"}},
"spec":{"volumes":[{"persistentVolumeClaim":{"claimName":"a\u001b[2J"}}]}}`)
	wants(t, got, `p\x1b[2J`)
	if strings.ContainsAny(got, "\x1b\x07\u009b") {
		t.Errorf("said %q", got)
	}
}
