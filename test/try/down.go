package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// down ends the session and returns when nothing of it is left.
func (s session) down(ctx context.Context) error {
	l, err := openLock(s.lockPath())
	if err != nil {
		return err
	}
	defer l.close()
	taken, err := l.try()
	if err != nil {
		return err
	}
	if taken {
		fmt.Fprintln(s.stdout, "Nothing is up.")
		return s.clean()
	}
	holder, err := s.holder(ctx, l)
	if err != nil || holder == nil {
		return err
	}
	if err := holder.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending process %d: %w", holder.Pid, err)
	}
	const patience = 150 * time.Second // a webhook may drain for 95 s
	if ended, err := s.awaitLock(ctx, l, patience); err != nil {
		return err
	} else if !ended {
		fmt.Fprintf(s.stderr, "process %d has not ended after %s: killing it\n", holder.Pid, patience)
		_ = holder.Kill() // an error means that it has just ended
		if ended, err := s.awaitLock(ctx, l, 10*time.Second); err != nil || !ended {
			return errors.Join(fmt.Errorf("process %d cannot be killed", holder.Pid), err)
		}
	}
	fmt.Fprintln(s.stdout, "Down.")
	return s.clean()
}

// holder finds the process that holds the lock. The handle that it returns is
// that process's, whatever becomes of its pid; nil where it ended meanwhile.
func (s session) holder(ctx context.Context, l *lock) (*os.Process, error) {
	for {
		pid, err := l.read()
		if err != nil {
			return nil, err
		}
		process, err := os.FindProcess(pid)
		if err != nil {
			return nil, fmt.Errorf("finding process %d: %w", pid, err)
		}
		if pid != 0 && s.holds(pid) {
			return process, nil
		}
		// Started a moment ago, or ended: look again.
		if ended, err := s.awaitLock(ctx, l, 100*time.Millisecond); err != nil || ended {
			return nil, err
		}
	}
}

// holds tells whether the process is one that holds a session of this folder.
func (s session) holds(pid int) bool {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && bytes.HasSuffix(line, []byte("\x00"+s.dir+"\x00"+holdCommand+"\x00"))
}

// holdsNode tells whether a process that holds a session holds one with a node.
func (s session) holdsNode(pid int) bool {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && bytes.Contains(line, []byte("\x00"+nodeFlag+"true\x00"))
}

// awaitLock waits for the lock at most for the limit.
func (s session) awaitLock(ctx context.Context, l *lock, limit time.Duration) (taken bool, err error) {
	for deadline := time.Now().Add(limit); ; {
		taken, err = l.try()
		if taken || err != nil || time.Now().After(deadline) {
			return taken, err
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
