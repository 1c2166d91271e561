package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// Commands that make this program a proxy to compare the companion with: COMMAND LISTEN ENGINE.
const (
	relayCommand   = "relay"
	reverseCommand = "reverse"
)

// proxies are what they run.
var proxies = map[string]func(ctx context.Context, listener net.Listener, engine string) error{
	relayCommand: relay, reverseCommand: reverse,
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

// relay is the least that a process between a client and the engine can be: for each
// direction a thread that waits in splice(2), which moves what comes without copying
// it. It reads nothing of it. What it costs, any proxy costs.
func relay(ctx context.Context, listener net.Listener, engine string) error {
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			behind, err := dial(ctx, engine)
			if err != nil {
				_ = client.Close()
				return
			}
			if err := join(client, behind); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
	}
}

// join moves both directions until both have ended.
func join(a, b net.Conn) error {
	one, err := blocking(a)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	other, err := blocking(b)
	if err != nil {
		return errors.Join(err, unix.Close(one))
	}
	var both sync.WaitGroup
	var there, back error
	both.Go(func() { there = move(one, other) })
	both.Go(func() { back = move(other, one) })
	both.Wait()
	return errors.Join(there, back, unix.Close(one), unix.Close(other))
}

// blocking takes a connection's socket out of the hands of Go's poller.
func blocking(c net.Conn) (socket int, err error) {
	defer c.Close()
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a Unix socket")
	}
	f, err := conn.File()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	// Its file descriptor is set to wait by that.
	return unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
}

// move moves one direction, and passes its end on. A connection that is gone is one.
func move(from, to int) error {
	const room = 1 << 20
	runtime.LockOSThread()
	// Whatever ends here ends the other direction as well, which would wait for ever.
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return errors.Join(err, unix.Shutdown(from, unix.SHUT_RDWR), unix.Shutdown(to, unix.SHUT_RDWR))
	}
	defer func() { _, _ = unix.Close(pipe[0]), unix.Close(pipe[1]) }()
	if _, err := unix.FcntlInt(uintptr(pipe[1]), unix.F_SETPIPE_SZ, room); err != nil {
		return errors.Join(err, unix.Shutdown(from, unix.SHUT_RDWR), unix.Shutdown(to, unix.SHUT_RDWR))
	}
	splice := func(from, to int, most int64) (n int64, err error) {
		for {
			if n, err = unix.Splice(from, nil, to, nil, int(most), unix.SPLICE_F_MOVE); !errors.Is(err, unix.EINTR) {
				return n, err
			}
		}
	}
	for {
		held, err := splice(from, pipe[1], room)
		if held <= 0 || err != nil {
			_ = unix.Shutdown(to, unix.SHUT_WR)
			return nil
		}
		for held > 0 {
			n, err := splice(pipe[0], to, held)
			if err != nil {
				_ = unix.Shutdown(from, unix.SHUT_RD)
				return nil
			}
			held -= n
		}
	}
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
