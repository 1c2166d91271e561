package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// Commands that make this program a proxy to compare the companion with: COMMAND LISTEN ENGINE.
const (
	copyCommand    = "copy"
	reverseCommand = "reverse"
)

// proxies are what they run.
var proxies = map[string]func(ctx context.Context, listener net.Listener, engine string) error{
	copyCommand: copier, reverseCommand: reverse,
}

// proxy runs one of them until ctx ends.
func proxy(ctx context.Context, command, listen, engine string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", listen)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() }) // ends Accept
	if err = proxies[command](ctx, listener, engine); ctx.Err() != nil {
		err = ctx.Err()
	}
	return err
}

// reverse is the standard library's reverse proxy with nothing added: what any proxy that
// is made of it costs.
func reverse(_ context.Context, listener net.Listener, engine string) error {
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport: &http.Transport{
			DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, engine) },
			DisableCompression:  true,
			MaxIdleConnsPerHost: 16,
		},
	}}
	return server.Serve(listener)
}

// copier is the least that a proxy can be: it copies bytes between a client and
// the engine and reads none of them. What it costs, any proxy costs.
func copier(ctx context.Context, listener net.Listener, engine string) error {
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
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

// startProxy runs a proxy as a process of its own, as the companion is.
func startProxy(ctx context.Context, command, engine string) (p *process.Process, socket string, err error) {
	dir, err := os.MkdirTemp("", command)
	if err != nil {
		return nil, "", err
	}
	socket = filepath.Join(dir, "s")
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	if p, err = process.Start(exec.CommandContext(ctx, self, command, socket, engine), filepath.Join(dir, "log"), time.Minute); err != nil {
		return nil, "", err
	}
	err = process.Poll(ctx, 10*time.Second, p.Done(), func() error {
		conn, err := dial(ctx, socket)
		if err != nil {
			return fmt.Errorf("%w; %s", err, p.LastWords())
		}
		return conn.Close()
	}, "waiting for a proxy")
	if err != nil {
		p.Kill()
		return nil, "", errors.Join(err, os.RemoveAll(dir))
	}
	return p, socket, nil
}
