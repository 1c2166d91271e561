package dockerproxy

import (
	"bufio"
	"fmt"
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

// TestQuietEnd: a client that keeps its own end open hears at once that the engine
// has ended, also where that has said nothing but its head.
func TestQuietEnd(t *testing.T) {
	for _, said := range []string{"", "x"} {
		socket, p := standInProxy(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"+said)
			hangUp(conn)
		}, nil, "1.42")
		p.linger = time.Hour // whoever waits for that has failed
		if answer := speak(t, socket, "POST /exec/a/start HTTP/1.1\r\nHost: docker\r\nContent-Length: 2\r\n\r\n{}"); answer != "HTTP/1.1 200 OK\r\n\r\n"+said {
			t.Errorf("answered with %q", answer)
		}
	}
}

// TestSaidIsHeard: what the engine has said before it closed reaches a client that
// reads late and still writes.
func TestSaidIsHeard(t *testing.T) {
	const size, late = 600_000, 150_000 // more than a socket holds, and what the two and the pipe do
	for _, line := range []string{"POST /exec/a/start", "GET /containers/a/export"} {
		written := make(chan struct{})
		socket := standIn(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // then bytes are missing
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			_, _ = conn.Write(make([]byte, size))
			hangUp(conn)
			close(written)
		}, nil)
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer hangUp(conn)
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: docker\r\n\r\n", line)
		early := make([]byte, size-late) // so that the engine can end
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(response.Body, early); err != nil {
			t.Fatal(err)
		}
		<-written
		for range 3 {
			_, _ = io.WriteString(conn, "x") // to an engine that is gone
			time.Sleep(20 * time.Millisecond)
		}
		if n, err := io.Copy(io.Discard, response.Body); err != nil || n != late {
			t.Errorf("%s: %d of the last %d bytes were heard, %v", line, n, late, err)
		}
	}
}
