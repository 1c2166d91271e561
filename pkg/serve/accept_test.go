package serve

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
		b.client.Time = func() time.Time { return time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC) }
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

// asks sends a request and reads the echo.
func asks(c net.Conn, body string) error {
	if _, err := fmt.Fprintf(c, "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != body {
		return fmt.Errorf("%d %q: %w", resp.StatusCode, got, err)
	}
	return nil
}

// endsAfter is how long it takes until the server closes the connection.
func endsAfter(c net.Conn) time.Duration {
	began := time.Now()
	_, _ = io.Copy(io.Discard, c)
	return time.Since(began)
}

// Whoever is slow is ended: in the handshake, in the first header and in every later one alike. Whoever is silent may
// be so for longer than the API server's client holds a connection, before its first request as well as after it.
func TestHowLongAConnectionMayBe(t *testing.T) {
	const head = "POST /mutate HTTP/1.1\r\nHost: x\r\n"
	for name, test := range map[string]struct {
		begin func(t *testing.T, b *bubble) net.Conn
		want  time.Duration
	}{
		"no handshake": {func(_ *testing.T, b *bubble) net.Conn { return b.dial() }, handshakeTimeout},
		"half a handshake": {func(_ *testing.T, b *bubble) net.Conn {
			c := b.dial()
			_, _ = io.WriteString(c, "\x16\x03\x01\x02\x00")
			return c
		}, handshakeTimeout},
		"silent":         {func(t *testing.T, b *bubble) net.Conn { return b.shaken(t) }, silentTimeout},
		"half a header":  {func(t *testing.T, b *bubble) net.Conn { return says(t, b.shaken(t), head) }, headerTimeout},
		"idle":           {func(t *testing.T, b *bubble) net.Conn { return asked(t, b.shaken(t)) }, idleTimeout},
		"a later header": {func(t *testing.T, b *bubble) net.Conn { return says(t, asked(t, b.shaken(t)), head) }, headerTimeout},
		"half a header after a silence": {func(t *testing.T, b *bubble) net.Conn {
			c := b.shaken(t)
			time.Sleep(silentTimeout - time.Second)
			return says(t, c, head)
		}, headerTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(t *testing.T, b *bubble) {
				// Closing takes http.Server a moment of its own, in which it lets its last words arrive.
				if took := endsAfter(test.begin(t, b)); took < test.want || took > test.want+time.Second {
					t.Errorf("ended after %s, want %s", took, test.want)
				}
			})
		})
	}
}

func says(t *testing.T, c net.Conn, text string) net.Conn {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

func asked(t *testing.T, c *tls.Conn) *tls.Conn {
	t.Helper()
	if err := asks(c, "first"); err != nil {
		t.Fatal(err)
	}
	return c
}

// A client that trickles its header, always in time for the next byte, is ended as well.
func TestATrickledHeaderIsEnded(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bubble) {
		c, began := b.shaken(t), time.Now()
		go func() { _, _ = io.Copy(io.Discard, c) }() // a pipe holds nothing that nobody reads
		for _, letter := range strings.Repeat("POST /mutate HTTP/1.1", 10) {
			if _, err := io.WriteString(c, string(letter)); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took < headerTimeout || took > headerTimeout+time.Second {
			t.Errorf("ended after %s", took)
		}
	})
}

// The surplus is refused before a byte of it is read, and costs those that are in nothing.
func TestSurplusIsRefused(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, b *bubble) {
		held := []*tls.Conn{asked(t, b.shaken(t)), asked(t, b.shaken(t))}
		time.Sleep(time.Minute) // idle, but they have carried a request: none of them gives way
		for range 100 {
			if took := endsAfter(b.dial()); took != 0 {
				t.Errorf("refused after %s", took)
			}
		}
		if len(b.lines) != 1 || !strings.Contains(b.lines[0], `"as many connections are open as may be: refusing others" "connections"=2`) {
			t.Errorf("logged %q", b.lines)
		}
		for _, c := range held {
			if err := asks(c, "again"); err != nil {
				t.Error(err)
			}
		}
		_ = held[0].NetConn().Close()
		synctest.Wait()
		if err := asks(b.shaken(t), "new"); err != nil {
			t.Errorf("there is room again: %v", err)
		}
	})
}

// A server full of silent connections lets a new one in after 5 s, in the place of the oldest of them. One that is in
// the middle of a request is not silent.
func TestSilentConnectionsGiveWay(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, b *bubble) {
		working := asked(t, b.shaken(t))
		oldest := b.dial() // without a handshake
		time.Sleep(time.Second)
		young := b.shaken(t)
		time.Sleep(silentGrace - time.Second - 1)
		if took := endsAfter(b.dial()); took != 0 {
			t.Errorf("before its time it was let in, for %s", took)
		}
		time.Sleep(1)
		if err := asks(b.shaken(t), "late"); err != nil {
			t.Errorf("nobody gave way: %v", err)
		}
		if took := endsAfter(oldest); took != 0 {
			t.Errorf("the oldest stayed for %s", took)
		}
		for _, c := range []net.Conn{young, working} {
			if err := asks(c, "still here"); err != nil {
				t.Error(err)
			}
		}
		// All of them have carried a request now.
		time.Sleep(silentGrace)
		if took := endsAfter(b.dial()); took != 0 {
			t.Errorf("one that had carried a request gave way, for %s", took)
		}
	})
}

// Whoever forgets the s of https is told.
func TestPlainHTTPIsTold(t *testing.T) {
	ca := newAuthority(t)
	s := start(t, ca.folder(t), ca, nil)
	resp, err := http.Get("http://" + s.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusBadRequest || string(body) != "this port speaks HTTPS\n" {
		t.Errorf("%d %q %v", resp.StatusCode, body, err)
	}
}
