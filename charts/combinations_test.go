package charts_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

func TestLint(t *testing.T) {
	stdout, stderr, err := command(t, "HELM", "helm", "", "lint", "--strict", chart)
	if err != nil || !strings.Contains(stdout, "0 chart(s) failed") || strings.Contains(stdout, "WARNING") || strings.Contains(stdout, "ERROR") {
		t.Errorf("%v\n%s%s", err, stdout, stderr)
	}
}

// leaves are the values that are set, by their paths in the chart.
func leaves(known []value, path string, set any, found map[string]bool) {
	for _, v := range known {
		if v.path == path {
			found[path] = true
			return
		}
	}
	for key, below := range set.(map[string]any) {
		leaves(known, strings.TrimPrefix(path+"."+key, "."), below, found)
	}
}

// without returns values that lack one.
func without(set map[string]any, path string) map[string]any {
	set = maps.Clone(set)
	key, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		delete(set, key)
		return set
	}
	set[key] = without(set[key].(map[string]any), rest)
	return set
}

// Each combination that the README shows is decoded strictly, every value is part of one, and none is without effect.
func TestExamples(t *testing.T) {
	known := values(t)
	used := map[string]bool{}
	rendered := func(set map[string]any) string {
		text, err := yaml.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		stdout, stderr, err := command(t, "HELM", "helm", string(text), "template", name, chart, "--namespace", name, "--values", "-")
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, stderr, text)
		}
		return stdout
	}
	for _, e := range examples(t) {
		var set map[string]any
		text, err := os.ReadFile(e.Path)
		if err == nil {
			err = yaml.UnmarshalStrict(text, &set)
		}
		if err != nil {
			t.Fatal(err)
		}
		here := map[string]bool{}
		leaves(known, "", set, here)
		all := rendered(set)
		decode(t, all)
		for path := range here {
			used[path] = true
			// What needs these is refused without them, as TestRefused shows.
			if path == "certificates.mode" && (here["certificates.issuer.name"] || here["certificates.caBundle"]) {
				continue
			}
			if rendered(without(set, path)) == all {
				t.Errorf("%s: %s has no effect", filepath.Base(e.Path), path)
			}
		}
	}
	for _, v := range known {
		if !used[v.path] {
			t.Errorf("%s is in no example", v.path)
		}
	}
}

// What the chart tells the webhook, the webhook understands.
func TestArguments(t *testing.T) {
	for _, file := range []string{"more-owners.yaml", "careful.yaml"} {
		text, err := os.ReadFile(filepath.Join(chart, "examples", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, arg := range arguments(t, string(text)) {
			name, value, _ := strings.Cut(arg, "=")
			switch name {
			case "--owner-kinds":
				if kinds, err := provision.ParseOwnerKinds(value); err != nil || len(kinds) < 2 {
					t.Errorf("%s: %v", arg, err)
				}
			case "--default-storage":
				if _, problem := claim.ParseStorage(value); problem != "" {
					t.Errorf("%s: %s", arg, problem)
				}
			}
		}
	}
	want := []string{"--volume-auto-create=false", "--missing-storage-class=warn", "--delete-on-sandbox-termination=false", "--log-level=debug", "--owner-kinds="}
	got := arguments(t, "{volumeAutoCreate: false, missingStorageClass: warn, deleteOnSandboxTermination: false, logLevel: debug, ownerKinds: []}")
	for _, arg := range want {
		if !slices.Contains(got, arg) {
			t.Errorf("arguments %q lack %s", got, arg)
		}
	}
}

// Whatever is read of owners may be read, and nothing else.
func TestOwnerKindsAreReadable(t *testing.T) {
	for values, want := range map[string][]string{
		"":               {"agents.x-k8s.io/sandboxes", "sandbox.opensandbox.io/batchsandboxes"},
		"ownerKinds: []": nil,
		"ownerKinds: [{kind: StatefulSet, group: apps, resource: statefulsets}]": {"apps/statefulsets"},
	} {
		var got []string
		for _, rule := range role(t, values) {
			if slices.Equal(rule.Verbs, []string{"get"}) {
				got = append(got, rule.APIGroups[0]+"/"+rule.Resources[0])
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: may read %v, want %v", values, got, want)
		}
	}
}

// What the account may do grows by what is switched on, and the arguments say the same.
func TestSafetyNetGrowsTheRole(t *testing.T) {
	const reads, writes = "/pods get,list,watch", "/persistentvolumeclaims patch"
	net := []string{"/events create,patch", writes, reads}
	for values, want := range map[string][]string{
		"safetyNet: {enabled: false}": nil,
		"":                            net,
		"safetyNet: {deleteOrphanedClaims: true}":                 {"/events create,patch", "/persistentvolumeclaims delete", writes, reads},
		"safetyNet: {enabled: false, deleteOrphanedClaims: true}": nil,
		"deleteOnSandboxTermination: false":                       net, // claims of before go with their sandboxes all the same
	} {
		var got []string
		for _, rule := range role(t, values) {
			if r := rule.Resources[0]; r == "pods" || r == "events" || r == "persistentvolumeclaims" && !slices.Contains(rule.Verbs, "create") {
				got = append(got, rule.APIGroups[0]+"/"+r+" "+strings.Join(rule.Verbs, ","))
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", values, got, want)
		}
		rendered := helm(t, values)
		if on := !strings.Contains(values, "enabled: false"); on != (rendered["Role/ensure-volumes-lease"] != nil) || on != (rendered["RoleBinding/ensure-volumes-lease"] != nil) {
			t.Errorf("%s: leases may be written: %t", values, !on)
		}
		for _, arg := range []string{
			fmt.Sprintf("--safety-net=%t", !strings.Contains(values, "enabled: false")),
			fmt.Sprintf("--delete-orphaned-claims=%t", strings.Contains(values, "deleteOrphanedClaims: true")),
			"--lease=" + name + "/" + name,
		} {
			if got := arguments(t, values); !slices.Contains(got, arg) {
				t.Errorf("%s: arguments %q lack %s", values, got, arg)
			}
		}
	}
}

// The selector's label stays whatever people add, and the chart's own labels win.
func TestLabelsOfPeople(t *testing.T) {
	d := deployment(t, "{labels: {app.kubernetes.io/name: mine, a: b}, annotations: {c: d}, podLabels: {app.kubernetes.io/name: mine, e: f}, podAnnotations: {g: h}}")
	for got, want := range map[string]string{
		d.Labels["app.kubernetes.io/name"]: name, d.Labels["a"]: "b", d.Annotations["c"]: "d",
		d.Spec.Template.Labels["e"]: "f", d.Spec.Template.Annotations["g"]: "h",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := d.Spec.Template.Labels["app.kubernetes.io/name"]; got != d.Spec.Selector.MatchLabels["app.kubernetes.io/name"] {
		t.Errorf("the pods are called %q", got)
	}
}

// `helm test`: a pod that needs a claim, in a namespace that is switched on and restricted. Helm deletes that namespace
// before and after, so its name is no other's, wherever the release is: team-test may be somebody's.
func TestTest(t *testing.T) {
	stdout, stderr, err := command(t, "HELM", "helm", "test: {storageClass: fast}", "template", name, chart, "--namespace", "team", "--values", "-")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	rendered := decode(t, stdout)
	namespace, job := get[*corev1.Namespace](t, rendered, "Namespace/ensure-volumes-helm-test"), get[*batchv1.Job](t, rendered, "Job/ensure-volumes-test")
	if namespace.Name != job.Namespace || namespace.Labels[claim.KeyAutoCreate] != claim.Enabled || namespace.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("the namespace %q %v for a Job in %q", namespace.Name, namespace.Labels, job.Namespace)
	}
	for _, object := range []map[string]string{namespace.Annotations, job.Annotations} {
		if object["helm.sh/hook"] != "test" {
			t.Errorf("annotations %v: it would be installed with the release", object)
		}
	}
	if namespace.Annotations["helm.sh/hook-weight"] >= job.Annotations["helm.sh/hook-weight"] {
		t.Error("the Job comes before its namespace")
	}
	pod := job.Spec.Template
	claimName := pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName
	for field, want := range map[string]string{"storage": "1Mi", "storageClass": "fast"} {
		if got := pod.Annotations[claimName+".volumes.opensandbox.io/"+field]; got != want {
			t.Errorf("%s %q, want %q", field, got, want)
		}
	}
	// What the image's one program does by itself, and ends well.
	if got := pod.Spec.Containers[0].Args; !slices.Equal(got, []string{"--help"}) {
		t.Errorf("it runs %q", got)
	}
}
