package dockerproxy

import (
	"encoding/json"
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
	"github.com/prometheus/client_golang/prometheus"
)

// standInID is the identity of a stand-in for an engine.
const standInID = "ID /root vfs"

// standIn serves an engine's socket and a companion in front of it; it returns
// the companion's socket.
func standIn(t *testing.T, engine http.HandlerFunc, state *State) string {
	t.Helper()
	socket, _ := standInProxy(t, engine, state, "1.42")
	return socket
}

// standInProxy has an engine of an API version, and returns the companion itself too.
func standInProxy(t testing.TB, engine http.HandlerFunc, state *State, version string) (string, *Proxy) {
	t.Helper()
	dir, err := os.MkdirTemp("", "p") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(filepath.Join(dir, "engine"), testConfig(), state, metrics, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	for name, handler := range map[string]http.Handler{
		"engine": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Api-Version", version)
			switch {
			case r.URL.Path == "/_ping":
			case strings.HasSuffix(r.URL.Path, "/info"):
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"ID":"ID","DockerRootDir":"/root","Driver":"vfs"}`)
			default:
				engine(w, r)
			}
		}),
		"ours": p,
	} {
		listener, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: handler}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { _ = server.Close() })
	}
	return filepath.Join(dir, "ours"), p
}

// TestAbort: what a client gives up ends at the engine, whether it has answered or not.
func TestAbort(t *testing.T) {
	for _, line := range []string{"GET /events", "POST /containers/a/wait", "POST /containers/a/attach", "POST /exec/a/start", "GET /quiet", "GET /images/get", "POST /build", "POST /volumes/create"} {
		t.Run(line, func(t *testing.T) {
			arrived, ended := make(chan struct{}), make(chan struct{})
			socket := standIn(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // until then a server does not notice
				if r.URL.Path == "/events" {
					w.WriteHeader(http.StatusOK)
					_ = http.NewResponseController(w).Flush()
				}
				close(arrived)
				<-r.Context().Done()
				close(ended)
			}, nil)
			conn, err := net.Dial("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			body := ""
			if strings.HasSuffix(line, "create") {
				body = `{"Driver":"other"}`
			}
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: docker\r\nContent-Length: %d\r\n\r\n%s", line, len(body), body)
			<-arrived
			hangUp(conn)
			select {
			case <-ended:
			case <-time.After(5 * time.Second):
				t.Error("the engine still works for nobody")
			}
		})
	}
}

// TestAnswer: our warnings join the engine's; what goes with its last container
// is recorded by the time the client knows.
func TestAnswer(t *testing.T) {
	state, err := OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	fails := false
	var label *string // of the volume, once there is one
	socket := standIn(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && fails:
			writeError(w, http.StatusNotFound, "No such image: x")
		case r.Method == http.MethodPost:
			body, _ := io.ReadAll(r.Body)
			label = labelIn(body)
			if intended := state.All(); len(intended) != 1 || intended[0] != (Entry{Name: "data", Label: *label}) {
				t.Errorf("when the engine is asked, the state has %+v", intended)
			}
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"Id":"1", "New": {"a":1e400}, "Warnings":["theirs"]}`)
		case label == nil:
			w.WriteHeader(http.StatusNotFound)
		default:
			_ = json.NewEncoder(w).Encode(going(*label, "then"))
		}
	}, state)
	body := `{"Labels":{"volumes.opensandbox.io/storage":"5Gi","volumes.opensandbox.io/deleteOnSandboxTermination":"true"},"HostConfig":{"Binds":["data:/d"]}}`
	code, said := ask(t, socket, "/containers/create", body)
	if want := `{"Id":"1", "New": {"a":1e400}, "Warnings":["theirs","volume \"data\": storage 5Gi is not enforced: class \"standard\" takes no size"]}`; code != 201 || said != want {
		t.Errorf("got %d %s, want %s", code, said, want)
	}
	if got := state.All(); len(got) != 1 || got[0] != (Entry{Name: "data", Label: *label, Used: true, CreatedAt: "then", Engine: standInID}) {
		t.Errorf("the state has %v", got)
	}
	fails = true
	if code, said = ask(t, socket, "/containers/create", body); code != 404 || said != `{"message":"No such image: x"}`+"\n" {
		t.Errorf("got %d %s", code, said)
	}
}

// TestEngineGone: without an engine nothing is half done, and the words are the engine's format.
func TestEngineGone(t *testing.T) {
	socket := standIn(t, func(_ http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, nil)
	for _, path := range []string{"/containers/create", "/volumes/create", "/containers/a/attach", "/containers/a/wait"} {
		code, said := ask(t, socket, path, `{"Name":"data","HostConfig":{"Binds":["data:/d"]}}`)
		if code != http.StatusBadGateway || !strings.HasPrefix(said, `{"message":"`) {
			t.Errorf("%s: %d %s", path, code, said)
		}
	}
}

func ask(t *testing.T, socket, path, body string) (int, string) {
	t.Helper()
	engine, err := newEngine(socket)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: engine.transport}
	response, err := client.Post("http://docker"+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(said)
}
