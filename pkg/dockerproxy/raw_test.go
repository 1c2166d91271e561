package dockerproxy

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestRawEarly: what comes in one piece with the head of the request or of the
// answer is part of the stream, in either direction.
func TestRawEarly(t *testing.T) {
	socket := standIn(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer hangUp(conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nearly, ")
		heard, _ := io.ReadAll(buffered)
		_, _ = conn.Write(heard)
	}, nil)
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(conn)
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST /containers/a/attach HTTP/1.1\r\nHost: docker\r\n\r\nheard"); err != nil {
		t.Fatal(err)
	}
	want := "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nearly, "
	head := make([]byte, len(want))
	if _, err := io.ReadFull(conn, head); err != nil || string(head) != want {
		t.Fatalf("got %q, %v", head, err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || string(rest) != "heard" {
		t.Errorf("got %q, %v", rest, err)
	}
}
