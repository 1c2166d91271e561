package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// build compiles the package of the module in dir into the file output. The
// flags are those of the control plane's programs, which share what they can.
func build(ctx context.Context, dir, pkg, output string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-C", dir, "-trimpath", "-buildvcs=false", "-o", output, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s of %s: %w\n%s", pkg, dir, err, said)
	}
	return nil
}

// ClusterBinaries returns the folder that holds etcd, kube-apiserver,
// kube-controller-manager and kubectl, building them where they are missing,
// which takes minutes and is told to the standard error.
func ClusterBinaries(ctx context.Context, root string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "run", "-C", filepath.Join(root, "test", "cluster"), "-trimpath", "-buildvcs=false", ".", "build")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("building the control plane's programs: %w", err)
	}
	return strings.TrimSpace(string(output)), nil
}
