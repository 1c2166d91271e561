package dockerproxy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

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
			_, _ = io.WriteString(conn, "HTTP/1.1 201 Created\r\nConnection: gone\r\nKeep-Alive: 1\r\nDate: then\r\nX-Y: 1\r\nX-Y: 2\r\nGone: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
		}
	}))
	body := `{"Driver":"other"}`
	for path, canonical := range map[string]string{
		"/v1.41/../containers//create?name=a%2Fb&&x=;": "/containers/create?name=a%2Fb&&x=;",
		"/v1.41/volumes/cre%61te":                      "/v1.41/volumes/create",
		"http://a<b/volumes/create":                    "/volumes/create",
	} {
		answer := speak(t, socket, "post "+path+" HTTP/1.1\r\nHost: docker\r\nX-Registry-Auth: e30=\r\nX: 1\r\nX: 2\r\nConnection: close, Gone\r\nGone: 1\r\n"+
			"Keep-Alive: 1\r\nTe: trailers\r\nUpgrade: tcp\r\nTransfer-Encoding: chunked\r\n\r\n"+fmt.Sprintf("%x;a=b\r\n%s\r\n0\r\n\r\n", len(body), body))
		if want := "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nDate: then\r\nX-Y: 1\r\nX-Y: 2\r\nConnection: close\r\n\r\n{}"; answer != want {
			t.Errorf("answered with %q, want %q", answer, want)
		}
		host := "docker"
		if strings.HasPrefix(path, "http:") {
			host = "engine"
		}
		want := "POST " + canonical + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 18\r\nX: 1\r\nX: 2\r\nX-Registry-Auth: e30=\r\n\r\n" + body
		select {
		case got := <-heard:
			if got != want {
				t.Errorf("the engine heard %q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("the engine did not hear %q", want)
		}
	}
}

// TestCreateBrokenOff: whoever is told nothing of a create's end is told whether there
// is a container, and what is to be remembered of it is remembered.
func TestCreateBrokenOff(t *testing.T) {
	for _, row := range []struct {
		answer, want string
		used         bool
	}{
		{"", "the companion cannot reach the engine: unexpected EOF", false},
		{"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{", "created, but the engine's answer broke off: unexpected EOF", true},
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n{", "the engine answered with status 404, but its answer broke off: unexpected EOF", false},
	} {
		state, err := OpenState(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		var label *string
		socket := standIn(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPost:
				body, _ := io.ReadAll(r.Body)
				if row.used {
					label = labelIn(body)
				}
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, row.answer)
				hangUp(conn)
			case label == nil:
				w.WriteHeader(http.StatusNotFound)
			default:
				_ = json.NewEncoder(w).Encode(going(*label, "then"))
			}
		}, state)
		code, said := ask(t, socket, "/containers/create",
			`{"Labels":{"volumes.opensandbox.io/deleteOnSandboxTermination":"true"},"HostConfig":{"Binds":["data:/d"]}}`)
		if want := fmt.Sprintf("{\"message\":%q}\n", row.want); code != 502 || said != want {
			t.Errorf("of %q it is told %d %s, want %s", row.answer, code, said, want)
		}
		if all := state.All(); len(all) != 1 || all[0].Used != row.used {
			t.Errorf("after %q the state has %+v", row.answer, all)
		}
	}
}

// TestCreateForNobody: what its client has given up while we looked is not sent.
func TestCreateForNobody(t *testing.T) {
	e := scripted(t, func(_ int, conn net.Conn, from *bufio.Reader) {
		for {
			r, err := heard(from)
			if err != nil {
				return
			}
			if r.Method != http.MethodGet {
				t.Error("the engine was asked for nobody")
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r, err := http.NewRequestWithContext(ctx, method, "http://engine/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := e.RoundTrip(r)
		switch {
		case method == http.MethodPost && !errors.Is(err, context.Canceled):
			t.Errorf("given up, and told %v", err)
		case method == http.MethodGet && err != nil:
			t.Fatal(err)
		case err == nil:
			response.Body.Close()
		}
		cancel()
	}
	if got := exchanged(t, e, http.MethodGet, ""); got != "204 No Content " || len(e.free) != 1 {
		t.Errorf("then %q, and %d connections are kept", got, len(e.free))
	}
}

// TestDecode: what the engine's decoder takes is taken, and as it takes it.
func TestDecode(t *testing.T) {
	for _, text := range []string{
		`null`, `""`, `"a"`, `"\ud800\u00e9"`, "\"\xff\"", `1`, `true`, `[]`, `[null]`, `["a",null,"b"]`, `[1]`, `[[]]`,
		`{}`, `{"a":"b","a":null}`, `{"a":null}`, `{"a":"b","a":"c"}`, `{"a":1}`, `{"\u0061":"b"}`, ` { "a" : "b" } `,
	} {
		o, err := readObject([]byte(`{"k":` + text + `}`))
		if err != nil {
			t.Fatal(err)
		}
		sameDecoded[string](t, o, text)
		sameDecoded[[]string](t, o, text)
		sameDecoded[map[string]string](t, o, text)
	}
}

func sameDecoded[T string | []string | map[string]string](t *testing.T, o object, text string) {
	t.Helper()
	var ours, theirs T
	err, wrong := decode(o, "k", &ours), json.Unmarshal([]byte(text), &theirs)
	if (err == nil) != (wrong == nil) || err == nil && !reflect.DeepEqual(ours, theirs) {
		t.Errorf("of %s as a %T we make %q, %v, encoding/json %q, %v", text, ours, ours, err, theirs, wrong)
	}
}
