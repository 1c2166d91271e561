package dockerproxy

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// exchanger is an http.RoundTripper for requests whose body, if they have one, is in
// memory: it writes the request in one piece and reads the answer in its caller's own
// goroutine. An http.Transport has two more for each connection, and on a busy machine
// waking them takes longer than an exchange with the engine itself. It is safe for
// concurrent use, and sends nothing a second time.
type exchanger struct {
	socket string
	mu     sync.Mutex
	free   []*exchange // the one used last is last
}

// exchange is a connection, which carries one request at a time.
type exchange struct {
	net.Conn
	from *bufio.Reader
}

// RoundTrip is exchange for a request that is still to be written.
func (e *exchanger) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	var whole bytes.Buffer
	if err := r.Write(&whole); err != nil {
		return nil, err
	}
	return e.exchange(r.Context(), r, whole.Bytes())
}

// exchange sends a request, all of which is there, and returns once the answer's head
// is. The connection is kept when the body has been read to its end, and closed when
// the context ends before. r, of which the answer tells, may be nil unless it is a HEAD,
// whose answer has no body.
func (e *exchanger) exchange(ctx context.Context, r *http.Request, whole []byte) (*http.Response, error) {
	c, err := e.take(ctx)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		e.keep(c)
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { hangUp(c) })
	response, err := c.ask(r, whole)
	if err != nil {
		stop()
		hangUp(c)
		return nil, cmp.Or(ctx.Err(), err)
	}
	response.Body = &answerBody{response.Body, func(whole bool) {
		if stop() && whole && !response.Close {
			e.keep(c)
		} else {
			hangUp(c)
		}
	}}
	return response, nil
}

// ask writes a request and reads the head of its answer.
func (c *exchange) ask(r *http.Request, whole []byte) (*http.Response, error) {
	_, err := c.Write(whole)
	// An engine that does not read all of it may have said why.
	response, readErr := http.ReadResponse(c.from, r)
	for readErr == nil && response.StatusCode < http.StatusOK && response.StatusCode != http.StatusSwitchingProtocols {
		response, readErr = http.ReadResponse(c.from, r)
	}
	if readErr != nil {
		return nil, cmp.Or(err, readErr)
	}
	response.Close = response.Close || err != nil
	return response, nil
}

// take is a connection that nobody uses, or a new one.
func (e *exchanger) take(ctx context.Context) (*exchange, error) {
	for c := e.pop(); c != nil; c = e.pop() {
		if c.quiet() {
			return c, nil
		}
		hangUp(c) // as the engine has
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", e.socket)
	if err != nil {
		return nil, err
	}
	return &exchange{conn, bufio.NewReader(conn)}, nil
}

// pop is the free connection that was used last, or nil.
func (e *exchanger) pop() *exchange {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := len(e.free) - 1
	if last < 0 {
		return nil
	}
	c := e.free[last]
	e.free = e.free[:last]
	return c
}

// keep lets others have the connection, unless there are enough.
func (e *exchanger) keep(c *exchange) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.free) == idle {
		hangUp(c)
		return
	}
	e.free = append(e.free, c)
}

// quiet reports whether the engine has neither ended the connection nor said
// anything that nobody has asked for.
func (c *exchange) quiet() bool {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok || c.from.Buffered() > 0 {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var peekErr error
	err = raw.Read(func(fd uintptr) (done bool) {
		_, _, peekErr = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && errors.Is(peekErr, syscall.EAGAIN)
}

// answerBody tells once how it ended: whether it was read to its end.
type answerBody struct {
	io.ReadCloser
	ended func(whole bool)
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end(errors.Is(err, io.EOF))
	}
	return n, err
}

// Close gives the connection up where the body has not been read to its end.
func (b *answerBody) Close() error {
	b.end(false)
	return nil
}

func (b *answerBody) end(whole bool) {
	if b.ended != nil {
		b.ended(whole)
		b.ended = nil
	}
}
