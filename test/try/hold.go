package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// How `up` and the process that it leaves in the background talk.
const (
	holdCommand = "hold"
	nodeFlag    = "--node="
	readyLine   = "ready"
	lockFD      = 3 // the lock, taken by up and inherited
	progressFD  = 4 // where up reads what happens
)

// hold is the background process: it runs a session until it is told to end
// (ctx), or something that it has started ends by itself.
func (s session) hold(ctx context.Context, lockFile, progress *os.File) (err error) {
	// Nothing that we start may hold the lock after us.
	syscall.CloseOnExec(lockFD)
	syscall.CloseOnExec(progressFD)
	l := &lock{lockFile}
	// To the very end: a file that nobody mentions any more may be closed early.
	defer l.close()
	if _, err := l.try(); err != nil { // ours already, or this was not started by up
		return err
	}
	if err := l.write(); err != nil {
		return err
	}
	told := io.MultiWriter(s.stderr, ignoringErrors{progress})
	defer func() {
		if err != nil {
			fmt.Fprintln(ignoringErrors{progress}, err) // main logs it
		}
	}()
	set := prepare
	if s.node {
		set = prepareNode
	}
	g, err := set(ctx, s.groundDir(), told)
	if err != nil {
		return err // the folder stays for whoever wants to know why
	}
	if err := s.publish(g); err != nil {
		return errors.Join(err, g.stop())
	}
	fmt.Fprintln(told, readyLine)
	progress.Close()

	var webhookDone <-chan struct{} // for ever, where there is none
	if g.webhook != nil {
		webhookDone = g.webhook.Done()
	}
	select {
	case <-ctx.Done():
	case <-g.controlPlane.Done():
		err = g.controlPlane.Err()
	case <-webhookDone:
		err = g.webhook.Err()
	}
	err = errors.Join(err, os.Remove(s.kubeconfig()), g.stop())
	if err != nil {
		return err
	}
	return s.clean()
}

// publish puts the administrator's kubeconfig where people look for it, whole
// or not at all.
func (s session) publish(g *ground) error {
	content, err := os.ReadFile(g.controlPlane.Kubeconfig)
	if err == nil {
		err = os.WriteFile(s.kubeconfig()+".new", content, 0o600)
	}
	if err == nil {
		err = os.Rename(s.kubeconfig()+".new", s.kubeconfig())
	}
	if err != nil {
		return fmt.Errorf("publishing the kubeconfig: %w", err)
	}
	return nil
}

// ignoringErrors writes to somebody who may have stopped listening.
type ignoringErrors struct{ io.Writer }

func (w ignoringErrors) Write(p []byte) (int, error) {
	_, _ = w.Writer.Write(p) // see the type
	return len(p), nil
}
