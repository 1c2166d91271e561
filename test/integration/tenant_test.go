package integration

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// examples/tenant bounds what is created for a tenant's pods, and whoever asks
// for more reads why, in the cluster's words. Its policy is about every enabled
// namespace: not for parallel tests.
func TestTenantExample(t *testing.T) {
	g := world
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	folder, ns := filepath.Join(root, "examples", "tenant"), "tenant-a"
	if output, err := g.cp.Kubectl(t.Context(), "", "apply", "-f", folder); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	author := g.author(t)
	ask := func(ctx context.Context, pairs ...string) error {
		return author.Create(ctx, hinted(pod(ns, "asks", "new"), pairs...), client.DryRunAll)
	}
	t.Cleanup(func() {
		for _, kind := range []string{"validatingadmissionpolicybinding", "validatingadmissionpolicy"} {
			if output, err := g.cp.Kubectl(context.Background(), "", "delete", kind, "tenant-access-modes"); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		}
		wait(t, "the policy is gone", func(ctx context.Context) error { return ask(ctx, "accessModes", "RWX") })
	})
	if err := g.in.WaitAnswers(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		hints []string
		says  string
	}{
		{[]string{"accessModes", "RWX"}, `access mode ReadWriteMany is for the StorageClass "shared" only, and the claim asks for "standard"`},
		{[]string{"storage", "20Gi"}, "maximum storage usage per PersistentVolumeClaim is 10Gi, but request is 20Gi"},
		{[]string{"storage", "1Mi"}, "minimum storage usage per PersistentVolumeClaim is 100Mi"},
		{[]string{"storageClass", fast, "storage", "6Gi"}, "exceeded quota: volumes, requested: fast.storageclass.storage.k8s.io/requests.storage=6Gi"},
	} {
		wait(t, strings.Join(tt.hints, " ")+" is refused", func(ctx context.Context) error {
			err := ask(ctx, tt.hints...)
			if err == nil {
				return errors.New("it was admitted")
			}
			if !strings.Contains(err.Error(), tt.says) {
				return fmt.Errorf("want %q: %w", tt.says, err)
			}
			return nil
		})
	}
	// What is within the bounds is created, by the tenant's own defaults.
	if err := author.Create(t.Context(), pod(ns, "within", "home")); err != nil {
		t.Fatal(err)
	}
	if size := g.claim(t, ns, "home").Spec.Resources.Requests.Storage(); size.String() != "2Gi" {
		t.Errorf("the claim has %s", size)
	}
}
