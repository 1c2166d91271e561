package stack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// ControlPlane is a running Kubernetes control plane, with one node or none.
type ControlPlane struct {
	Dir        string       // its state, logs (logs/) and audit log (audit.log)
	Kubeconfig string       // an administrator's
	BinDir     string       // cluster, etcd, kube-apiserver, kube-controller-manager, kubectl
	Config     *rest.Config // an administrator's, without a client-side limit

	process *process.Process
	stdin   io.Closer
}

// StartControlPlane starts a control plane without nodes, with its state in
// dir, which holds none of an earlier one, and returns when it answers. Programs
// that are not built yet are built first, which takes minutes; progress says
// what happens. ctx bounds the start only: the control plane runs until Stop or
// until this process has ended.
func StartControlPlane(ctx context.Context, dir string, progress io.Writer) (*ControlPlane, error) {
	return startCluster(ctx, dir, progress)
}

// StartBare starts a control plane as StartControlPlane does, but without
// kube-controller-manager: nothing but the API acts on what is stored. Nobody
// makes a namespace's ServiceAccounts, collects garbage or counts quotas, and
// tens of thousands of objects can be stored in a minute.
func StartBare(ctx context.Context, dir string, progress io.Writer) (*ControlPlane, error) {
	return startCluster(ctx, dir, progress, "--bare")
}

// StartNode starts a control plane with one node, on which pods run, as
// StartControlPlane does, and returns when the node is ready. Where dir holds
// the state of an earlier one it is continued, as a machine goes on after a
// boot. It needs root, and installs the Debian packages that it lacks.
func StartNode(ctx context.Context, dir string, progress io.Writer) (*ControlPlane, error) {
	return startCluster(ctx, dir, progress, "--node")
}

func startCluster(ctx context.Context, dir string, progress io.Writer, flags ...string) (*ControlPlane, error) {
	root, err := process.Root()
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("resolving the control plane's folder: %w", err)
	}
	for _, folder := range []string{"bin", "logs"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			return nil, fmt.Errorf("creating the control plane's folder: %w", err)
		}
	}
	program := filepath.Join(dir, "bin", "cluster")
	if err := build(ctx, filepath.Join(root, "test", "cluster"), ".", program); err != nil {
		return nil, err
	}
	cp := &ControlPlane{Dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig"), BinDir: filepath.Join(dir, "bin")}
	if err := cp.run(ctx, program, progress, flags); err != nil {
		return nil, err
	}
	cp.Config, err = clientcmd.BuildConfigFromFlags("", cp.Kubeconfig)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("loading the administrator's kubeconfig: %w", err), cp.Stop())
	}
	cp.Config.QPS = -1 // no limit: what is slow is the cluster's doing
	return cp, nil
}

// run starts the cluster program and waits until it says that it is ready.
func (cp *ControlPlane) run(ctx context.Context, program string, progress io.Writer, flags []string) error {
	cmd := exec.Command(program, append([]string{"run", "--until-stdin-closes", "--dir", cp.Dir}, flags...)...)
	// Its standard input ends when Stop closes it, or when we die: it then ends
	// in order, where a kill would not let it.
	input, stdin, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the control plane: %w", err)
	}
	output, stdout, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the control plane: %w", err)
	}
	defer output.Close()
	cmd.Stdin, cmd.Stdout = input, stdout
	cp.stdin = stdin
	cp.process, err = process.Start(cmd, filepath.Join(cp.Dir, "logs", "cluster.log"), 40*time.Second)
	input.Close()
	stdout.Close()
	if err != nil {
		stdin.Close()
		return err
	}
	ready := make(chan bool, 1)
	go func() {
		line, _ := bufio.NewReader(output).ReadString('\n') // an early end says enough
		ready <- line == "ready\n"
	}()
	stop := follow(cp.process.LogPath, progress)
	defer stop()
	select {
	case ok := <-ready:
		if !ok {
			<-cp.process.Done() // it closed its output: it is ending
			return fmt.Errorf("starting the control plane: %w", cp.process.Err())
		}
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("starting the control plane: %w", context.Cause(ctx)), cp.Stop())
	}
}

// follow copies what a file gets to w until stop is called.
func follow(path string, w io.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		file, err := os.Open(path)
		if err != nil {
			return // there is nothing to follow; the outcome does not depend on it
		}
		defer file.Close()
		for {
			_, _ = io.Copy(w, file) // progress that cannot be shown is no reason to fail
			select {
			case <-ctx.Done():
				_, _ = io.Copy(w, file)
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// Etcd is the address of the control plane's etcd, which anybody on this machine
// may write to: what is written there no API server has looked at.
func (cp *ControlPlane) Etcd() (string, error) {
	address, err := os.ReadFile(filepath.Join(cp.Dir, "etcd-address"))
	if err != nil {
		return "", fmt.Errorf("reading etcd's address: %w", err)
	}
	return string(address), nil
}

// Done is closed when the control plane has ended, asked to or not; Err then
// says what it said last.
func (cp *ControlPlane) Done() <-chan struct{} { return cp.process.Done() }

// Err says why a control plane ended that nobody had stopped. It is called
// once Done is closed.
func (cp *ControlPlane) Err() error { return cp.process.Err() }

// Stop ends the control plane and waits until each of its programs is gone.
func (cp *ControlPlane) Stop() error {
	cp.stdin.Close()
	return cp.process.Stop()
}
