package explain_test

import (
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/explain"
)

// table is the table for a manifest, without a cluster or with that of a second manifest.
func table(t *testing.T, manifest string, cluster ...string) string {
	t.Helper()
	e := &explain.Explainer{Config: settings{}.config(t)}
	for _, c := range cluster {
		e.Cluster = newMemory(objects(t, c))
	}
	return tableOf(t, e, manifest)
}

func tableOf(t *testing.T, e *explain.Explainer, manifest string) string {
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
		"v1 ReplicationController":                     "pod x-*: allowed",
		"batch/v1 CronJob":                             "pod x-*: allowed",
		"apps/v1 StatefulSet":                          "pod x-0: allowed",
		"batch/v1 Job":                                 "pod x-*: allowed",
		"sandbox.opensandbox.io/v1alpha1 BatchSandbox": "pod x-0: allowed",
		"sandbox.opensandbox.io/v1alpha1 Pool":         "pod x-*: allowed",
		"agents.x-k8s.io/v1alpha1 Sandbox":             "pod x: allowed",
		"agents.x-k8s.io/v1beta1 Sandbox":              "pod x: allowed",
	} {
		version, kind, _ := strings.Cut(head, " ")
		got := table(t, "apiVersion: "+version+"\nkind: "+kind+"\nmetadata: {name: x}\nspec: {template: "+template+", podTemplate: "+template+", jobTemplate: {spec: {template: "+template+"}}}\n")
		wants(t, got, kind+" default/x, "+says, "home create storage 3Gi metadata.annotations[volumes.opensandbox.io/storage]")
	}
}

// TestControllersOfControllers: where a kind in between is listed, a Job has the hints of the CronJob's jobTemplate, a ReplicaSet those
// of the Deployment.
func TestControllersOfControllers(t *testing.T) {
	e := &explain.Explainer{Config: settings{OwnerKinds: "Job.batch/jobs"}.config(t)}
	got := tableOf(t, e, "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x, annotations: {volumes.opensandbox.io/storage: 9Gi}}\n"+
		"spec: {jobTemplate: {metadata: {annotations: {volumes.opensandbox.io/accessModes: RWX}}, spec: {template: "+template+"}}}\n")
	wants(t, got, "storage 3Gi metadata.annotations", `accessModes ReadWriteMany Job "x": metadata.annotations[volumes.opensandbox.io/accessModes]`)

	e = &explain.Explainer{Config: settings{OwnerKinds: "ReplicaSet.apps/replicasets"}.config(t)}
	got = tableOf(t, e, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, annotations: {volumes.opensandbox.io/accessModes: RWX}}\nspec: {template: "+template+"}\n")
	wants(t, got, "storage 3Gi metadata.annotations", `accessModes ReadWriteMany ReplicaSet "x": metadata.annotations[volumes.opensandbox.io/accessModes]`)
}

// TestUnknownKinds: what has pods that cannot be explained is named, and nothing else is.
func TestUnknownKinds(t *testing.T) {
	for head, spec := range map[string]string{
		"apps/v1 Deploymnet":            "{template: " + template + "}",
		"extensions/v1beta1 Deployment": "{template: " + template + "}",
		"v1 pod":                        "{volumes: [{persistentVolumeClaim: {claimName: home}}]}",
		"argoproj.io/v1alpha1 Workflow": "{templates: [{container: {}}], volumes: [{persistentVolumeClaim: {claimName: home}}]}",
		"example.com/v1 Thing":          "{pods: [{spec: {containers: [{name: main}]}}]}",
	} {
		version, kind, _ := strings.Cut(head, " ")
		got := table(t, "apiVersion: "+version+"\nkind: "+kind+"\nmetadata: {name: x}\nspec: "+spec+"\n")
		wants(t, got, "note: "+kind+" x of "+version+" is not looked into, though it seems to have pods: explain knows Pods and those that ", "there is no pod to explain")
		for _, known := range []string{"BatchSandboxes", "Sandboxes", "Pools", "Deployments", "StatefulSets", "ReplicaSets", "ReplicationControllers", "DaemonSets", "Jobs", "CronJobs"} {
			if !strings.Contains(got, known) {
				t.Errorf("%s are not told to be known", known)
			}
		}
	}
	for head, rest := range map[string]string{
		"v1 ConfigMap":            "data: {a.yaml: 'spec: {containers: []}', containers: '[]'}",
		"v1 Service":              "spec: {ports: [{port: 80}]}",
		"v1 PersistentVolume":     "spec: {storageClassName: fast, claimRef: {name: home}}",
		"v1 Namespace":            "spec: {}",
		"example.com/v1 Thing":    "spec: {containers: 5}",
		"policy/v1 PodDisruption": "spec: {selector: {}}",
		"apiextensions.k8s.io/v1 CustomResourceDefinition": "spec: {properties: {containers: {type: array, items: {required: [containers]}}, persistentVolumeClaim: {properties: {claimName: {type: string}}}}}",
		"sandbox.opensandbox.io/v1alpha1 BatchSandbox":     "spec: {poolRef: p, template: {spec: {containers: []}}}",
	} {
		version, kind, _ := strings.Cut(head, " ")
		if got := table(t, "apiVersion: "+version+"\nkind: "+kind+"\nmetadata: {name: x}\n"+rest+"\n"); strings.Contains(got, "not looked into") {
			t.Errorf("said %s", got)
		}
	}
}

// TestReplicas: the second pod finds what the first one had created; others are not told.
func TestReplicas(t *testing.T) {
	sandbox := "apiVersion: sandbox.opensandbox.io/v1alpha1\nkind: BatchSandbox\nmetadata: {name: x}\nspec: {replicas: 5, template: " + template + "}\n"
	got := table(t, sandbox)
	wants(t, got, "pod x-0: allowed", "home create", "of 5 replicas the first 2 are explained", "pod x-1: allowed", "home use storage 3Gi the claim as it exists")
	if strings.Contains(got, "x-2") || strings.Contains(got, "warning") {
		t.Errorf("said %s", got)
	}
	wants(t, table(t, strings.Replace(sandbox, "5", "0", 1)), "pod x-0: allowed", "replicas is 0: there is no such pod yet")
	wants(t, table(t, strings.Replace(sandbox, "replicas: 5", "shardPatches: [{}]", 1)), "shardPatches are not read")
	wants(t, table(t, strings.Replace(sandbox, "template: "+template, "poolRef: p", 1)), "there is no pod to explain")
	wants(t, table(t, strings.Replace(sandbox, "replicas: 5", "poolRef: p", 1)), "there is no pod to explain")
	wants(t, table(t, strings.Replace(sandbox, "template: "+template, "a: b", 1)), "error: file: document 1: BatchSandbox x: spec.template.spec is missing")
}

// TestVolumeClaimTemplates: those claims are the controller's; hints for them only drift.
func TestVolumeClaimTemplates(t *testing.T) {
	spec := "{ordinals: {start: 3}, template: " + template + ", podTemplate: " + template +
		", volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}\n"
	got := table(t, "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: x}\nspec: "+spec)
	wants(t, got, "pod x-3: allowed", "data-x-3 use storage 1Gi", "home create",
		`warning: claim "data-x-3" exists: storage 3Gi asked, it has 1Gi`, "claim data-x-3 is made by the StatefulSet's controller itself")
	last := strings.Replace(spec, "{start: 3}", "{start: 2147483647}, replicas: 2", 1)
	wants(t, table(t, "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: x}\nspec: "+last), "pod x-2147483647: allowed", "pod x-2147483648: allowed")
	got = table(t, "apiVersion: agents.x-k8s.io/v1beta1\nkind: Sandbox\nmetadata: {name: x}\nspec: "+spec)
	wants(t, got, "pod x: allowed", "home create", "data-x use storage 1Gi", "claim data-x is made by the Sandbox's controller itself")
	got = table(t, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: "+spec)
	if wants(t, got, "home create"); strings.Contains(got, "data-") {
		t.Errorf("a Deployment has no volumeClaimTemplates: %s", got)
	}
}

// TestExclusiveClaims: a claim of one sandbox's own is refused to the next, within one manifest.
func TestExclusiveClaims(t *testing.T) {
	sandbox := "apiVersion: agents.x-k8s.io/v1beta1\nkind: Sandbox\nmetadata: {name: x, annotations: {volumes.opensandbox.io/deleteOnSandboxTermination: \"true\"}}\nspec: {podTemplate: " + template + "}\n"
	got := table(t, sandbox+"---\n"+strings.Replace(sandbox, "name: x", "name: z", 1))
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
	wants(t, table(t, sandbox, cluster), "pod x: allowed", "home use")
	wants(t, table(t, strings.Replace(sandbox, "name: x", "name: z", 1), cluster), "pod z: refused (409 Conflict)")
}

const aPod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {volumes: [{name: v, persistentVolumeClaim: {claimName: home}}]}\n"

// TestOrder: a claim exists for the pods after it, and is too late for those before.
func TestOrder(t *testing.T) {
	pvc := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: home}\nspec: {resources: {requests: {storage: 9Gi}}}\n"
	class := "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: std, annotations: {storageclass.kubernetes.io/is-default-class: \"true\"}}\n"
	got := table(t, pvc+"---\n"+aPod+"---\n"+class)
	wants(t, got, "home use storage 9Gi the claim as it exists storageClass std")
	if strings.Contains(got, "write it before the pod") || strings.Contains(got, "StorageClasses are not known") {
		t.Errorf("said %s", got)
	}
	wants(t, table(t, aPod+"---\n"+pvc+"---\n"+class), "home create storage 1Gi default storageClass std default",
		"PersistentVolumeClaim default/home comes after a pod that uses it")
	// What the first pod had created has the default class by the time of the second.
	second := strings.Replace(aPod, "name: p", "name: q, annotations: {volumes.opensandbox.io/storageClass: std}", 1)
	if got := table(t, class+"---\n"+aPod+"---\n"+second); strings.Contains(got, "warning") {
		t.Errorf("said %s", got)
	}
}

// TestNamespaces: where a pod goes, and whether the webhook is called there.
func TestNamespaces(t *testing.T) {
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {a: b}, annotations: {volumes.opensandbox.io/storage: 4Gi}}\n"
	wants(t, table(t, namespace+"---\n"+aPod), "home leave", "Namespace default lacks the label volumes.opensandbox.io/auto-create: enabled")
	enabled := strings.Replace(namespace, "a: b", "volumes.opensandbox.io/auto-create: enabled", 1)
	wants(t, table(t, enabled+"---\n"+aPod), `home create storage 4Gi Namespace "default": metadata.annotations`)
	// The cluster's Namespace is what the manifest's goes over.
	wants(t, table(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n---\n"+aPod, enabled), "home create storage 4Gi")
	wants(t, table(t, aPod, "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n"), "Namespace default does not exist")

	e := &explain.Explainer{Config: settings{}.config(t), Namespace: "here", DefaultNamespace: "there"}
	wants(t, tableOf(t, e, aPod), "Pod here/p: allowed")
	elsewhere := strings.Replace(aPod, "name: p", "name: p, namespace: elsewhere", 1)
	wants(t, tableOf(t, e, elsewhere), "Pod elsewhere/p: refused (400 BadRequest)", `the pod names namespace "elsewhere", the request "here"`)
	e.Namespace = ""
	wants(t, tableOf(t, e, aPod), "Pod there/p: allowed")
	wants(t, tableOf(t, e, elsewhere), "Pod elsewhere/p: allowed")
}

// TestClassesNotKnown: offline a class cannot be missing; with classes in the manifest it can.
func TestClassesNotKnown(t *testing.T) {
	pod := strings.Replace(aPod, "name: p", "name: p, annotations: {volumes.opensandbox.io/storageClass: fsat}", 1)
	wants(t, table(t, pod), "p: allowed", "home create", "storageClass fsat", "StorageClasses are not known")
	class := "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: fast}\n"
	wants(t, table(t, class+"---\n"+pod), "p: refused (422 Invalid)", `StorageClass "fsat" does not exist; write one of fast`)
	volume := "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: pv}\nspec: {storageClassName: fsat}\n"
	wants(t, table(t, class+"---\n"+volume+"---\n"+pod), "p: allowed")
	wants(t, table(t, class+"---\n"+aPod), `claim "home" asks for no class and the cluster has no default`)
}
