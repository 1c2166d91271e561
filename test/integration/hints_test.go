package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestTwoFaultsAreShownAtOnce(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	p := hinted(pod(ns, "sb1", "alice-home", "scratch"),
		scoped("alice-home", "storage"), "10 GB",
		scoped("scratch", "acessModes"), "RWX")
	causes := []string{
		`metadata.annotations[alice-home.volumes.opensandbox.io/storage]: invalid quantity "10 GB"; write it as "10Gi"`,
		`metadata.annotations[scratch.volumes.opensandbox.io/acessModes]: unknown field "acessModes"; ` +
			`the fields are storage, storageClass, accessModes, createIfNotExists and deleteOnSandboxTermination`,
	}
	output, refused := world.kubectl(t, ns, world.manifest(t, p), "create", "-f", "-")
	if want := "The Pod \"sb1\" is invalid: \n* " + causes[0] + "\n* " + causes[1] + "\n"; !refused || output != want {
		t.Errorf("kubectl says\n%s\nwant\n%s", output, want)
	}
	s := status(t, world.author(t).Create(t.Context(), p))
	if s.Code != 422 || s.Reason != metav1.StatusReasonInvalid || !strings.HasSuffix(s.Message, causes[0]+"; "+causes[1]) {
		t.Errorf("got %+v", s)
	}
	world.wantNothingLeft(t, ns)
}

func TestAsManyClaimsAsAPodMayHave(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	names := make([]string, 65)
	for i := range names {
		names[i] = fmt.Sprintf("data-%02d", i)
	}
	const words = "spec.volumes: the pod has 65 different claims; the limit is 64, use fewer"
	refusedBothWays := func() {
		t.Helper()
		s := status(t, world.author(t).Create(t.Context(), pod(ns, "sb1", names...)))
		if s.Code != 422 || s.Reason != metav1.StatusReasonInvalid || !strings.HasSuffix(s.Message, words) {
			t.Errorf("got %+v", s)
		}
		output, refused := world.kubectl(t, ns, world.manifest(t, pod(ns, "sb1", names...)), "create", "-f", "-")
		if want := "The Pod \"sb1\" is invalid: " + words + "\n"; !refused || output != want {
			t.Errorf("kubectl says %q, want %q", output, want)
		}
	}
	refusedBothWays()
	world.wantNothingLeft(t, ns)

	if err := world.author(t).Create(t.Context(), pod(ns, "sb64", names[:64]...)); err != nil {
		t.Fatal(err)
	}
	world.wantClaims(t, ns, names[:64]...)
	if got := world.pod(t, ns, "sb64").Annotations[domain+"/created"]; got != strings.Join(names[:64], ",") {
		t.Errorf("created: %s", got)
	}
	// Also where all exist.
	if err := world.author(t).Create(t.Context(), pod(ns, "sb2", names[64], names[64])); err != nil {
		t.Fatal(err)
	}
	refusedBothWays()
}

// Whatever the API server would refuse of a claim's fields is refused before,
// in the words of the hint; what is not, it takes. Not parallel: it needs a
// webhook that lets any class pass.
func TestHintsAgreeWithTheAPIServer(t *testing.T) {
	world.restart(t, "--missing-storage-class=off")
	ns := world.namespace(t)
	author := world.author(t)
	for field, values := range map[string][]string{
		"storage": {
			"1", "1k", "1Ki", "1500M", "10Gi", "1024Mi", "1.5Gi", ".5Gi", "0.1", "100m", "1u", "1n", "1e9", "2E3", "9E", "7Ei", "8Ei",
			"9223372036854775806", "9223372036854775807", "9223372036854775808", "0", "0Gi", "-1", "-1Gi", "1e99", "1e-99", "", "10 GB", "10Gi ",
			"10gi", "0x10", "+1Gi", "1.Gi", "1e", "ten",
		},
		"storageClass": {
			"", "a", "fast", "fast.ssd-1.example.com", "1", "1.2", strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 253),
			strings.Repeat("a", 254), "Fast", "fast_ssd", "fast ssd", "-fast", "fast-", "fast.", ".fast", "fast..ssd", "fast/ssd", "fást", "fast\n",
		},
		"accessModes": {
			"RWO", "ROX", "RWX", "RWOP", "RWO,ROX", "RWO,RWX", "ROX,RWX", "RWO,ROX,RWX", "ReadWriteOncePod", "ReadWriteOnce_ReadOnlyMany",
			"RWO,RWO", "RWOP,RWOP", "RWOP,RWO", "RWX,RWOP", "RWO,ROX,RWX,RWOP", "", "rwo", "RWO,", "ReadWriteTwice",
		},
	} {
		accepted := 0
		for _, value := range values {
			p := hinted(pod(ns, "sb1", "data"), field, value)
			err := author.Create(t.Context(), p, client.DryRunAll)
			taken := world.admin.Create(t.Context(), handMade(ns, field, value), client.DryRunAll)
			if err == nil {
				accepted++
				continue
			}
			s := status(t, err)
			if s.Code != 422 || len(s.Details.Causes) == 0 || slices.ContainsFunc(s.Details.Causes, func(c metav1.StatusCause) bool {
				return !strings.HasPrefix(c.Field, "metadata.annotations[volumes.opensandbox.io/"+field+"]")
			}) {
				t.Errorf("%s %q: %d %s (the API server says of a claim: %v)", field, value, s.Code, s.Message, taken)
			}
		}
		if accepted == 0 || accepted == len(values) {
			t.Errorf("%s: %d of %d were accepted", field, accepted, len(values))
		}
	}
	for _, name := range []string{
		"a", "1", "data.home", strings.Repeat("a", 253), strings.Repeat("a", 254), "Data", "data_home", "-data", "data-", "data..home", "data/home", "dáta", "..",
	} {
		err := author.Create(t.Context(), pod(ns, "sb1", name), client.DryRunAll)
		taken := world.admin.Create(t.Context(), claim(ns, name, "1Gi"), client.DryRunAll)
		if (err == nil) != (taken == nil) {
			t.Errorf("a pod with a claim named %q: %v; the claim: %v", name, err, taken)
		}
		if err == nil {
			continue
		}
		if s := status(t, err); s.Code != 422 || len(s.Details.Causes) == 0 || s.Details.Causes[0].Field != "spec.volumes[0].persistentVolumeClaim.claimName" {
			t.Errorf("a claim named %q: %d %s", name, s.Code, s.Message)
		}
	}
	world.wantNothingLeft(t, ns)
}

// handMade is the claim that somebody would write who means the same by hand.
func handMade(ns, field, value string) *corev1.PersistentVolumeClaim {
	c := claim(ns, "data", "1Gi")
	switch field {
	case "storage":
		if size, err := resource.ParseQuantity(value); err == nil {
			c.Spec.Resources.Requests[corev1.ResourceStorage] = size
		}
	case "storageClass":
		c.Spec.StorageClassName = &value
	case "accessModes":
		c.Spec.AccessModes = nil
		for mode := range strings.SplitSeq(value, ",") {
			c.Spec.AccessModes = append(c.Spec.AccessModes, corev1.PersistentVolumeAccessMode(mode))
		}
	}
	return c
}
