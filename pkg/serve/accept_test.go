package serve

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
		time.Sleep(silentGrace - time.Second - time.Nanosecond)
		if took := endsAfter(b.dial()); took != 0 {
			t.Errorf("before its time it was let in, for %s", took)
		}
		time.Sleep(time.Nanosecond)
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
