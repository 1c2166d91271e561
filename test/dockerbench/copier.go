package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// copyCommand makes this program a copier: copy LISTEN ENGINE.
const copyCommand = "copy"

// copier is the least that a proxy can be: it copies bytes between a client and
// the engine and reads none of them. What it costs, any proxy costs.
func copier(ctx context.Context, listen, engine string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", listen)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() }) // ends Accept
	for {
		client, err := listener.Accept()
		if err != nil {
			return ctx.Err()
		}
		go func() {
			defer client.Close()
			behind, err := dial(ctx, engine)
			if err != nil {
				return
			}
			defer behind.Close()
			var both sync.WaitGroup
			both.Go(func() { carry(behind, client) })
			both.Go(func() { carry(client, behind) })
			both.Wait()
		}()
	}
}

// carry copies one direction, and passes its end on.
func carry(to, from net.Conn) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 64<<10))
	_ = to.(*net.UnixConn).CloseWrite() // of a connection that may be gone
}

// startCopier runs a copier as a process of its own, as the companion is.
func startCopier(ctx context.Context, engine string) (p *process.Process, socket string, err error) {
	dir, err := os.MkdirTemp("", "copier")
	if err != nil {
		return nil, "", err
	}
	socket = filepath.Join(dir, "s")
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	if p, err = process.Start(exec.CommandContext(ctx, self, copyCommand, socket, engine), filepath.Join(dir, "log"), time.Minute); err != nil {
		return nil, "", err
	}
	err = process.Poll(ctx, 10*time.Second, p.Done(), func() error {
		conn, err := dial(ctx, socket)
		if err != nil {
			return fmt.Errorf("%w; %s", err, p.LastWords())
		}
		return conn.Close()
	}, "waiting for the copier")
	if err != nil {
		p.Kill()
		return nil, "", errors.Join(err, os.RemoveAll(dir))
	}
	return p, socket, nil
}
