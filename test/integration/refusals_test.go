package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// quota limits a namespace and returns once the controller-manager has counted,
// which it needs to be enforced.
func (g *ground) quota(t *testing.T, ns string, hard map[string]string) *corev1.ResourceQuota {
	t.Helper()
	q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "storage"}}
	q.Spec.Hard = corev1.ResourceList{}
	for name, amount := range hard {
		q.Spec.Hard[corev1.ResourceName(name)] = resource.MustParse(amount)
	}
	g.create(t, q)
	wait(t, "the quota has been counted", func(ctx context.Context) error {
		if err := g.admin.Get(ctx, client.ObjectKeyFromObject(q), q); err != nil {
			return err
		}
		if len(q.Status.Hard) != len(hard) {
			return fmt.Errorf("its status is %v", q.Status)
		}
		return nil
	})
	return q
}

// wantNothingLeft holds that a refused pod has left nothing behind.
func (g *ground) wantNothingLeft(t *testing.T, ns string) {
	t.Helper()
	g.wantClaims(t, ns)
	var pods corev1.PodList
	if err := g.admin.List(t.Context(), &pods, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) > 0 {
		t.Errorf("there are %d pods", len(pods.Items))
	}
}

// wantForbidden holds that a refusal of somebody else's is passed on: its code,
// its words, and no word of our account.
func wantForbidden(t *testing.T, s metav1.Status, want string) {
	t.Helper()
	if s.Code != 403 || s.Reason != metav1.StatusReasonForbidden || !strings.HasSuffix(s.Message, want) || strings.Contains(s.Message, "service account") {
		t.Errorf("%d %s %s\nwant 403 Forbidden …%s", s.Code, s.Reason, s.Message, want)
	}
}

func TestAResourceQuotaRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		row   string // of docs/errors.md; empty: another test has it
		name  string
		hard  map[string]string
		hints []string
		want  string
	}{
		{
			"quota", "on storage", map[string]string{"requests.storage": "10Gi"}, []string{"storage", "11Gi"},
			"exceeded quota: storage, requested: requests.storage=11Gi, used: requests.storage=0, limited: requests.storage=10Gi",
		},
		{
			"quota-count", "on the number of claims", map[string]string{"persistentvolumeclaims": "0"}, nil,
			"exceeded quota: storage, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=0, limited: persistentvolumeclaims=0",
		},
		{
			"", "on the default class, that no hint names", map[string]string{"standard.storageclass.storage.k8s.io/persistentvolumeclaims": "0"}, nil,
			"exceeded quota: storage, requested: standard.storageclass.storage.k8s.io/persistentvolumeclaims=1, " +
				"used: standard.storageclass.storage.k8s.io/persistentvolumeclaims=0, limited: standard.storageclass.storage.k8s.io/persistentvolumeclaims=0",
		},
		{
			"quota-class", "on a class that a hint names", map[string]string{"fast.storageclass.storage.k8s.io/requests.storage": "1Gi"},
			[]string{"storage", "2Gi", "storageClass", fast},
			"exceeded quota: storage, requested: fast.storageclass.storage.k8s.io/requests.storage=2Gi, " +
				"used: fast.storageclass.storage.k8s.io/requests.storage=0, limited: fast.storageclass.storage.k8s.io/requests.storage=1Gi",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ns := world.namespace(t)
			quota := world.quota(t, ns, test.hard)
			want := `persistentvolumeclaims "data" is forbidden: ` + test.want
			p := hinted(pod(ns, "sb1", "data"), test.hints...)
			err := world.author(t).Create(t.Context(), p.DeepCopy())
			wantForbidden(t, status(t, err), want)
			if test.row != "" {
				world.saw(t, test.row, err)
			}
			wantForbidden(t, status(t, world.author(t).Create(t.Context(), p.DeepCopy(), client.DryRunAll)), want)
			output, refused := world.kubectl(t, ns, world.manifest(t, p), "create", "-f", "-")
			if !refused || !strings.Contains(output, "(Forbidden)") || !strings.Contains(output, want) {
				t.Errorf("kubectl says %s", output)
			}
			world.wantNothingLeft(t, ns)
			if err := world.admin.Get(t.Context(), client.ObjectKeyFromObject(quota), quota); err != nil {
				t.Fatal(err)
			}
			for name, used := range quota.Status.Used {
				if !used.IsZero() {
					t.Errorf("the quota says that %s of %s are used", used.String(), name)
				}
			}
		})
	}
}

func TestAQuotaThatRefusesOneClaimOfTwo(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	quota := world.quota(t, ns, map[string]string{"persistentvolumeclaims": "1"})
	author := world.author(t)
	s := status(t, author.Create(t.Context(), pod(ns, "sb1", "data", "home")))
	kept := world.claims(t, ns)
	if len(kept) != 1 {
		t.Fatalf("the claims are %q", kept)
	}
	refused := map[string]string{"data": "home", "home": "data"}[kept[0]]
	wantForbidden(t, s, fmt.Sprintf("persistentvolumeclaims %q is forbidden: exceeded quota: storage, "+
		"requested: persistentvolumeclaims=1, used: persistentvolumeclaims=1, limited: persistentvolumeclaims=1", refused))
	if warned, want := author.warned(), []string{fmt.Sprintf("claim %q was created all the same and is kept", kept[0])}; !slices.Equal(warned, want) {
		t.Errorf("warned %q, want %q", warned, want)
	} else {
		world.warned(t, "kept-all-the-same", warned)
	}
	// As a person sees it: what is there now counts against the quota of two.
	more := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"hard":{"persistentvolumeclaims":"2"}}}`))
	if err := world.admin.Patch(t.Context(), quota, more); err != nil {
		t.Fatal(err)
	}
	wait(t, "the quota is of two", func(ctx context.Context) error {
		return world.admin.Create(ctx, claim(ns, "probe", "1Gi"), client.DryRunAll)
	})
	output, isRefused := world.kubectl(t, ns, world.manifest(t, pod(ns, "sb2", "more", "less")), "create", "-f", "-")
	now := slices.DeleteFunc(world.claims(t, ns), func(name string) bool { return name == kept[0] })
	if len(now) != 1 {
		t.Fatalf("the claims are %q", now)
	}
	if warning := fmt.Sprintf("Warning: claim %q was created all the same and is kept\n", now[0]); !isRefused ||
		strings.Count(output, warning) != 1 || !strings.Contains(output, "(Forbidden)") || !strings.Contains(output, "exceeded quota: storage") {
		t.Errorf("kubectl says %s\nwant in it %s", output, warning)
	}
}

func TestALimitRangeRefuses(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	world.create(t, &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "claims"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypePersistentVolumeClaim,
			Min:  corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")},
			Max:  corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("8Gi")},
		}}},
	})
	wait(t, "the LimitRange is enforced", func(ctx context.Context) error {
		if world.admin.Create(ctx, claim(ns, "probe", "1Gi"), client.DryRunAll) == nil {
			return fmt.Errorf("a claim of 1Gi was admitted")
		}
		return nil
	})
	for size, want := range map[string]string{
		"1Gi":  `persistentvolumeclaims "data" is forbidden: minimum storage usage per PersistentVolumeClaim is 2Gi, but request is 1Gi`,
		"10Gi": `persistentvolumeclaims "data" is forbidden: maximum storage usage per PersistentVolumeClaim is 8Gi, but request is 10Gi`,
	} {
		p := hinted(pod(ns, "sb1", "data"), "storage", size)
		err := world.author(t).Create(t.Context(), p.DeepCopy())
		wantForbidden(t, status(t, err), want)
		world.saw(t, map[string]string{"1Gi": "limit-min", "10Gi": "limit-max"}[size], err)
		output, refused := world.kubectl(t, ns, world.manifest(t, p), "create", "-f", "-")
		if !refused || !strings.Contains(output, "(Forbidden)") || !strings.Contains(output, want) {
			t.Errorf("kubectl says %s", output)
		}
	}
	world.wantNothingLeft(t, ns)
	if err := world.author(t).Create(t.Context(), hinted(pod(ns, "sb1", "data"), "storage", "4Gi")); err != nil {
		t.Error(err)
	}
}

func TestAValidatingAdmissionPolicyRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		reason *metav1.StatusReason
		code   int32
		want   metav1.StatusReason
	}{
		{nil, 422, metav1.StatusReasonInvalid},
		{new(metav1.StatusReasonForbidden), 403, metav1.StatusReasonForbidden},
		{new(metav1.StatusReasonInvalid), 422, metav1.StatusReasonInvalid},
	} {
		t.Run(fmt.Sprintf("%s, given %t", test.want, test.reason != nil), func(t *testing.T) {
			t.Parallel()
			ns := world.namespace(t)
			name := "no-rwx-in-" + ns
			world.policy(t, ns, name, test.reason)
			words := "ValidatingAdmissionPolicy '" + name + "' with binding '" + name +
				"' denied request: ReadWriteMany is not for sandboxes; ask for ReadWriteOnce"
			want := `persistentvolumeclaims "data" is forbidden: ` + words
			p := hinted(pod(ns, "sb1", "data"), "accessModes", "RWX")
			err := world.author(t).Create(t.Context(), p.DeepCopy())
			if test.code == 403 {
				world.saw(t, "policy", err)
			}
			s := status(t, err)
			if s.Code != test.code || s.Reason != test.want || !strings.HasSuffix(s.Message, want) {
				t.Errorf("%d %s %s\nwant …%s", s.Code, s.Reason, s.Message, want)
			}
			output, refused := world.kubectl(t, ns, world.manifest(t, p), "create", "-f", "-")
			if !refused || !strings.Contains(output, `persistentvolumeclaims "data" is`) || !strings.Contains(output, words) {
				t.Errorf("kubectl says %s", output)
			}
			world.wantNothingLeft(t, ns)
			if err := world.author(t).Create(t.Context(), pod(ns, "sb1", "data")); err != nil {
				t.Errorf("a claim that the policy allows: %v", err)
			}
		})
	}
}

// policy refuses ReadWriteMany in a namespace and returns once it does.
func (g *ground) policy(t *testing.T, ns, name string, reason *metav1.StatusReason) {
	t.Helper()
	g.create(t, &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{
				ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"persistentvolumeclaims"}},
				}}},
			},
			Validations: []admissionregistrationv1.Validation{{
				Expression: "!('ReadWriteMany' in object.spec.accessModes)",
				Message:    "ReadWriteMany is not for sandboxes; ask for ReadWriteOnce",
				Reason:     reason,
			}},
		},
	})
	g.create(t, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName:        name,
			ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
			MatchResources: &admissionregistrationv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": ns}},
			},
		},
	})
	wait(t, "the policy is enforced", func(ctx context.Context) error {
		probe := claim(ns, "probe", "1Gi")
		probe.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
		if g.admin.Create(ctx, probe, client.DryRunAll) == nil {
			return fmt.Errorf("a claim for ReadWriteMany was admitted")
		}
		return nil
	})
}
