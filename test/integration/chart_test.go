package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/test/process"
	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// chart renders templates of charts/ensure-volumes with the default values, for
// the namespace of the ground's installation. The helm is the one named by the
// environment variable HELM, or else the one on the PATH.
func chart(t *testing.T, templates ...string) string {
	t.Helper()
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	helm := os.Getenv("HELM")
	if helm == "" {
		helm = "helm"
	}
	args := []string{"template", stack.Name, filepath.Join(root, "charts", "ensure-volumes"), "--namespace", stack.Name}
	for _, template := range templates {
		args = append(args, "--show-only", "templates/"+template)
	}
	if len(templates) == 0 {
		args = append(args, "--no-hooks")
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), helm, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("rendering the chart needs a helm, on the PATH or named by HELM (make helm): %v\n%s", err, &stderr)
	}
	return string(out)
}

// document decodes the document of a kind.
func document(t *testing.T, text, kind string, object any) {
	t.Helper()
	for _, doc := range strings.Split(text, "\n---\n") {
		if strings.Contains(doc, "\nkind: "+kind+"\n") {
			if err := yaml.UnmarshalStrict([]byte(doc), object); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("the chart has no %s", kind)
}

// Every object of the chart is one that the API server takes, without a word of
// warning, and its pods are allowed where the level restricted is enforced.
func TestChartIsTaken(t *testing.T) {
	rendered := chart(t)
	// By another name: the ground's own objects have the chart's.
	others := strings.NewReplacer("name: ensure-volumes\n", "name: chart\n", "name: ensure-volumes-lease\n", "name: chart-lease\n").Replace(rendered)
	output, err := world.cp.Kubectl(t.Context(), others, "create", "--dry-run=server", "-f", "-")
	if err != nil || strings.Contains(output, "Warning") {
		t.Errorf("%v\n%s", err, output)
	}
	var deployment appsv1.Deployment
	document(t, rendered, "Deployment", &deployment)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: stack.Name, Name: "restricted"}, Spec: deployment.Spec.Template.Spec}
	if err := world.admin.Create(t.Context(), pod, client.DryRunAll); err != nil {
		t.Error(err)
	}
	pod = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: stack.Name, Name: "privileged"}, Spec: deployment.Spec.Template.Spec}
	yes := true
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &yes}
	if err := world.admin.Create(t.Context(), pod, client.DryRunAll); err == nil {
		t.Error("the namespace does not enforce restricted")
	}
}

// What `helm test` installs becomes a pod with the claim that nobody has made.
// Only a node could run it.
func TestChartTest(t *testing.T) {
	rendered := chart(t, "tests/claim.yaml")
	if output, err := world.cp.Kubectl(t.Context(), rendered, "apply", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	const ns, name = "ensure-volumes-helm-test", "ensure-volumes-test"
	wait(t, "the Job has a pod", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := world.admin.List(ctx, &pods, client.InNamespace(ns)); err != nil {
			return err
		}
		if len(pods.Items) != 1 {
			return fmt.Errorf("%d pods", len(pods.Items))
		}
		return nil
	})
	world.wantClaims(t, ns, name)
	if size := world.claim(t, ns, name).Spec.Resources.Requests.Storage(); size.String() != "1Mi" {
		t.Errorf("its size is %s", size)
	}
}

// authority gives the account what the chart gives it for the built-in
// authority, its policy included, until the test ends.
func (g *ground) authority(t *testing.T) {
	t.Helper()
	// The ClusterRole by another name: the ground's own stays as it is.
	var role rbacv1.ClusterRole
	document(t, chart(t, "account.yaml"), "ClusterRole", &role)
	role.Name = "chart"
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: stack.Name, Name: stack.Name}}
	g.create(t, &role)
	g.create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name}, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
	})
	rendered := chart(t, "authority.yaml")
	if output, err := g.cp.Kubectl(t.Context(), rendered, "apply", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	t.Cleanup(func() {
		if output, err := g.cp.Kubectl(context.Background(), rendered, "delete", "-f", "-"); err != nil {
			t.Errorf("%v\n%s", err, output)
		}
	})
	// The controller-manager looks for fields that Kubernetes' types do not have.
	wait(t, "the policy is checked", func(ctx context.Context) error {
		policy := &admissionv1.ValidatingAdmissionPolicy{}
		if err := g.admin.Get(ctx, client.ObjectKey{Name: stack.Name}, policy); err != nil {
			return err
		}
		if policy.Status.TypeChecking == nil && policy.Status.ObservedGeneration != policy.Generation {
			return errors.New("not yet")
		}
		if checked := policy.Status.TypeChecking; checked != nil && len(checked.ExpressionWarnings) > 0 {
			t.Errorf("the policy's expressions: %v", checked.ExpressionWarnings)
		}
		return nil
	})
}

// The account may change caBundle in its webhook configuration, and write the
// Secret of its authority. It may do nothing else with either kind.
func TestChartAuthorityIsHeld(t *testing.T) {
	g := world
	g.authority(t)
	webhook := g.as(t, account)
	configuration := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: stack.Name}}
	patch := func(ctx context.Context, operations string) error {
		return webhook.Patch(ctx, configuration.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte("["+operations+"]")), client.DryRunAll)
	}
	wait(t, "the policy holds", func(ctx context.Context) error {
		if err := patch(ctx, `{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Fail"}`); !apierrors.IsForbidden(err) {
			return errors.New(fmt.Sprint("answered ", err))
		}
		return nil
	})
	if err := patch(t.Context(), `{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}`); err != nil {
		t.Error(err)
	}
	for _, operations := range []string{
		`{"op":"replace","path":"/webhooks/0/timeoutSeconds","value":30}`,
		`{"op":"replace","path":"/webhooks/0/rules/0/resources","value":["*"]}`,
		`{"op":"replace","path":"/webhooks/0/clientConfig/url","value":"https://127.0.0.1:1/"}`,
		`{"op":"replace","path":"/webhooks/0/name","value":"other.volumes.opensandbox.io"}`,
		`{"op":"remove","path":"/webhooks/0/namespaceSelector"}`,
		`{"op":"remove","path":"/webhooks/0/matchConditions"}`,
		`{"op":"add","path":"/webhooks/0/objectSelector","value":{"matchLabels":{"a":"b"}}}`,
		`{"op":"copy","from":"/webhooks/0","path":"/webhooks/1"},{"op":"replace","path":"/webhooks/1/name","value":"other.volumes.opensandbox.io"}`,
		`{"op":"remove","path":"/webhooks/0"}`,
		`{"op":"add","path":"/metadata/labels/a","value":"b"}`,
		`{"op":"remove","path":"/metadata/labels"}`,
		`{"op":"add","path":"/metadata/annotations","value":{"a":"b"}}`,
		`{"op":"add","path":"/metadata/finalizers","value":["example.com/hold"]}`,
	} {
		if err := patch(t.Context(), operations); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "nothing but caBundle") {
			t.Errorf("%s: answered %v", operations, err)
		}
	}

	secret := func(ns, name string, kind corev1.SecretType) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Type: kind}
	}
	if err := webhook.Create(t.Context(), secret(stack.Name, "ensure-volumes-ca", corev1.SecretTypeOpaque), client.DryRunAll); err != nil {
		t.Error(err)
	}
	token := secret(stack.Name, "ensure-volumes-ca", corev1.SecretTypeServiceAccountToken)
	token.Annotations = map[string]string{corev1.ServiceAccountNameKey: "default"}
	for _, s := range []*corev1.Secret{
		token, secret(stack.Name, "other", corev1.SecretTypeOpaque), secret("default", "ensure-volumes-ca", corev1.SecretTypeOpaque),
		{ObjectMeta: metav1.ObjectMeta{Namespace: stack.Name, GenerateName: "ensure-volumes-ca"}},
	} {
		if err := webhook.Create(t.Context(), s, client.DryRunAll); !apierrors.IsForbidden(err) {
			t.Errorf("%s %s/%s: answered %v", s.Type, s.Namespace, s.Name, err)
		}
	}
	// The policy is about the account, not about Secrets.
	if err := g.admin.Create(t.Context(), secret(stack.Name, "other", corev1.SecretTypeOpaque), client.DryRunAll); err != nil {
		t.Error(err)
	}
	// It reads these two by name, and no others.
	if err := webhook.Get(t.Context(), client.ObjectKeyFromObject(configuration), configuration.DeepCopy()); err != nil {
		t.Error(err)
	}
	if err := webhook.Get(t.Context(), client.ObjectKey{Namespace: stack.Name, Name: "ensure-volumes-ca"}, &corev1.Secret{}); !apierrors.IsNotFound(err) {
		t.Errorf("answered %v", err)
	}
	for _, err := range []error{
		webhook.Get(t.Context(), client.ObjectKey{Namespace: stack.Name, Name: "other"}, &corev1.Secret{}),
		webhook.List(t.Context(), &corev1.SecretList{}, client.InNamespace(stack.Name)),
		webhook.List(t.Context(), &admissionv1.MutatingWebhookConfigurationList{}),
		webhook.Get(t.Context(), client.ObjectKeyFromObject(configuration), &admissionv1.ValidatingWebhookConfiguration{}),
		webhook.Delete(t.Context(), configuration.DeepCopy(), client.DryRunAll),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("answered %v", err)
		}
	}
}
