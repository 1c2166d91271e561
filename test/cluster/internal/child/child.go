// Package child starts programs that cannot outlive their parent.
package child

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

// Child is a running program. It is in a process group of its own, so that
// Ctrl-C in a terminal reaches only its parent, and the kernel kills it when
// the parent dies in whatever way.
type Child struct {
	Name string
	Log  string // the file that holds its output, if there is one
	PID  int

	done chan struct{}
	err  error // valid once done is closed
}

// Start starts program with args, and env beside its own environment, and sends its
// output to the file log.
func Start(program, log string, env []string, args ...string) (*Child, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("creating the log: %w", err)
	}
	defer file.Close() // the program has its own hold on it
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = file, file
	c, err := Begin(cmd)
	if err != nil {
		return nil, err
	}
	c.Log = log
	return c, nil
}

// Begin starts a command whose output goes where the caller has decided.
func Begin(cmd *exec.Cmd) (*Child, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL

	c := &Child{Name: filepath.Base(cmd.Path), done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the parent-death signal when the thread that started
		// the child ends, so this one stays until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			c.PID = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			c.err = cmd.Wait()
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	return c, nil
}

// Done is closed when the program has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err says how the program ended, with the last lines that it wrote. It is
// called once Done is closed.
func (c *Child) Err() error {
	how := "exit status 0"
	if c.err != nil {
		how = c.err.Error()
	}
	if c.Log == "" {
		return fmt.Errorf("%s ended by itself: %s", c.Name, how)
	}
	return fmt.Errorf("%s ended by itself: %s; the last lines of %s:\n%s", c.Name, how, c.Log, Tail(c.Log, 15))
}

// Stop ends the program and waits for it: SIGTERM first, SIGKILL after grace.
func (c *Child) Stop(grace time.Duration) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-c.done: // its pid may be another's by now
			return
		default:
		}
		_ = syscall.Kill(c.PID, signal) // not ours any more only if it has just ended
		select {
		case <-c.done:
			return
		case <-time.After(grace):
		}
	}
	<-c.done
}

// Tail returns the last lines of a file, at most count and 8 KiB.
func Tail(path string, count int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(content) > 8<<10 {
		content = content[len(content)-8<<10:]
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
