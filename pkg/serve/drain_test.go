package serve

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func transport(t *testing.T, config *tls.Config) *http.Transport {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: config}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func TestStopsAtOnceWithoutConnections(t *testing.T) {
	ca := newAuthority(t)
	s := start(t, ca.folder(t), ca, nil)
	c := s.client(t)
	s.get(t, c, "/readyz")
	c.CloseIdleConnections()
	began := time.Now()
	s.stop()
	s.ended(t)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

// Whoever stops the server closes its listener first; that must never look like a failure of the listener's.
func TestStoppingIsNoFailure(t *testing.T) {
	ca := newAuthority(t)
	dir := ca.folder(t)
	for range 100 {
		s := &Server{Listen: "127.0.0.1:0", Certificates: follow(t, dir), Handler: http.NotFoundHandler()}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Start(ctx) }()
		eventually(t, "the server listens", func() bool { return s.Addr() != nil })
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// An idle connection stays open: its next request is served, and told that it was the last.
func TestIdleConnectionIsServedAfterTheStop(t *testing.T) {
	ca := newAuthority(t)
	s := start(t, ca.folder(t), ca, nil)
	held, unused := s.client(t), s.unused(t)
	s.post(t, held, "before")
	s.stop()
	fresh := s.client(t)
	eventually(t, "a new connection is told that the server is stopping", func() bool {
		code, body, closed := s.get(t, fresh, "/readyz")
		return code == 503 && body == "not ready: stopping\n" && closed
	})
	select {
	case err := <-s.done:
		t.Fatalf("ended with two connections open: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if code, body, closed := s.post(t, held, "after"); code != 200 || body != "after" || !closed {
		t.Errorf("held connection: %d %q, closed %v", code, body, closed)
	}
	if code, body, closed := s.post(t, fresh, "new"); code != 200 || body != "new" || !closed {
		t.Errorf("new connection: %d %q, closed %v", code, body, closed)
	}
	// Opened before the stop and used only now: a client may well hold one in store.
	_, err := io.WriteString(unused, "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(unused)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200 OK") || !strings.Contains(string(got), "Connection: close") || !strings.HasSuffix(string(got), "hi") {
		t.Errorf("unused connection: %q %v", got, err)
	}
	_ = unused.Close()
	s.ended(t)
}

// unused opens a connection and sends nothing on it.
func (r *running) unused(t *testing.T) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", r.Addr().String(), r.authority.client())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// A request that is being answered when the stop comes is not cancelled, and its answer says that it was the last.
func TestRequestInFlightSurvivesTheStop(t *testing.T) {
	for name, write := range map[string]func(http.ResponseWriter){
		"with a body":   func(w http.ResponseWriter) { _, _ = w.Write([]byte("done")) },
		"with a status": func(w http.ResponseWriter) { w.WriteHeader(200); _, _ = w.Write([]byte("done")) },
		"with nothing":  func(http.ResponseWriter) {},
	} {
		t.Run(name, func(t *testing.T) {
			ca := newAuthority(t)
			began, finish := make(chan struct{}), make(chan struct{})
			var cancelled atomic.Bool
			s := start(t, ca.folder(t), ca, func(s *Server) {
				s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					close(began)
					<-finish
					cancelled.Store(r.Context().Err() != nil)
					write(w)
				})
			})
			c := s.client(t)
			var request sync.WaitGroup
			request.Go(func() {
				resp, err := c.Post(s.url("/mutate"), "application/json", strings.NewReader("{}"))
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = resp.Body.Close() }()
				if resp.StatusCode != 200 || !resp.Close {
					t.Errorf("status %d, closed %v", resp.StatusCode, resp.Close)
				}
			})
			<-began
			s.stop()
			time.Sleep(50 * time.Millisecond)
			close(finish)
			request.Wait()
			if cancelled.Load() {
				t.Error("the handler was cancelled by the stop")
			}
			s.ended(t)
		})
	}
}

// A connection that nobody closes cannot hold the end up for ever.
func TestEndIsBounded(t *testing.T) {
	ca := newAuthority(t)
	s := start(t, ca.folder(t), ca, func(s *Server) { s.drainTimeout = 100 * time.Millisecond })
	conn := s.unused(t)
	s.stop()
	s.ended(t)
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}

// Clients that keep connections alive, as the API server does, through a stop: nothing is lost until they have left.
func TestNoRequestIsLostThroughTheStop(t *testing.T) {
	ca := newAuthority(t)
	s := start(t, ca.folder(t), ca, nil)
	hold := s.unused(t) // stands for the clients that have not heard of the stop: the server must go on until it leaves
	var clients sync.WaitGroup
	var sent, closes atomic.Int64
	stop := make(chan struct{})
	for range 8 {
		c := s.client(t)
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := c.Post(s.url("/mutate"), "application/json", strings.NewReader("review"))
				if err != nil {
					t.Errorf("request %d: %v", sent.Load(), err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || string(body) != "review" {
					t.Errorf("answer %q: %v", body, err)
				}
				if resp.Close {
					closes.Add(1)
				}
				sent.Add(1)
			}
		})
	}
	eventually(t, "requests flow", func() bool { return sent.Load() > 100 })
	s.stop()
	eventually(t, "requests flow after the stop", func() bool { return closes.Load() > 100 || t.Failed() })
	close(stop)
	clients.Wait()
	_ = hold.Close()
	s.ended(t)
}
