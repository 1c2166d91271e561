package charts_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// withoutHelm takes off the labels that Helm's conventions put on every object.
func withoutHelm(t *testing.T, rendered objects) objects {
	t.Helper()
	for key, object := range rendered {
		labels := maps.Clone(head(t, object).GetLabels())
		for _, label := range []string{"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"} {
			if labels[label] == "" {
				t.Errorf("%s lacks the label %s", key, label)
			}
			delete(labels, label)
		}
		head(t, object).SetLabels(labels)
	}
	return rendered
}

// agree compares two renderings object by object.
func agree(t *testing.T, got, want objects) {
	t.Helper()
	if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
		t.Errorf("the chart has\n%s\nwant\n%s", strings.Join(g, "\n"), strings.Join(w, "\n"))
	}
	for key, object := range want {
		if got[key] == nil || reflect.DeepEqual(got[key], object) {
			continue
		}
		g, err := yaml.Marshal(got[key])
		if err != nil {
			t.Fatal(err)
		}
		w, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s differs; the chart alone says\n%sand lacks\n%s", key, onlyIn(g, w), onlyIn(w, g))
	}
}

// onlyIn are the lines of one text that another does not have.
func onlyIn(text, other []byte) string {
	have := map[string]bool{}
	for line := range strings.Lines(string(other)) {
		have[line] = true
	}
	var result strings.Builder
	for line := range strings.Lines(string(text)) {
		if !have[line] {
			result.WriteString(line)
		}
	}
	return result.String()
}

// base is config/webhook without its Namespace, which Helm makes, or is given: it must enforce no more than restricted.
func base(t *testing.T, folder string) objects {
	t.Helper()
	want := kustomize(t, folder)
	delete(want, "Namespace/"+name)
	return want
}

// A Secret that somebody else makes is what config/webhook is made for: not a word differs.
func TestSecretIsTheBase(t *testing.T) {
	agree(t, withoutHelm(t, helm(t, "certificates: {mode: secret}")), base(t, "../config/webhook"))
}

// cert-manager is what config/certs adds to it.
func TestCertManagerIsTheComponent(t *testing.T) {
	agree(t, withoutHelm(t, helm(t, "certificates: {mode: cert-manager}")), base(t, "../config/testdata/cert-manager"))
}

// The default differs from config/webhook by how the certificate comes about, and by nothing else. This is the whole
// difference.
func TestDefaultIsTheBaseButForItsCertificate(t *testing.T) {
	got, want := withoutHelm(t, helm(t, "")), base(t, "../config/webhook")

	// No certificate is mounted: each replica signs its own, in memory.
	pod := &get[*appsv1.Deployment](t, want, "Deployment/"+name).Spec.Template.Spec
	pod.Volumes, pod.SecurityContext.FSGroup = nil, nil
	container := &pod.Containers[0]
	container.VolumeMounts = nil
	i := slices.Index(container.Args, "--cert-dir=/etc/ensure-volumes/certs")
	if i < 0 {
		t.Fatalf("the base's arguments %q name no folder of certificates", container.Args)
	}
	container.Args = slices.Replace(container.Args, i, i+1,
		"--certificates=builtin", "--ca-secret="+name+"/ensure-volumes-ca", "--ca-lifetime=8760h", "--leaf-lifetime=240h")

	// It writes caBundle into the one configuration …
	role := get[*rbacv1.ClusterRole](t, want, "ClusterRole/"+name)
	role.Rules = append(role.Rules, rbacv1.PolicyRule{
		APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"mutatingwebhookconfigurations"}, ResourceNames: []string{name},
		Verbs: []string{"get", "watch", "patch"},
	})
	// … and nothing else there; test/integration shows it on a real API server.
	policy := get[*admissionv1.ValidatingAdmissionPolicy](t, got, "ValidatingAdmissionPolicy/"+name)
	if *policy.Spec.FailurePolicy != admissionv1.Fail {
		t.Errorf("the policy's failurePolicy is %s", *policy.Spec.FailurePolicy)
	}
	binding := get[*admissionv1.ValidatingAdmissionPolicyBinding](t, got, "ValidatingAdmissionPolicyBinding/"+name)
	if want := (admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: policy.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
	}); !reflect.DeepEqual(binding.Spec, want) {
		t.Errorf("the policy's binding is %+v", binding.Spec)
	}

	// It keeps its authority in one Secret.
	account := get[*corev1.ServiceAccount](t, want, "ServiceAccount/"+name)
	own := get[*rbacv1.Role](t, got, "Role/"+name)
	if want := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"ensure-volumes-ca"}, Verbs: []string{"get", "watch", "update"}},
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}},
	}; own.Namespace != account.Namespace || !reflect.DeepEqual(own.Rules, want) {
		t.Errorf("the Role in %q: %v", own.Namespace, own.Rules)
	}
	bound := get[*rbacv1.RoleBinding](t, got, "RoleBinding/"+name)
	if wantRef, wantSubjects := (rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: own.Name}),
		[]rbacv1.Subject{{Kind: "ServiceAccount", Name: account.Name, Namespace: account.Namespace}}; bound.Namespace != account.Namespace ||
		bound.RoleRef != wantRef || !reflect.DeepEqual(bound.Subjects, wantSubjects) {
		t.Errorf("the RoleBinding in %q: %v to %v", bound.Namespace, bound.Subjects, bound.RoleRef)
	}

	for _, kind := range []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "Role", "RoleBinding"} {
		delete(got, kind+"/"+name)
	}
	agree(t, got, want)
}

// Nothing but the release's namespace is named, whatever it is called; that of `helm test` has a name of its own.
func TestAnotherNamespace(t *testing.T) {
	for _, mode := range []string{"builtin", "cert-manager", "secret"} {
		stdout, stderr, err := command(t, "HELM", "helm", "", "template", "another", chart, "--namespace", "elsewhere", "--no-hooks", "--set", "certificates.mode="+mode)
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		for key, object := range decode(t, stdout) {
			if ns := head(t, object).GetNamespace(); ns != "" && ns != "elsewhere" {
				t.Errorf("%s: %s is in namespace %q", mode, key, ns)
			}
		}
		for _, reference := range []string{"namespace: ensure-volumes", "serviceaccount:ensure-volumes:", "ensure-volumes.ensure-volumes.svc", "ensure-volumes/ensure-volumes-tls"} {
			if strings.Contains(strings.ReplaceAll(stdout, `"`, ""), reference) {
				t.Errorf("%s: the rendering says %q", mode, reference)
			}
		}
	}
}
