package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

func pidPath(dir string) string { return filepath.Join(dir, "node", "pid") }

// Enter runs a command in the node of the cluster whose state is in dir, as if
// by a shell there: its processes, mounts and network are the node's. An
// *exec.ExitError is the command's own.
func Enter(ctx context.Context, dir string, stdin io.Reader, stdout, stderr io.Writer, command ...string) error {
	pid, err := firstProcess(dir)
	if err != nil {
		return err
	}
	args := []string{"--target", strconv.Itoa(pid), "--mount", "--net", "--pid", "--uts", "--ipc", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(args, command...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	return cmd.Run()
}

// Load loads an archive of images, as `docker save` and package image write
// them, into the node of the cluster whose state is in dir.
func Load(ctx context.Context, dir string, archive io.Reader, stdout io.Writer) error {
	var stderr bytes.Buffer
	err := Enter(ctx, dir, archive, stdout, &stderr, ctr("images", "import", "-")...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("loading images: %w\n%s", err, stderr.String())
	}
	return err
}

// firstProcess is process 1 of the node, as the machine counts.
func firstProcess(dir string) (int, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return 0, fmt.Errorf("resolving %s: %w", dir, err)
	}
	content, err := os.ReadFile(pidPath(dir))
	if err != nil {
		return 0, fmt.Errorf("finding the node: no cluster with a node runs in %s: %w", dir, err)
	}
	pid := strings.TrimSpace(string(content))
	// After a kill the file is still there, and the number may be another's.
	line, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
	if err != nil || !bytes.HasSuffix(line, []byte("\x00"+InitCommand+"\x00--dir\x00"+dir+"\x00")) {
		return 0, fmt.Errorf("finding the node: no cluster with a node runs in %s any more", dir)
	}
	return strconv.Atoi(pid)
}
