package dockerproxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

// speak sends what a client says and returns all that is answered.
func speak(t *testing.T, socket, said string) string {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(conn)
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, said); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("%v, after %q", err, answer)
	}
	return string(answer)
}

// TestCarry: the engine reads the head's fields and the body as they came, and
// nothing that stands behind the body; its answer comes as it is.
func TestCarry(t *testing.T) {
	heard := make(chan string, 2)
	socket := standIn(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		heard <- fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Header["X"], r.TransferEncoding, r.ContentLength, " ", len(body), " ", err)
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(body)
	}, nil)
	body := strings.Repeat("x", 3*muchRoom)
	const behind = "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
	for _, row := range []struct{ said, heard string }{
		{
			fmt.Sprintf("POST /v1.41/containers/a/attach?path=%%2F&&x HTTP/1.1\r\nHost: docker\r\nX: 1\r\nX: 2\r\nContent-Length: %d\r\n\r\n%s", len(body), body),
			fmt.Sprintf("POST /v1.41/containers/a/attach?path=%%2F&&x docker [1 2] [] %d %d <nil>", len(body), len(body)),
		},
		{
			fmt.Sprintf("POST //exec/a/start HTTP/1.1\r\nHost: docker\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%s\r\n1\r\ny\r\n0\r\n\r\n", len(body), body),
			fmt.Sprintf("POST //exec/a/start docker [] [chunked] -1 %d <nil>", len(body)+1),
		},
		{"GET /images/get HTTP/1.1\r\nHost: docker\r\nExpect: 100-continue\r\n\r\n", "GET /images/get docker [] [] 0 0 <nil>"},
	} {
		answer := speak(t, socket, row.said+behind)
		if got := <-heard; got != row.heard {
			t.Errorf("the engine heard %q, want %q", got, row.heard)
		}
		if !strings.HasPrefix(answer, "HTTP/1.1 202 Accepted\r\n") || !strings.Contains(answer, "\r\nConnection: close\r\n") || strings.Count(answer, "HTTP/1.1") != 1 {
			t.Errorf("answered with %.300q", answer)
		}
	}
	if len(heard) > 0 {
		t.Errorf("the engine heard %q from behind a body", <-heard)
	}
}

// TestCarryEarlyAnswer: a refusal that does not wait for the body reaches a client
// that still sends.
func TestCarryEarlyAnswer(t *testing.T) {
	socket := standIn(t, func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusNotFound, "no such container")
	}, nil)
	for range 20 {
		r, err := http.NewRequestWithContext(t.Context(), "PUT", "http://x/containers/a/archive", io.LimitReader(endless{}, 64<<20))
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != 404 || !strings.Contains(string(said), "no such container") {
			t.Fatalf("answered with %d %q, %v", response.StatusCode, said, err)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestCarryWithoutEngine: where the engine does not answer, the client is told so.
func TestCarryWithoutEngine(t *testing.T) {
	gone := standIn(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		hangUp(conn)
	}, nil)
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p, err := New(filepath.Join(dir, "nothing"), testConfig(), nil, nil, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "ours"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: p}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	for _, socket := range []string{gone, filepath.Join(dir, "ours")} {
		answer := speak(t, socket, "GET /images/get HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 502 Bad Gateway\r\n") || !strings.Contains(answer, "the companion cannot reach the engine") {
			t.Errorf("answered with %q", answer)
		}
	}
}
