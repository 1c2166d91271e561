package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/child"
)

// Commands of the program that Outside starts it again with.
const (
	InitCommand = "node-init" // process 1 of the namespaces: Init
	MainCommand = "node-main" // everything else: Inside
)

// Outside is the machine's side of a cluster.
type Outside struct {
	Dir      string    // where its state goes; that of an earlier run is continued
	Progress io.Writer // what is happening, for people
	Stdout   io.Writer // gets the line "ready"
}

// Run starts the cluster and returns when ctx has ended (nil) or when the
// cluster has (an error). Nothing but files in Dir is left in either case.
func (o Outside) Run(ctx context.Context) (err error) {
	if err := Allowed(); err != nil {
		return err
	}
	if o.Dir, err = checked(o.Dir); err != nil {
		return err
	}
	for _, folder := range []string{"logs", "node", "node/tmp"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, folder), 0o700); err != nil {
			return fmt.Errorf("creating the state folder: %w", err)
		}
	}
	lock, err := lockState(ctx, o.Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := ensurePackages(ctx, o.Progress); err != nil {
		return err
	}
	if err := sweep(); err != nil {
		return err
	}
	first, gate, err := o.start(lock)
	if err != nil {
		return err
	}
	// With time for kubelet, containerd and etcd to end in order.
	defer first.Stop(30 * time.Second)
	defer gate.Close()
	n, err := o.connect(ctx, first.PID)
	if err != nil {
		return err
	}
	defer func() {
		first.Stop(30 * time.Second)
		err = errors.Join(err, o.clean(n))
	}()
	if err := makeCgroups(n); err != nil {
		return err
	}
	if err := os.WriteFile(pidPath(o.Dir), fmt.Appendf(nil, "%d\n", first.PID), 0o600); err != nil {
		return fmt.Errorf("writing down the first process: %w", err)
	}
	// Now it may go on.
	if _, err := fmt.Fprintf(gate, "%d\n", n); err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-first.Done():
		return first.Err()
	}
}

// Allowed says whether this process may run a node at all, before anything is
// built for it.
func Allowed() error {
	if os.Geteuid() != 0 {
		return errors.New("a node makes namespaces, mounts and control groups: run this as root")
	}
	return nil
}

// start starts process 1 of new namespaces. It waits at the gate until it is
// told its number.
func (o Outside) start(lock *os.File) (first *child.Child, gate *os.File, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("finding this program: %w", err)
	}
	closed, gate, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer closed.Close()
	cmd := exec.Command(self, InitCommand, "--dir", o.Dir)
	cmd.Stdout, cmd.Stderr = o.Stdout, o.Progress
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(o.Dir, "node", "tmp"))
	// It holds the lock too: after we were killed, until it is gone.
	cmd.ExtraFiles = []*os.File{gateFD - 3: closed, lockFD - 3: lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	first, err = child.Begin(cmd)
	if err != nil {
		gate.Close()
		return nil, nil, err
	}
	first.Name = "the node"
	return first, gate, nil
}

// clean removes what the end of the first process has left.
func (o Outside) clean(n number) error {
	os.Remove(pidPath(o.Dir))
	err := removeCgroups(n)
	if !eventually(context.Background(), func() bool { return !n.linkUp() }) {
		err = errors.Join(err, fmt.Errorf("the link %s is still there", n.link()))
	}
	return err
}
