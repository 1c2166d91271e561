package dockerproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
)

// front serves a companion in front of a scripted engine and returns its socket.
func front(t *testing.T, e *exchanger) string {
	t.Helper()
	p, err := New(e.socket, testConfig(), nil, nil, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(p)
	socket := filepath.Join(filepath.Dir(e.socket), "ours")
	if err := server.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	if server.Listener, err = net.Listen("unix", socket); err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(server.Close)
	return socket
}

// heardHead reads a head as it stands.
func heardHead(from *bufio.Reader) (head string, err error) {
	for err == nil && !strings.HasSuffix(head, "\r\n\r\n") {
		var line string
		line, err = from.ReadString('\n')
		head += line
	}
	return head, err
}

// TestCreateHeads: of the heads of a create and of its answer all passes that is not
// about a connection, as it stands.
func TestCreateHeads(t *testing.T) {
	heard := make(chan string, 1)
	socket := front(t, scripted(t, func(_ int, conn net.Conn, from *bufio.Reader) {
		head, err := heardHead(from)
		body := make([]byte, len(`{"Driver":"other"}`))
		if err == nil {
			_, err = io.ReadFull(from, body)
		}
		if err == nil {
			heard <- head + string(body)
			_, _ = io.WriteString(conn, "HTTP/1.1 201 Created\r\nConnection: close\r\nKeep-Alive: 1\r\nDate: then\r\nX-Y: 1\r\nX-Y: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
		}
	}))
	body := `{"Driver":"other"}`
	for path, canonical := range map[string]string{
		"/v1.41/../containers//create?name=a%2Fb&&x=;": "/containers/create?name=a%2Fb&&x=;",
		"/v1.41/volumes/cre%61te":                      "/v1.41/volumes/create",
	} {
		answer := speak(t, socket, "post "+path+" HTTP/1.1\r\nHost: docker\r\nX-Registry-Auth: e30=\r\nX: 1\r\nX: 2\r\nConnection: close, Gone\r\nGone: 1\r\n"+
			"Keep-Alive: 1\r\nTe: trailers\r\nUpgrade: tcp\r\nTransfer-Encoding: chunked\r\n\r\n"+fmt.Sprintf("%x;a=b\r\n%s\r\n0\r\n\r\n", len(body), body))
		if want := "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nDate: then\r\nX-Y: 1\r\nX-Y: 2\r\nConnection: close\r\n\r\n{}"; answer != want {
			t.Errorf("answered with %q, want %q", answer, want)
		}
		want := "POST " + canonical + " HTTP/1.1\r\nHost: docker\r\nContent-Length: 18\r\nX: 1\r\nX: 2\r\nX-Registry-Auth: e30=\r\n\r\n" + body
		if got := <-heard; got != want {
			t.Errorf("the engine heard %q, want %q", got, want)
		}
	}
}

// TestCreateBrokenOff: whoever is told nothing of a create's end is told whether there
// is a container.
func TestCreateBrokenOff(t *testing.T) {
	for answer, want := range map[string]string{
		"": `{"message":"the companion cannot reach the engine: unexpected EOF"}`,
		"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{":   `{"message":"created, but the engine's answer broke off: unexpected EOF"}`,
		"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n{": `{"message":"the companion cannot reach the engine: unexpected EOF"}`,
	} {
		socket := front(t, scripted(t, func(_ int, conn net.Conn, from *bufio.Reader) {
			if _, err := heard(from); err == nil {
				_, _ = io.WriteString(conn, answer)
			}
		}))
		code, said := ask(t, socket, "/containers/create", "{}")
		if code != 502 || said != want+"\n" {
			t.Errorf("of %q it is told %d %s", answer, code, said)
		}
	}
}
