package serve

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

// pipes is a listener without a network, so that time may be a bubble's.
type pipes struct {
	calls  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.calls:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// bubble is a server of at most limit connections, in a bubble of time.
type bubble struct {
	*pipes
	conns   *connections
	client  *tls.Config
	clients []net.Conn
	lines   []string // logged
}

// inBubble runs a test with a server that echoes, and with a clock that only waits move.
func inBubble(t *testing.T, limit int, test func(t *testing.T, b *bubble)) {
	ca := newAuthority(t)
	dir := ca.folder(t)
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{pipes: &pipes{calls: make(chan net.Conn), closed: make(chan struct{})}, client: ca.client()}
		log := funcr.New(func(_, line string) { b.lines = append(b.lines, line) }, funcr.Options{})
		b.client.InsecureSkipVerify = true //nolint:gosec // a bubble's clock begins in 2000
		folder, err := NewFolder(dir, logr.Discard(), nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &Server{Certificates: folder, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })}
		if s.standIn, err = newStandIn(); err != nil {
			t.Fatal(err)
		}
		b.conns = newConnections(limit, log)
		server := s.server(b.conns, &readiness{})
		served := make(chan error, 1)
		l := s.listener(b.pipes, b.conns)
		l.config.SessionTicketsDisabled = true // a pipe has no buffer, and nobody may read yet
		go func() { served <- server.Serve(l) }()
		test(t, b)
		for _, c := range b.clients {
			_ = c.Close()
		}
		synctest.Wait() // http.Server closes under a lock, which a bubble takes for work
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
		if n := b.conns.count(); n != 0 {
			t.Errorf("%d connections are counted after the end", n)
		}
	})
}

// dial connects and says nothing yet.
func (b *bubble) dial() net.Conn {
	mine, theirs := net.Pipe()
	b.calls <- theirs
	b.clients = append(b.clients, mine)
	return mine
}

// shaken connects and makes the handshake.
func (b *bubble) shaken(t *testing.T) *tls.Conn {
	t.Helper()
	c := tls.Client(b.dial(), b.client)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	synctest.Wait() // TLS 1.3's client is done before the server is
	return c
}
