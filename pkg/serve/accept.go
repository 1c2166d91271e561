package serve

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// listener refuses what is too many at once, before anything is spent on it.
type listener struct {
	net.Listener
	config *tls.Config
	conns  *connections
}

// Accept waits for the next connection that there is room for. The handshake is that connection's to make.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.conns.enter(raw); c != nil {
			c.Conn = tls.Server(raw, l.config)
			return c, nil
		}
		if tcp, ok := raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // reset: the kernel has nothing to remember either
		}
		_ = raw.Close()
	}
}

// conn is a connection that makes its handshake when it is first read from, within limits of its own.
//
// http.Server has one limit from a connection's opening to the end of its first header, and it would be the same for
// each header that follows. A client that holds a connection in store may be silent for long, but once it speaks it is
// done soon; so these are two limits here.
type conn struct {
	*tls.Conn
	raw    net.Conn
	home   *connections
	opened time.Time
	begun  bool // the first byte has come; for the one goroutine that reads

	// Under home's lock.
	silent *list.Element // its place among the silent; nil: it has carried a request
	left   bool
}

// Read reads what the client sends. At the first call it makes the handshake, waits for the client to speak, and then
// gives it headerTimeout.
func (c *conn) Read(p []byte) (int, error) {
	if c.begun {
		return c.Conn.Read(p)
	}
	if err := c.shake(); err != nil {
		c.home.log.V(1).Info("TLS handshake refused", "client", c.RemoteAddr().String(), "detail", err.Error())
		return 0, io.EOF // there is nobody to whom an error in HTTP could be told
	}
	_ = c.SetReadDeadline(time.Now().Add(silentTimeout))
	n, err := c.Conn.Read(p)
	if err == nil {
		_ = c.SetReadDeadline(time.Now().Add(headerTimeout))
		c.begun = true
	}
	return n, err
}

func (c *conn) shake() error {
	// Connections of this server have deadlines; without one the handshake is made all the same.
	_ = c.raw.SetDeadline(time.Now().Add(handshakeTimeout))
	err := c.HandshakeContext(context.Background()) // the deadline ends it, and takes no goroutine
	if plain, is := errors.AsType[tls.RecordHeaderError](err); is && plain.Conn != nil {
		_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nthis port speaks HTTPS\n") // to a client who forgot the s
	}
	_ = c.raw.SetDeadline(time.Time{})
	return err
}

// Close closes the connection; then it counts no more.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.home.leave(c)
	return err
}
