package dockerproxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// scripted is an engine that serves each connection as it is told; number counts
// them from 1.
func scripted(t *testing.T, serve func(number int, conn net.Conn, from *bufio.Reader)) *exchanger {
	t.Helper()
	dir, err := os.MkdirTemp("", "p") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "engine")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for number := 1; ; number++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // whoever waits for that has failed
			serving.Go(func() {
				defer hangUp(conn)
				serve(number, conn, bufio.NewReader(conn))
			})
		}
	})
	e := &exchanger{socket: socket}
	t.Cleanup(func() {
		_ = listener.Close()
		for c := e.pop(); c != nil; c = e.pop() {
			hangUp(c)
		}
		serving.Wait()
		_ = os.RemoveAll(dir)
	})
	return e
}

// exchanged is what the engine says to a request.
func exchanged(t *testing.T, e *exchanger, method, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://engine/x", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := e.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.Status + " " + string(said)
}

// heard reads a request to its end.
func heard(from *bufio.Reader) (*http.Request, error) {
	r, err := http.ReadRequest(from)
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
	}
	return r, err
}

// TestExchanger: which connection the second of two requests takes, by what the
// engine did with the first.
func TestExchanger(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for _, row := range []struct {
		rule, first string // what the engine says to the first request
		ends        bool   // and then closes
		method      string
		status      string
		connection  int // of the second request
	}{
		{"an answer that is read to its end", answer, false, "GET", "200 OK ok", 1},
		{"in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false, "GET", "200 OK ok", 1},
		{"without a body", "HTTP/1.1 204 No Content\r\n\r\n", false, "POST", "204 No Content ", 1},
		{"to a HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false, "HEAD", "200 OK ", 1},
		{"a promise first", "HTTP/1.1 100 Continue\r\n\r\n" + answer, false, "POST", "200 OK ok", 1},
		{"the last on its connection", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false, "GET", "200 OK ok", 2},
		{"up to the connection's end", "HTTP/1.1 200 OK\r\n\r\nok", true, "GET", "200 OK ok", 2},
		{"an end that was not told of", answer, true, "GET", "200 OK ok", 2},
		{"more than was asked for", answer + answer, false, "GET", "200 OK ok", 2},
	} {
		t.Run(row.rule, func(t *testing.T) {
			said, took := make(chan bool), make(chan int, 1)
			e := scripted(t, func(number int, conn net.Conn, from *bufio.Reader) {
				if number == 1 {
					if r, err := heard(from); err != nil || r.Method != row.method {
						t.Errorf("heard %v, %v", r, err)
					}
					_, _ = io.WriteString(conn, row.first)
					if row.ends {
						hangUp(conn)
					}
					close(said)
				}
				if _, err := heard(from); err == nil {
					took <- number
					_, _ = io.WriteString(conn, answer)
				}
			})
			if got := exchanged(t, e, row.method, ""); got != row.status {
				t.Errorf("answered with %q", got)
			}
			<-said
			if got := exchanged(t, e, "GET", ""); got != "200 OK ok" || <-took != row.connection {
				t.Errorf("the second is answered with %q, or on another connection than %d", got, row.connection)
			}
		})
	}
}

// TestExchangerEarlyAnswer: why the engine has not read all of a body is heard.
func TestExchangerEarlyAnswer(t *testing.T) {
	e := scripted(t, func(_ int, conn net.Conn, from *bufio.Reader) {
		_, _ = from.Peek(1)
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno")
	})
	for range 2 {
		if got := exchanged(t, e, "POST", strings.Repeat("x", 4<<20)); got != "400 Bad Request no" {
			t.Errorf("answered with %q", got)
		}
	}
}

// TestExchangerGivesUp: the engine hears at once of an answer that nobody reads any
// more, and of a request that is given up.
func TestExchangerGivesUp(t *testing.T) {
	ended := make(chan error, 1)
	e := scripted(t, func(_ int, conn net.Conn, from *bufio.Reader) {
		r, err := heard(from)
		if err == nil && r.Method == "GET" {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
		}
		_, err = from.ReadByte()
		ended <- err
	})
	for _, row := range []struct {
		rule, method string
		giveUp       func(response *http.Response, cancel func())
	}{
		{"closed", "GET", func(response *http.Response, _ func()) { _ = response.Body.Close() }},
		{"given up while it is read", "GET", func(response *http.Response, cancel func()) {
			time.AfterFunc(10*time.Millisecond, cancel)
			if said, err := io.ReadAll(response.Body); err == nil {
				t.Errorf("all was read: %q", said)
			}
		}},
		{"given up before it has begun", "POST", nil},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, row.method, "http://engine/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		if row.giveUp == nil {
			time.AfterFunc(10*time.Millisecond, cancel)
		}
		response, err := e.RoundTrip(r)
		switch {
		case row.giveUp != nil && err == nil:
			row.giveUp(response, cancel)
		case row.giveUp != nil || err == nil || ctx.Err() == nil:
			t.Errorf("%s: %v", row.rule, err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("%s: the engine heard %v", row.rule, err)
		}
	}
}

// TestExchangerCrowd: requests at once have a connection each, of which no more stay
// than may wait for use.
func TestExchangerCrowd(t *testing.T) {
	const many = 2 * idle
	var all sync.WaitGroup
	all.Add(many)
	e := scripted(t, func(_ int, conn net.Conn, from *bufio.Reader) {
		if _, err := heard(from); err == nil {
			all.Done()
			all.Wait()
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
			_, _ = from.ReadByte() // the end
		}
	})
	var asking sync.WaitGroup
	for range many {
		asking.Go(func() { exchanged(t, e, "GET", "") })
	}
	asking.Wait()
	if len(e.free) != idle {
		t.Errorf("%d connections are kept, want %d", len(e.free), idle)
	}
}
