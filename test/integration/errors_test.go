package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// denied is how the API server introduces what the webhook refuses.
const denied = `admission webhook "` + entry + `" denied the request: `

// saw holds that docs/errors.md has what a pod's author was told.
func (g *ground) saw(t *testing.T, name string, err error) {
	t.Helper()
	var refused apierrors.APIStatus
	if !errors.As(err, &refused) {
		t.Errorf("%s: got %v, want a refusal", name, err)
		return
	}
	s := refused.Status()
	g.faults.Saw(t, name, fmt.Sprintf("%d %s", s.Code, strings.TrimPrefix(s.Message, denied)))
}

// warned holds that docs/errors.md has what a pod's author was warned of.
func (g *ground) warned(t *testing.T, name string, warnings []string) {
	t.Helper()
	g.faults.Saw(t, name, "Warning: "+strings.Join(warnings, "; "))
}

// refusedPods are pods that are refused for what is on them, by their row in docs/errors.md.
func refusedPods() map[string]func(p *corev1.Pod) {
	hint := func(pairs ...string) func(*corev1.Pod) { return func(p *corev1.Pod) { hinted(p, pairs...) } }
	label := func(key, value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Labels = map[string]string{key: value} }
	}
	return map[string]func(*corev1.Pod){
		"size":                hint("storage", "10 GB"),
		"size-nonsense":       hint("storage", "plenty"),
		"size-zero":           hint("storage", "0"),
		"size-too-large":      hint("storage", "8Ei"),
		"mode":                hint("accessModes", "RWZ"),
		"modes-contradict":    hint("accessModes", "RWO,RWOP"),
		"boolean":             hint("createIfNotExists", "yes"),
		"field":               hint("acessModes", "RWX"),
		"field-case":          hint("Storage", "1Gi"),
		"class-name":          hint("storageClass", "Fast!"),
		"class-missing":       hint("storageClass", "fsat"),
		"claim-name-as-key":   hint("claimName", "data"),
		"domain-case":         hint("Volumes.OpenSandbox.io/storage", "1Gi"),
		"list-too-full":       hint("claims", "["+strings.Repeat("a,", 5000)+"]"),
		"hints-too-long":      hint("storage", strings.Repeat("9", 257<<10)),
		"list-as-label":       label(claims, "data"),
		"list-with-scope":     hint(scoped("data", "claims"), "[]"),
		"list-broken":         hint("claims", "["),
		"list-no-list":        hint("claims", `{"claimName":"data"}`),
		"list-too-long":       hint("claims", "["+strings.Repeat(" ", 65<<10)+"]"),
		"list-too-deep":       hint("claims", "[[[[[[[[[]]]]]]]]]"),
		"list-alias":          hint("claims", "- &a {claimName: data}\n- *a"),
		"list-two-documents":  hint("claims", "- claimName: data\n---\n- claimName: data"),
		"list-key-twice":      hint("claims", `[{"claimName":"data","storage":"1Gi","storage":"2Gi"}]`),
		"list-no-object":      hint("claims", `["data"]`),
		"list-no-name":        hint("claims", `[{"storage":"1Gi"}]`),
		"list-empty-name":     hint("claims", `[{"claimName":""}]`),
		"list-claim-twice":    hint("claims", `[{"claimName":"data"},{"claimName":"data"}]`),
		"list-number":         hint("claims", `[{"claimName":"data","storage":10}]`),
		"values-differ":       hint("storage", "1Gi", "claims", `[{"claimName":"data","storage":"2Gi"}]`, scoped("data", "storage"), "3Gi"),
		"must-exist":          hint("createIfNotExists", "false"),
		"too-many-claims":     func(p *corev1.Pod) { p.Spec = pod("", "", numbered(65)...).Spec },
		"claim-name":          func(p *corev1.Pod) { p.Spec.Volumes[0].PersistentVolumeClaim.ClaimName = "My_Data" },
		"claim-name-empty":    func(p *corev1.Pod) { p.Spec.Volumes[0].PersistentVolumeClaim.ClaimName = "" },
		"claim-name-too-long": func(p *corev1.Pod) { p.Spec.Volumes[0].PersistentVolumeClaim.ClaimName = strings.Repeat("a", 254) },
	}
}

// TestErrorsOfPods: what is wrong with a pod is told in the words of docs/errors.md, and nothing is created.
func TestErrorsOfPods(t *testing.T) {
	t.Parallel()
	ns, person := world.namespace(t), world.author(t)
	for name, change := range refusedPods() {
		t.Run(name, func(t *testing.T) {
			p := pod(ns, "sb1", "data")
			change(p)
			world.saw(t, name, person.Create(t.Context(), p))
		})
	}
	world.wantNothingLeft(t, ns)
}

// TestErrorsOfNamespacesAndOwners: those who are not the pod's author can be wrong as well.
func TestErrorsOfNamespacesAndOwners(t *testing.T) {
	t.Parallel()
	ns, person := world.namespace(t), world.author(t)
	o := world.owner(t, batchSandbox, ns, "sb1", domain+"/storage", "ten")
	world.saw(t, "owner", person.Create(t.Context(), by(o, pod(ns, "sb1-0", "data"))))
	// As the informer hears of the annotation in its own time, so does the pod's author.
	for name, annotation := range map[string][2]string{
		"namespace": {domain + "/storage", "ten"}, "strict-mode": {domain + "/createIfNotExists", "false"},
	} {
		ns := world.namespace(t)
		world.annotate(t, ns, annotation)
		var err error
		wait(t, "the Namespace's annotation is known", func(ctx context.Context) error {
			if err = world.admin.Create(ctx, pod(ns, "sb1", "data"), client.DryRunAll); err == nil {
				return errors.New("the pod was admitted")
			}
			return nil
		})
		world.saw(t, name, err)
	}
}

// annotate sets an annotation of a Namespace.
func (g *ground) annotate(t *testing.T, ns string, annotation [2]string) {
	t.Helper()
	n := &corev1.Namespace{}
	n.Name = ns
	patch := client.MergeFrom(n.DeepCopy())
	n.Annotations = map[string]string{annotation[0]: annotation[1]}
	if err := g.admin.Patch(t.Context(), n, patch); err != nil {
		t.Fatal(err)
	}
}

// TestWarnings: what does not refuse a pod is told in the words of docs/errors.md.
func TestWarnings(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	o := world.owner(t, batchSandbox, ns, "gone")
	world.create(t, claim(ns, "there", "1Gi"))
	wait(t, "the claim is known", func(ctx context.Context) error {
		p := pod(ns, "probe", "there")
		err := world.admin.Create(ctx, p, client.DryRunAll)
		if err == nil && p.Annotations[domain+"/created"] != "" {
			err = errors.New("the webhook would create it")
		}
		return err
	})
	for name, test := range map[string]struct {
		claim string
		hints []string
	}{
		"drift-size":              {"there", []string{"storage", "2Gi"}},
		"drift-class":             {"there", []string{"storageClass", "fast"}},
		"drift-modes":             {"there", []string{"accessModes", "RWX"}},
		"drift-deletion":          {"there", []string{"deleteOnSandboxTermination", "true"}},
		"fault-of-existing":       {"there", []string{"storage", "ten"}},
		"unused-hint":             {"there", []string{scoped("their", "storage"), "2Gi"}},
		"kept-without-controller": {"new", []string{"deleteOnSandboxTermination", "true"}},
		"owner-gone":              {"new", nil},
		"namespace-key":           {"there", nil},
	} {
		t.Run(name, func(t *testing.T) {
			person := world.author(t)
			p := hinted(pod(ns, "sb1", test.claim), test.hints...)
			switch name {
			case "owner-gone":
				o.SetUID("00000000-0000-4000-8000-000000000000")
				p = by(o, p)
			case "namespace-key":
				p.Namespace = world.namespace(t)
				world.annotate(t, p.Namespace, [2]string{domain + "/claims", "[]"})
			}
			wait(t, "there is a warning", func(ctx context.Context) error {
				if err := person.Create(ctx, p.DeepCopy(), client.DryRunAll); err != nil {
					return err
				}
				person.said.mu.Lock()
				defer person.said.mu.Unlock()
				if len(person.said.list) == 0 {
					return errors.New("there is none")
				}
				return nil
			})
			world.warned(t, name, person.warned())
		})
	}
}

// TestErrorsOfReviews: what the webhook's port says to whoever sends it something else than a review that it answers.
func TestErrorsOfReviews(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	good := review(t, ns, pod(ns, "good", "data"))
	for name, body := range map[string]string{
		"review-empty": "empty", "review-truncated": "truncated", "review-too-large": "4 MiB and 1 byte", "review-content-type": "another content type",
		"review-version": "v1beta1", "review-without-request": "no request", "review-without-uid": "no UID", "review-of-another-kind": "no pod",
		"review-of-another-operation": "no creation", "review-without-namespace": "no namespace", "review-without-object": "no object",
	} {
		found := false
		for _, test := range badBodies(strings.Replace(good, `"operation":"CREATE"`, `"operation":"CREATE","dryRun":true`, 1)) {
			if found = test.name == body; found {
				code, said := post(t, test.contentType, test.body)
				world.faults.Saw(t, name, fmt.Sprintf("%d %s", code, said))
				break
			}
		}
		if !found {
			t.Errorf("there is no body %q", body)
		}
	}
	code, said, _, err := ask(t.Context(), world.in, http.MethodGet, "/mutate", "")
	if err != nil {
		t.Fatal(err)
	}
	world.faults.Saw(t, "review-by-get", fmt.Sprintf("%d %s", code, said))
	response := world.forge(t, ns, pod("elsewhere", "forged", "data"))
	world.faults.Saw(t, "review-of-two-namespaces", fmt.Sprintf("%d %s", response.Result.Code, response.Result.Message))
}

// TestErrorsOfFlags: a webhook that cannot start says why.
func TestErrorsOfFlags(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{
		"flag-unknown":          {"--storage=1Gi"},
		"flag-argument":         {"storage"},
		"flag-default-storage":  {"--default-storage=10 GB"},
		"flag-missing-class":    {"--missing-storage-class=maybe"},
		"flag-owner-kinds":      {"--owner-kinds=Sandbox"},
		"flag-certificates":     {"--certificates=magic"},
		"flag-ca-secret":        {"--ca-secret=ca"},
		"flag-max-connections":  {"--max-connections=0"},
		"flag-log-level":        {"--log-level=loud"},
		"flag-kubeconfig":       {"--kubeconfig=/does/not/exist"},
		"address-in-use":        {"--kubeconfig=" + world.in.Kubeconfig, "--listen=" + world.in.Address, "--metrics-listen=0"},
		"certificate-lifetimes": {"--kubeconfig=" + world.in.Kubeconfig, "--certificates=builtin", "--ca-lifetime=1s"},
	} {
		output, err := exec.CommandContext(t.Context(), world.in.Binary, flags...).CombinedOutput()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("%s: %v\n%s", name, err, output)
		}
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		world.faults.Saw(t, name, lines[len(lines)-1])
	}
}
