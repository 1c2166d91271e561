package charts_test

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func deployment(t *testing.T, values string) *appsv1.Deployment {
	t.Helper()
	return get[*appsv1.Deployment](t, helm(t, values), "Deployment/"+name)
}

func arguments(t *testing.T, values string) []string {
	t.Helper()
	return deployment(t, values).Spec.Template.Spec.Containers[0].Args
}

func role(t *testing.T, values string) []rbacv1.PolicyRule {
	t.Helper()
	return get[*rbacv1.ClusterRole](t, helm(t, values), "ClusterRole/"+name).Rules
}

func TestImage(t *testing.T) {
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for values, want := range map[string]string{
		"":                                   "ensure-volumes:dev",
		"image: {tag: '2'}":                  "ensure-volumes:2",
		"image: {repository: example.com/a}": "example.com/a:dev",
		"image: {digest: '" + digest + "'}":  "ensure-volumes@" + digest,
		"image: {tag: '2', digest: '" + digest + "'}": "ensure-volumes:2@" + digest,
	} {
		if got := deployment(t, values).Spec.Template.Spec.Containers[0].Image; got != want {
			t.Errorf("%s: %s, want %s", values, got, want)
		}
	}
}

// What YAML would read as something else stays text.
func TestTextStaysText(t *testing.T) {
	d := deployment(t, `{goMemLimit: "off", priorityClassName: "1", nodeSelector: {a: "true"}, podAnnotations: {b: "1"}, image: {tag: "1.0"}}`)
	spec := d.Spec.Template.Spec
	if spec.Containers[0].Env[0].Value != "off" || spec.PriorityClassName != "1" || spec.NodeSelector["a"] != "true" {
		t.Errorf("%v %q %v", spec.Containers[0].Env, spec.PriorityClassName, spec.NodeSelector)
	}
}

// The API server's side of the settings, and of a certificate that somebody else makes.
func TestWebhook(t *testing.T) {
	const bundle = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
	values, err := yaml.Marshal(map[string]any{
		"failurePolicy": "Fail", "timeoutSeconds": 10, "certificates": map[string]any{"mode": "secret", "secretName": "mine", "caBundle": bundle},
	})
	if err != nil {
		t.Fatal(err)
	}
	rendered := helm(t, string(values))
	webhook := get[*admissionv1.MutatingWebhookConfiguration](t, rendered, "MutatingWebhookConfiguration/"+name).Webhooks[0]
	if *webhook.FailurePolicy != admissionv1.Fail || *webhook.TimeoutSeconds != 10 || string(webhook.ClientConfig.CABundle) != bundle {
		t.Errorf("%+v", webhook)
	}
	if got := get[*appsv1.Deployment](t, rendered, "Deployment/"+name).Spec.Template.Spec.Volumes[0].Secret.SecretName; got != "mine" {
		t.Errorf("the Secret %q is mounted", got)
	}
}

// An issuer of somebody's is asked for the same certificate, and no authority of ours is made.
func TestIssuer(t *testing.T) {
	rendered := helm(t, "certificates: {mode: cert-manager, secretName: mine, issuer: {name: company, kind: ClusterIssuer, group: example.com}}")
	certificate := get[*unstructured.Unstructured](t, rendered, "Certificate/ensure-volumes-tls")
	ref, _, err := unstructured.NestedStringMap(certificate.Object, "spec", "issuerRef")
	if err != nil || ref["name"] != "company" || ref["kind"] != "ClusterIssuer" || ref["group"] != "example.com" {
		t.Errorf("issuer %v, %v", ref, err)
	}
	if secret, _, _ := unstructured.NestedString(certificate.Object, "spec", "secretName"); secret != "mine" {
		t.Errorf("it goes to %q", secret)
	}
	for key := range rendered {
		if strings.HasPrefix(key, "Issuer/") || key == "Certificate/ensure-volumes-ca" {
			t.Errorf("%s is made all the same", key)
		}
	}
}

// The metrics' Service and the ServiceMonitor find the pods' port; neither is there unless asked for.
func TestMetrics(t *testing.T) {
	for key := range helm(t, "") {
		if strings.HasPrefix(key, "ServiceMonitor/") || key == "Service/ensure-volumes-metrics" {
			t.Errorf("%s is there by default", key)
		}
	}
	rendered := helm(t, "metrics: {serviceMonitor: {enabled: true, labels: {release: prometheus}, interval: 30s}}")
	service, pods := get[*corev1.Service](t, rendered, "Service/ensure-volumes-metrics"), get[*appsv1.Deployment](t, rendered, "Deployment/"+name).Spec.Template
	for key, value := range service.Spec.Selector {
		if pods.Labels[key] != value {
			t.Errorf("the Service selects %s: %s, the pods have %v", key, value, pods.Labels)
		}
	}
	if port := service.Spec.Ports[0]; port.Name != "metrics" || port.TargetPort.StrVal != "metrics" {
		t.Errorf("port %+v", port)
	}
	// The Prometheus operator's own type, as much of it as is used.
	var monitor struct {
		APIVersion, Kind string
		Metadata         struct {
			Name, Namespace string
			Labels          map[string]string
		}
		Spec struct {
			Selector  struct{ MatchLabels map[string]string }
			Endpoints []struct{ Port, Interval string }
		}
	}
	text, err := yaml.Marshal(rendered["ServiceMonitor/"+name])
	if err == nil {
		err = yaml.UnmarshalStrict(text, &monitor)
	}
	if err != nil {
		t.Fatal(err)
	}
	if monitor.APIVersion != "monitoring.coreos.com/v1" || monitor.Metadata.Labels["release"] != "prometheus" ||
		monitor.Metadata.Namespace != service.Namespace || len(monitor.Spec.Endpoints) != 1 ||
		monitor.Spec.Endpoints[0].Port != "metrics" || monitor.Spec.Endpoints[0].Interval != "30s" {
		t.Errorf("%+v", monitor)
	}
	for key, value := range monitor.Spec.Selector.MatchLabels {
		if service.Labels[key] != value {
			t.Errorf("the ServiceMonitor selects %s: %s, the Service has %v", key, value, service.Labels)
		}
	}
}

// The notes end in a command whose manifest the API server would take, and say what is left to do.
func TestNotes(t *testing.T) {
	notes := func(values string) string {
		stdout, stderr, err := command(t, "HELM", "helm", values, "install", name, chart, "--namespace", name, "--dry-run=client", "--values", "-")
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		_, text, _ := strings.Cut(stdout, "\nNOTES:\n")
		return text
	}
	text := strings.TrimSpace(notes(""))
	last := text[strings.LastIndexByte(text, '\n')+1:]
	if !strings.Contains(last, "kubectl create") || !strings.Contains(text, "helm test ensure-volumes --namespace ensure-volumes") {
		t.Errorf("the notes end in %q", last)
	}
	_, rest, _ := strings.Cut(text, "echo '")
	manifest, _, _ := strings.Cut(rest, "'")
	pod := get[*corev1.Pod](t, decode(t, manifest), "Pod/try")
	if pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName != "alice-home" {
		t.Errorf("volumes %v", pod.Spec.Volumes)
	}
	for values, says := range map[string]string{
		"volumeAutoCreate: false":                           "no claim is created",
		"certificates: {mode: secret, secretName: mine}":    "wait for the Secret mine",
		"{image: {repository: example.com/a, tag: '1'}}":    `"image": "example.com/a:1"`,
		"{certificates: {mode: cert-manager}, replicas: 1}": "kubectl label namespace sandboxes volumes.opensandbox.io/auto-create=enabled",
	} {
		if text := notes(values); !strings.Contains(text, says) {
			t.Errorf("%s: the notes do not say %q:\n%s", values, says, text)
		}
	}
}
