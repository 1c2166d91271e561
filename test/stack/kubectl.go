package stack

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Kubectl runs the kubectl of the control plane with the administrator's
// kubeconfig and stdin as its input. The output is what a person would see,
// standard output and error together; err is an *exec.ExitError when kubectl
// reports a failure. To act as somebody else pass --as and --as-group.
func (cp *ControlPlane) Kubectl(ctx context.Context, stdin string, args ...string) (output string, err error) {
	return kubectl(ctx, cp.BinDir, cp.Dir, stdin, append([]string{"--kubeconfig", cp.Kubeconfig}, args...)...)
}

// kubectl runs the program in binDir with home as the user's folder, so that
// nothing that the user has configured changes what it does or says.
func kubectl(ctx context.Context, binDir, home, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(binDir, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "HOME="+home, "KUBECONFIG=", "KUBERC=off", "KUBECACHEDIR="+filepath.Join(home, "kubectl-cache"))
	cmd.Stdin = strings.NewReader(stdin)
	output, err := cmd.CombinedOutput()
	return string(output), err
}
