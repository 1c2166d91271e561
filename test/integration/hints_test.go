package integration

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
