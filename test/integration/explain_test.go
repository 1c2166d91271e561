package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/explain"
)

// explained runs `webhook explain` over a manifest on its standard input.
func (g *ground) explained(t *testing.T, manifest string, args ...string) (report explain.Report, exitCode int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), g.in.Binary, append([]string{"explain", "-f", "-", "-o", "json"}, args...)...)
	cmd.Stdin = strings.NewReader(manifest)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
		exitCode = 1
	} else if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.String())
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	return report, exitCode
}

// kubeconfigOf is an administrator's kubeconfig that acts as somebody else.
func (g *ground) kubeconfigOf(t *testing.T, user string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(g.cp.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range config.AuthInfos {
		info.Impersonate = user
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// What explain says of a manifest with the cluster's help is what then happens to
// it: the same warnings, refusals and claims. It writes nothing itself.
func TestExplainTellsWhatHappens(t *testing.T) {
	t.Parallel()
	ns, person := world.tenant(t, "storage", "4Gi"), world.author(t)
	world.create(t, claim(ns, "there", "1Gi"))
	o := world.owner(t, sandbox, ns, "sb1", extensions, `[{"claimName":"home","storageClass":"fast"}]`, scoped("home", deleteOnTermination), "true")
	first := by(o, hinted(pod(ns, "sb1", "home", "there", "data"), scoped("there", "storage"), "2Gi", scoped("data", "accessModes"), "RWX"))
	second := hinted(pod(ns, "p2", "data", "more"), scoped("nowhere", "storage"), "1Gi", "storageClass", fast)
	faulty := hinted(pod(ns, "p3", "never"), "storage", "10 GB", "storageClass", "fsat")
	stranger := pod(ns, "p4", "home")

	manifest := strings.Join([]string{
		world.manifest(t, first), world.manifest(t, second), world.manifest(t, faulty), world.manifest(t, stranger),
	}, "\n---\n")
	report, code := world.explained(t, manifest, "-n", ns, "--kubeconfig", world.cp.Kubeconfig)
	if code != 1 || len(report.Pods) != 4 || len(report.Notes) > 0 {
		t.Fatalf("exit code %d, %d pods, notes %q", code, len(report.Pods), report.Notes)
	}
	world.wantClaims(t, ns, "there")

	told := map[string]string{} // claims, as describe tells of them
	for i, p := range []error{
		person.Create(t.Context(), first), person.Create(t.Context(), second),
		person.Create(t.Context(), faulty), person.Create(t.Context(), stranger),
	} {
		if r := report.Pods[i]; r.Allowed != (p == nil) {
			t.Errorf("pod %s: told %v, and it is %v", r.Name, r.Refusal, p)
		} else if p != nil {
			s := status(t, p)
			if s.Code != r.Refusal.Code || !strings.Contains(s.Message, strings.ReplaceAll(r.Refusal.Message, "\n", " ")) {
				t.Errorf("pod %s: told %+v, and it is %+v", r.Name, r.Refusal, s)
			}
		}
		for _, c := range report.Pods[i].Claims {
			if c.Action == explain.Create {
				told[c.Name] = c.Values[0].Value + " " + c.Values[1].Value + " [" + c.Values[2].Value + "]"
			}
		}
	}
	var warned []string
	for _, p := range report.Pods {
		warned = append(warned, p.Warnings...)
	}
	if got := person.warned(); len(warned) < 3 || !slices.Equal(got, warned) {
		t.Errorf("told the warnings %q, and they are %q", warned, got)
	}
	world.wantClaims(t, ns, "data", "home", "more", "there")
	if len(told) != 3 {
		t.Errorf("told of %v", told)
	}
	for name, want := range told {
		if got := world.describe(t.Context(), ns, name); got != want {
			t.Errorf("claim %s: told %s, and it is %s", name, want, got)
		}
	}
	if _, kept := world.claim(t, ns, "home").Annotations[domain+"/delete-with-owner"]; !kept {
		t.Error("the claim home does not go with its owner")
	}
}

// Whoever may only list the claims of his namespace is told what is not known; who
// may not do that is told so, and gets no answer that could be wrong.
func TestExplainWithFewPermissions(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	reader := "reader-" + ns
	world.create(t, claim(ns, "there", "1Gi"))
	kubeconfig := world.kubeconfigOf(t, reader)
	manifest := world.manifest(t, hinted(pod(ns, "p", "data", "there"), "storageClass", "fsat"))

	cmd := exec.CommandContext(t.Context(), world.in.Binary, "explain", "-f", "-", "--kubeconfig", kubeconfig)
	cmd.Stdin = strings.NewReader(manifest)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	exit := (*exec.ExitError)(nil)
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 2 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "listing the PersistentVolumeClaims of namespace "+ns) {
		t.Errorf("%v, said %q and %q", err, stdout.String(), stderr.String())
	}

	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "reader"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"persistentvolumeclaims"}, Verbs: []string{"list"}}},
	}
	world.create(t, role)
	world.create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: reader}},
	})
	person := world.as(t, reader)
	wait(t, reader+" may list claims", func(ctx context.Context) error {
		return person.List(ctx, &corev1.PersistentVolumeClaimList{}, client.InNamespace(ns))
	})
	report, _ := world.explained(t, manifest, "--kubeconfig", kubeconfig)
	notes := strings.Join(report.Notes, "\n")
	for _, says := range []string{"StorageClasses cannot be listed", "PersistentVolumes cannot be listed", "Namespace " + ns + " cannot be read"} {
		if !strings.Contains(notes, says) {
			t.Errorf("no note %q in %q", says, notes)
		}
	}
	if claims := report.Pods[0].Claims; claims[0].Action != explain.Create || claims[1].Action != explain.Use {
		t.Errorf("claims %+v", claims)
	}
	for _, event := range world.events(t, reader) {
		if event.Verb != "get" && event.Verb != "list" && strings.HasPrefix(event.User.Username, "reader-") {
			t.Errorf("a %s of %s", event.Verb, event.RequestURI)
		}
	}
}
