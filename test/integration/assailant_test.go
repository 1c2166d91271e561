package integration

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// assailant opens connections that are worth nothing.
type assailant struct {
	address string
	pool    *tls.Config
	body    []byte        // the beginning of a large one
	let     atomic.Int64  // of its connections that were not refused before the handshake was complete
	turns   chan struct{} // bound how many idle ones are being opened at once
	tried   sync.WaitGroup
	open    sync.WaitGroup
}

// shake connects and makes the handshake; nil: it was refused.
func (a *assailant) shake(ctx context.Context) *tls.Conn {
	dialer := &tls.Dialer{Config: a.pool}
	conn, err := dialer.DialContext(ctx, "tcp", a.address)
	if err != nil {
		return nil
	}
	a.let.Add(1)
	return conn.(*tls.Conn)
}

// slow is one of four: no handshake, half of one, no end of a header, no end of a body
// of 4 MiB. It ends when the server ends it.
func (a *assailant) slow(ctx context.Context, i int) {
	if i%4 < 2 {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", a.address)
		if err != nil {
			return
		}
		defer conn.Close()
		if i%4 == 1 {
			_, _ = io.WriteString(conn, "\x16\x03\x01\x02\x00\x01")
		}
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	conn := a.shake(ctx)
	if conn == nil {
		return
	}
	defer func() { _ = conn.Close() }()
	text := "POST /mutate?timeout=5s HTTP/1.1\r\nHost: x\r\n"
	if i%4 == 3 {
		text += "Content-Type: application/json\r\nContent-Length: 4194304\r\n\r\n"
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, conn)
	}()
	_, err := io.WriteString(conn, text)
	if i%4 == 3 && err == nil {
		_, err = conn.Write(a.body)
	}
	for ; err == nil; _, err = io.WriteString(conn, "x") {
		select {
		case <-ended:
			return
		case <-time.After(time.Second):
		}
	}
	<-ended
}

// idle opens a connection on which nothing is said, and holds it, where it is not refused, until ctx ends. One of four
// makes a handshake before, which takes more of this machine than of an assailant's.
func (a *assailant) idle(ctx context.Context, i int) {
	a.turns <- struct{}{}
	var conn net.Conn
	var err error
	if i%4 > 0 {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", a.address)
	} else if shaken := a.shake(ctx); shaken != nil {
		conn = shaken
	}
	<-a.turns
	a.tried.Done()
	if conn == nil || err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_, _ = io.Copy(io.Discard, conn)
}
