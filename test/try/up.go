package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// session is the control plane that `up` leaves running and `down` ends. A
// process in the background holds it, and the lock with it.
type session struct {
	dir            string
	node           bool // a whole cluster of one node, without the webhook
	stdout, stderr io.Writer
}

func (s session) lockPath() string { return filepath.Join(s.dir, "up.lock") }
func (s session) logPath() string  { return filepath.Join(s.dir, "up.log") }
func (s session) groundDir() string {
	if s.node {
		return filepath.Join(s.dir, "cluster")
	}
	return filepath.Join(s.dir, "up")
}
func (s session) kubeconfig() string { return filepath.Join(s.dir, "kubeconfig") } // there while the webhook answers

// up returns when a session answers: the one that is up already, or a new one.
func (s session) up(ctx context.Context) error {
	for {
		l, err := openLock(s.lockPath())
		if err != nil {
			return err
		}
		taken, err := l.try()
		if err != nil {
			l.close()
			return err
		}
		if taken {
			return s.begin(ctx, l) // which closes l
		}
		pid, err := l.read()
		l.close()
		if err != nil {
			return err
		}
		if _, err := os.Stat(s.kubeconfig()); err == nil {
			if s.holdsNode(pid) != s.node {
				return fmt.Errorf("process %d holds %s; end it first: make down", pid, session{node: !s.node}.what())
			}
			fmt.Fprintf(s.stdout, "Up already, held by process %d.\n", pid)
			s.tell()
			return nil
		}
		// It is starting, or ending: look again.
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for process %d: %w", pid, context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// begin starts the background process, hands the lock to it and returns when
// it says that the webhook answers.
func (s session) begin(ctx context.Context, l *lock) error {
	defer l.close() // the background process has its own hold on it by then
	if err := errors.Join(l.clear(), s.clean()); err != nil {
		return err
	}
	log, err := os.Create(s.logPath())
	if err != nil {
		return fmt.Errorf("creating the log: %w", err)
	}
	defer log.Close()
	said, progress, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the background process: %w", err)
	}
	defer said.Close()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("starting the background process: %w", err)
	}
	cmd := exec.Command(self, nodeFlag+strconv.FormatBool(s.node), "--state", s.dir, holdCommand)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{lockFD - 3: l.file, progressFD - 3: progress}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of this terminal's reach
	err = cmd.Start()
	progress.Close()
	if err != nil {
		return fmt.Errorf("starting the background process: %w", err)
	}
	interrupted := context.AfterFunc(ctx, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended by itself
	})
	defer interrupted()
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if lines.Text() == readyLine {
			fmt.Fprintf(s.stdout, "Up, held by process %d.\n", cmd.Process.Pid)
			s.tell()
			return cmd.Process.Release()
		}
		fmt.Fprintln(s.stderr, lines.Text())
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("starting was given up: %w", context.Cause(ctx))
	}
	return errors.Join(fmt.Errorf("the background process ended before %s answered; its log is %s", s.what(), s.logPath()), err)
}

// what is the kind of session.
func (s session) what() string {
	if s.node {
		return "the cluster"
	}
	return "the control plane with the webhook"
}

// tell says what a person may do now.
func (s session) tell() {
	here, _ := os.Getwd() // without it the paths are long, and right
	short := func(path string) string {
		if relative, err := filepath.Rel(here, path); err == nil && !strings.HasPrefix(relative, "..") {
			return relative
		}
		return path
	}
	bin := func(program string) string { return short(filepath.Join(s.groundDir(), "bin", program)) }
	fmt.Fprintf(s.stdout, "\n  export KUBECONFIG=%s\n  %s get storageclasses\n", s.kubeconfig(), bin("kubectl"))
	if s.node {
		fmt.Fprintf(s.stdout, `  %[1]s run hello --image=%[3]s --restart=Never -- echo hello
  %[1]s logs hello
  %[2]s load --dir %[4]s < ARCHIVE-OF-IMAGES
  %[2]s exec --dir %[4]s ctr -n k8s.io images list

Pods run, and claims get volumes: folders below %[5]s. Images come from archives only.
`, bin("kubectl"), bin("cluster"), stack.BusyboxImage, short(s.groundDir()), short(filepath.Join(s.groundDir(), "node", "volumes")))
		return
	}
	fmt.Fprintf(s.stdout, `
Namespace %q is enabled; create a pod there that uses a claim, and the claim exists.
There are no nodes and nothing behind the StorageClasses: pods and claims stay Pending.
`, namespace)
}

// clean removes what a session of either kind leaves in files. Its caller has the lock.
func (s session) clean() error {
	var all error
	for _, path := range []string{
		session{dir: s.dir}.groundDir(), session{dir: s.dir, node: true}.groundDir(), s.kubeconfig(),
	} {
		all = errors.Join(all, os.RemoveAll(path))
	}
	if all != nil {
		return fmt.Errorf("removing the last session: %w", all)
	}
	return nil
}
