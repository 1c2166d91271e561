package dockerproxy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// sockets are the two ends of a connection between Unix sockets.
func sockets(t testing.TB) (near, far net.Conn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "p") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if near, err = net.Dial("unix", filepath.Join(dir, "s")); err != nil {
		t.Fatal(err)
	}
	if far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// TestPump: a stream arrives as it was sent, in pieces of any size, whether the
// kernel can move it or not, and what ended it is told.
func TestPump(t *testing.T) {
	sent := make([]byte, 5<<20)
	for i := range sent {
		sent[i] = byte(rand.Uint32())
	}
	closed := func(from, _ net.Conn) { hangUp(from) }
	for _, row := range []struct {
		rule             string
		connect          func(t testing.TB) (near, far net.Conn)
		spliced          bool
		end              func(from, to net.Conn)
		reading, writing bool
	}{
		{"sockets", sockets, true, closed, false, false},
		{"no sockets", func(testing.TB) (near, far net.Conn) { return net.Pipe() }, false, closed, false, false},
		{"nobody reads any more", sockets, true, func(from, to net.Conn) { hangUp(to); _, _ = from.Write(sent[:1]) }, false, true},
		{"given up", sockets, true, nil, true, false},
	} {
		t.Run(row.rule, func(t *testing.T) {
			source, from := row.connect(t)
			to, sink := row.connect(t)
			for _, c := range []net.Conn{source, from, to, sink} {
				defer hangUp(c)
				if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			type result struct {
				copied           int64
				reading, writing error
			}
			ended := make(chan result, 1)
			go func() {
				var r result
				r.copied, r.reading, r.writing = pump(to, from, nil)
				ended <- r
			}()
			go func() {
				for left := sent; len(left) > 0; {
					n := min(len(left), 1+rand.IntN(300<<10))
					if _, err := source.Write(left[:n]); err != nil {
						t.Error(err)
						return
					}
					left = left[n:]
				}
			}()
			came := make([]byte, len(sent))
			if _, err := io.ReadFull(sink, came); err != nil || !bytes.Equal(came, sent) {
				t.Fatalf("another stream arrives: %v", err)
			}
			if row.end == nil {
				_ = from.SetReadDeadline(time.Now())
			} else {
				row.end(source, sink)
			}
			got := <-ended
			if got.copied < int64(len(sent)) || (got.reading != nil) != row.reading || (got.writing != nil) != row.writing {
				t.Errorf("%d of %d bytes, %v, %v", got.copied, len(sent), got.reading, got.writing)
			}
			if row.reading && !errors.Is(got.reading, os.ErrDeadlineExceeded) {
				t.Errorf("kept from reading by %v", got.reading)
			}
			hangUp(from)
			if _, _, _, possible := splice(to, from); possible != row.spliced {
				t.Errorf("spliced: %v", possible)
			}
		})
	}
}
