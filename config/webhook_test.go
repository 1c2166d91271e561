package config_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	flowv1 "k8s.io/api/flowcontrol/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const name = "ensure-volumes"

func installed(t *testing.T) []runtime.Object {
	t.Helper()
	objects, _ := decode(t, render(t, base))
	return objects
}

// The account may do exactly this.
func TestPermissions(t *testing.T) {
	want := []string{
		"/events create", "/events patch",
		"/namespaces list", "/namespaces watch",
		"/persistentvolumeclaims create", "/persistentvolumeclaims get", "/persistentvolumeclaims list", "/persistentvolumeclaims patch",
		"/persistentvolumeclaims watch",
		"/persistentvolumes list",
		"/pods get", "/pods list", "/pods watch",
		"agents.x-k8s.io/sandboxes get",
		"sandbox.opensandbox.io/batchsandboxes get",
		"storage.k8s.io/storageclasses list", "storage.k8s.io/storageclasses watch",
	}
	objects := installed(t)
	role := the[*rbacv1.ClusterRole](t, objects)
	var got []string
	for _, rule := range role.Rules {
		if len(rule.NonResourceURLs) > 0 || len(rule.ResourceNames) > 0 {
			t.Errorf("unexpected rule %v", rule)
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					got = append(got, group+"/"+resource+" "+verb)
				}
			}
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("permissions\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if role.AggregationRule != nil {
		t.Error("the role aggregates others")
	}

	binding := the[*rbacv1.ClusterRoleBinding](t, objects)
	account := the[*corev1.ServiceAccount](t, objects)
	wantSubjects := []rbacv1.Subject{{Kind: "ServiceAccount", Name: account.Name, Namespace: account.Namespace}}
	wantRole := rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: role.Name}
	if !reflect.DeepEqual(binding.Subjects, wantSubjects) || binding.RoleRef != wantRole {
		t.Errorf("binding of %v to %v", binding.Subjects, binding.RoleRef)
	}
}

// The lease is one object, in the installation's own namespace.
func TestLease(t *testing.T) {
	objects := installed(t)
	account, role, binding := the[*corev1.ServiceAccount](t, objects), the[*rbacv1.Role](t, objects), the[*rbacv1.RoleBinding](t, objects)
	if want := []rbacv1.PolicyRule{
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: []string{name}, Verbs: []string{"get", "update"}},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create"}},
	}; role.Namespace != account.Namespace || !reflect.DeepEqual(role.Rules, want) {
		t.Errorf("the Role in %q: %v", role.Namespace, role.Rules)
	}
	if binding.Namespace != account.Namespace || binding.RoleRef.Kind != "Role" || binding.RoleRef.Name != role.Name ||
		len(binding.Subjects) != 1 || binding.Subjects[0].Name != account.Name || binding.Subjects[0].Namespace != account.Namespace {
		t.Errorf("the RoleBinding in %q: %v to %v", binding.Namespace, binding.Subjects, binding.RoleRef)
	}
	if arg := "--lease=" + account.Namespace + "/" + name; !slices.Contains(the[*appsv1.Deployment](t, objects).Spec.Template.Spec.Containers[0].Args, arg) {
		t.Errorf("the Deployment does not say %s", arg)
	}
}

func TestWebhookConfiguration(t *testing.T) {
	objects := installed(t)
	service := the[*corev1.Service](t, objects)
	got := the[*admissionv1.MutatingWebhookConfiguration](t, objects).Webhooks
	want := []admissionv1.MutatingWebhook{{
		Name:                    "claims.volumes.opensandbox.io",
		AdmissionReviewVersions: []string{"v1"},
		ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{
			Namespace: service.Namespace, Name: service.Name, Path: new("/mutate"), Port: new(service.Spec.Ports[0].Port),
		}},
		Rules: []admissionv1.RuleWithOperations{{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule: admissionv1.Rule{
				APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}, Scope: new(admissionv1.NamespacedScope),
			},
		}},
		NamespaceSelector:  &metav1.LabelSelector{MatchLabels: map[string]string{"volumes.opensandbox.io/auto-create": "enabled"}},
		SideEffects:        new(admissionv1.SideEffectClassNoneOnDryRun),
		ReinvocationPolicy: new(admissionv1.IfNeededReinvocationPolicy),
		FailurePolicy:      new(admissionv1.Ignore),
		TimeoutSeconds:     new(int32(5)),
		MatchConditions: []admissionv1.MatchCondition{
			{Name: "uses-a-claim", Expression: "has(object.spec) && has(object.spec.volumes) && object.spec.volumes.exists(v, has(v.persistentVolumeClaim))"},
			{Name: "is-not-a-mirror-pod", Expression: "!has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)"},
		},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// What must line up for a request to reach a process that can answer it.
func TestServerLinesUp(t *testing.T) {
	objects := installed(t)
	service, deployment := the[*corev1.Service](t, objects), the[*appsv1.Deployment](t, objects)
	budget, namespace := the[*policyv1.PodDisruptionBudget](t, objects), the[*corev1.Namespace](t, objects)
	template := deployment.Spec.Template
	container := template.Spec.Containers[0]

	labels := map[string]string{"app.kubernetes.io/name": name}
	selectors := []map[string]string{template.Labels, deployment.Spec.Selector.MatchLabels, service.Spec.Selector, budget.Spec.Selector.MatchLabels}
	for _, spread := range template.Spec.TopologySpreadConstraints {
		selectors = append(selectors, spread.LabelSelector.MatchLabels)
	}
	for _, selector := range selectors {
		if !reflect.DeepEqual(selector, labels) {
			t.Errorf("labels and selectors differ: %v, want %v", selector, labels)
		}
	}
	for _, ns := range []string{service.Namespace, deployment.Namespace, budget.Namespace, the[*corev1.ServiceAccount](t, objects).Namespace} {
		if ns != namespace.Name {
			t.Errorf("namespace %q, want %q", ns, namespace.Name)
		}
	}
	if _, on := namespace.Labels["volumes.opensandbox.io/auto-create"]; on {
		t.Error("the webhook would be asked about its own pods")
	}
	if got, want := template.Spec.ServiceAccountName, the[*corev1.ServiceAccount](t, objects).Name; got != want {
		t.Errorf("serviceAccountName %q, want %q", got, want)
	}

	ports := map[string]int32{}
	for _, port := range container.Ports {
		ports[port.Name] = port.ContainerPort
	}
	if len(service.Spec.Ports) != 1 || service.Spec.Ports[0].Port != 443 || service.Spec.Ports[0].TargetPort != intstr.FromString("https") {
		t.Errorf("service ports %v", service.Spec.Ports)
	}
	if want := map[string]int32{"https": 8443, "metrics": 8080}; !reflect.DeepEqual(ports, want) {
		t.Errorf("container ports %v, want %v", ports, want)
	}
	for _, probe := range []*corev1.Probe{container.LivenessProbe, container.ReadinessProbe} {
		if probe.HTTPGet.Port != intstr.FromString("https") || probe.HTTPGet.Scheme != corev1.URISchemeHTTPS {
			t.Errorf("probe %v", probe.HTTPGet)
		}
	}
	if got := container.LivenessProbe.HTTPGet.Path + container.ReadinessProbe.HTTPGet.Path; got != "/healthz/readyz" {
		t.Errorf("probe paths %q", got)
	}
	for _, arg := range []string{"--listen=:8443", "--metrics-listen=:8080", "--cert-dir=" + container.VolumeMounts[0].MountPath} {
		if !slices.Contains(container.Args, arg) {
			t.Errorf("args %q lack %q", container.Args, arg)
		}
	}
	if container.Image != "ensure-volumes:dev" {
		t.Errorf("image %q: the base names no registry", container.Image)
	}

	volumes := template.Spec.Volumes
	if len(volumes) != 1 || volumes[0].Secret == nil || volumes[0].Secret.SecretName != "ensure-volumes-tls" || *volumes[0].Secret.DefaultMode != 0o440 {
		t.Fatalf("volumes %v", volumes)
	}
	if mount := container.VolumeMounts[0]; mount.Name != volumes[0].Name || mount.SubPath != "" {
		t.Errorf("mount %v: a subPath would never see a renewed certificate", mount)
	}
}

// Two replicas, of which one always serves, and an end that leaves time to drain: pkg/serve needs 95 s.
func TestServerStaysAvailable(t *testing.T) {
	objects := installed(t)
	deployment := the[*appsv1.Deployment](t, objects)
	spec := deployment.Spec.Template.Spec
	if *deployment.Spec.Replicas != 2 || deployment.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0 {
		t.Errorf("%d replicas, strategy %v", *deployment.Spec.Replicas, deployment.Spec.Strategy)
	}
	sleep := spec.Containers[0].Lifecycle.PreStop.Sleep.Seconds
	if grace := *spec.TerminationGracePeriodSeconds; sleep < 5 || time.Duration(grace-sleep)*time.Second <= 95*time.Second {
		t.Errorf("%d s of grace, %d s of sleep", grace, sleep)
	}
	if len(spec.TopologySpreadConstraints) != 2 || spec.PriorityClassName != "" {
		t.Errorf("spread %v, priority class %q", spec.TopologySpreadConstraints, spec.PriorityClassName)
	}
	if budget := the[*policyv1.PodDisruptionBudget](t, objects).Spec; budget.MaxUnavailable.IntValue() != 1 {
		t.Errorf("disruption budget %v", budget)
	}
}

// What the Pod Security level restricted asks for, and a read-only root file system beside it.
func TestServerIsRestricted(t *testing.T) {
	objects := installed(t)
	if got := the[*corev1.Namespace](t, objects).Labels["pod-security.kubernetes.io/enforce"]; got != "restricted" {
		t.Errorf("the namespace enforces %q", got)
	}
	spec := the[*appsv1.Deployment](t, objects).Spec.Template.Spec
	wantPod := &corev1.PodSecurityContext{
		RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), RunAsGroup: new(int64(65532)), FSGroup: new(int64(65532)),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if !reflect.DeepEqual(spec.SecurityContext, wantPod) {
		t.Errorf("pod: %v", spec.SecurityContext)
	}
	wantContainer := &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	if len(spec.Containers) != 1 || len(spec.InitContainers) != 0 || !reflect.DeepEqual(spec.Containers[0].SecurityContext, wantContainer) {
		t.Errorf("containers: %v", spec.Containers)
	}
	if spec.HostNetwork || spec.HostPID || spec.HostIPC {
		t.Error("the pod shares a namespace of its node")
	}
}

// Every request of the account, and no other, goes to the level of its own.
func TestFlowSchema(t *testing.T) {
	objects := installed(t)
	schema, level := the[*flowv1.FlowSchema](t, objects), the[*flowv1.PriorityLevelConfiguration](t, objects)
	account := the[*corev1.ServiceAccount](t, objects)
	want := []flowv1.PolicyRulesWithSubjects{{
		Subjects: []flowv1.Subject{{
			Kind: flowv1.SubjectKindServiceAccount, ServiceAccount: &flowv1.ServiceAccountSubject{Namespace: account.Namespace, Name: account.Name},
		}},
		ResourceRules: []flowv1.ResourcePolicyRule{{
			Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}, Namespaces: []string{"*"}, ClusterScope: true,
		}},
	}}
	if !reflect.DeepEqual(schema.Spec.Rules, want) {
		t.Errorf("rules %v", schema.Spec.Rules)
	}
	if schema.Spec.PriorityLevelConfiguration.Name != level.Name {
		t.Errorf("priority level %q, want %q", schema.Spec.PriorityLevelConfiguration.Name, level.Name)
	}
	// service-accounts, which Kubernetes brings along, matches every account at 9000; the smaller number wins.
	if schema.Spec.MatchingPrecedence >= 9000 {
		t.Errorf("matching precedence %d", schema.Spec.MatchingPrecedence)
	}
	if level.Spec.Type != flowv1.PriorityLevelEnablementLimited || level.Spec.Limited.LimitResponse.Type != flowv1.LimitResponseTypeQueue {
		t.Errorf("level %v", level.Spec)
	}
}
