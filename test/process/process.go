package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is a program that runs beside us. It is in a process group of its
// own, out of reach of Ctrl-C in a terminal, and the kernel kills it when we
// die in whatever way.
type Process struct {
	PID        int
	LogPath    string // what it writes
	MetricsURL string // its Prometheus metrics, where it has any; whoever starts it says where

	name  string
	grace time.Duration // between SIGTERM and SIGKILL
	done  chan struct{}
	err   error // valid once done is closed
}

// Start starts cmd with its output in the file log, appended to what is there.
func Start(cmd *exec.Cmd, log string, grace time.Duration) (*Process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating the log: %w", err)
	}
	if cmd.Stdout == nil {
		cmd.Stdout = file
	}
	cmd.Stderr = file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{LogPath: log, name: filepath.Base(cmd.Path), grace: grace, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the parent-death signal when the thread that started
		// the child ends, so this one stays until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer file.Close()
		err := cmd.Start()
		if err == nil {
			p.PID = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop asks the process to end (SIGTERM) and waits until it has, for the grace
// that it was started with: a webhook drains for up to 95 s while an API server
// keeps a connection to it. A process that does not end is killed; that, and an exit code other
// than 0, is an error.
func (p *Process) Stop() error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(p.grace):
		p.Kill()
		return fmt.Errorf("stopping %s: killed, since it had not ended after %s; %s", p.name, p.grace, p.LastWords())
	}
	if p.err != nil {
		return fmt.Errorf("stopping %s: %w; %s", p.name, p.err, p.LastWords())
	}
	return nil
}

// Kill ends the process at once (SIGKILL) and waits until it is gone.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Signal sends a signal, unless the process has ended.
func (p *Process) Signal(signal syscall.Signal) {
	select {
	case <-p.done: // its pid may be another's by now
	default:
		_ = syscall.Kill(p.PID, signal) // not ours any more only if it has just ended
	}
}

// Err says how a process ended that nobody had stopped, with the last lines of
// its log. It is called once Done is closed.
func (p *Process) Err() error {
	how := "exit status 0"
	if p.err != nil {
		how = p.err.Error()
	}
	return fmt.Errorf("%s ended by itself: %s; %s", p.name, how, p.LastWords())
}

// LastWords are the last lines of the log.
func (p *Process) LastWords() string {
	content, err := os.ReadFile(p.LogPath)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return fmt.Sprintf("the last lines of %s:\n%s", p.LogPath, strings.Join(lines[max(0, len(lines)-15):], "\n"))
}
