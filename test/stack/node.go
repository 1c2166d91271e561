package stack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
)

// BusyboxImage is an image that every node has: a shell and its friends in /bin.
const BusyboxImage = "ensure-volumes.test/busybox:1"

// Exec runs a command in the node, as if by a shell there, with stdin as its
// input where that is not nil. The output is standard output and error
// together; err is an *exec.ExitError when the command reports a failure.
func (cp *ControlPlane) Exec(ctx context.Context, stdin io.Reader, command ...string) (output string, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(cp.BinDir, "cluster"), append([]string{"exec", "--dir", cp.Dir, "--"}, command...)...)
	var both bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &both, &both
	err = cmd.Run()
	return both.String(), err
}

// Load loads an archive of images, such as `docker save` writes, into the node.
// Pods that use one name it with an imagePullPolicy other than Always.
func (cp *ControlPlane) Load(ctx context.Context, archive io.Reader) error {
	cmd := exec.CommandContext(ctx, filepath.Join(cp.BinDir, "cluster"), "load", "--dir", cp.Dir)
	cmd.Stdin = archive
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("loading images into the node: %w\n%s", err, output)
	}
	return nil
}
