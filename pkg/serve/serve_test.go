package serve

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// running is a Server that a test has started, with what is needed to talk to it and to stop it.
type running struct {
	*Server
	authority *authority
	stop      context.CancelFunc
	done      chan error
}

// start runs a server over a folder that holds a good pair, unless configure says otherwise, until the test ends.
func start(t *testing.T, dir string, ca *authority, configure func(*Server)) *running {
	t.Helper()
	s := &Server{
		Listen: "127.0.0.1:0", Certificates: follow(t, dir),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }),
	}
	if configure != nil {
		configure(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Server: s, authority: ca, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- s.Start(ctx) }()
	eventually(t, "the server listens", func() bool { return s.Addr() != nil })
	t.Cleanup(func() {
		cancel()
		r.ended(t)
	})
	return r
}

// follow is the folder, read all the time.
func follow(t *testing.T, dir string) *Folder {
	t.Helper()
	f, err := NewFolder(dir, logr.Discard(), nil)
	if err != nil {
		t.Fatal(err)
	}
	f.every = time.Millisecond
	return f
}

// ended waits for Start's return, which must be clean and, for a test, soon.
func (r *running) ended(t *testing.T) {
	t.Helper()
	select {
	case err := <-r.done:
		if err != nil {
			t.Errorf("Start returned %v", err)
		}
		r.done <- nil
	case <-time.After(20 * time.Second):
		t.Error("Start has not returned")
	}
}

// client keeps connections alive, verifies certificates, and opens at most one connection.
func (r *running) client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: r.authority.client(), MaxConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func (r *running) url(path string) string { return "https://" + r.Addr().String() + path }

// get answers with the status, the body and whether the server said that it closes the connection.
func (r *running) get(t *testing.T, c *http.Client, path string) (int, string, bool) {
	t.Helper()
	return answer(t)(c.Get(r.url(path)))
}

func (r *running) post(t *testing.T, c *http.Client, body string) (int, string, bool) {
	t.Helper()
	return answer(t)(c.Post(r.url("/mutate?timeout=5s"), "application/json", strings.NewReader(body)))
}

func answer(t *testing.T) func(*http.Response, error) (int, string, bool) {
	return func(resp *http.Response, err error) (int, string, bool) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body), resp.Close
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 10 s: %s", what)
		}
	}
}

func TestRoutes(t *testing.T) {
	ca := newAuthority(t)
	s := start(t, ca.folder(t), ca, nil)
	c := s.client(t)
	if code, body, closed := s.post(t, c, "review"); code != 200 || body != "review" || closed {
		t.Errorf("POST /mutate: %d %q, closed %v", code, body, closed)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/mutate": 405, "/": 404} {
		if code, body, _ := s.get(t, c, path); code != want {
			t.Errorf("GET %s: %d %q, want %d", path, code, body, want)
		}
	}
}

func TestProtocols(t *testing.T) {
	ca := newAuthority(t)
	s := start(t, ca.folder(t), ca, nil)
	for name, test := range map[string]struct {
		change  func(*tls.Config)
		refused bool
	}{
		"TLS 1.1": {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, true},
		"TLS 1.2": {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, false},
		"TLS 1.3": {func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, false},
		"h2":      {func(c *tls.Config) { c.NextProtos = []string{"h2"} }, true},
		"h2 or 1": {func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			config := ca.client()
			test.change(config)
			conn, err := tls.Dial("tcp", s.Addr().String(), config)
			if (err != nil) != test.refused {
				t.Fatalf("refused: %v (%v), want %v", err != nil, err, test.refused)
			}
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			if got := conn.ConnectionState().NegotiatedProtocol; got == "h2" {
				t.Errorf("the server speaks %s", got)
			}
		})
	}
}

// The limits are longer than the 90 s after which the API server's client closes: see the constants.
func TestLimits(t *testing.T) {
	s := (&Server{Handler: http.NotFoundHandler()}).server(&connections{}, &readiness{})
	if s.IdleTimeout <= 90*time.Second || silentTimeout <= 90*time.Second || s.ReadTimeout != 0 || drainTimeout <= 90*time.Second {
		t.Errorf("idle %s, silent %s, read %s, drain %s", s.IdleTimeout, silentTimeout, s.ReadTimeout, drainTimeout)
	}
	if s.WriteTimeout <= 30*time.Second {
		t.Errorf("write %s: a webhook may take 30 s", s.WriteTimeout)
	}
}

func TestStartErrors(t *testing.T) {
	ca := newAuthority(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	s := &Server{Listen: taken.Addr().String(), Certificates: follow(t, ca.folder(t)), Handler: http.NotFoundHandler()}
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "starting the HTTPS server: listen tcp "+s.Listen) {
		t.Errorf("taken port: %v", err)
	}

	metrics := prometheus.NewRegistry()
	if _, err := NewFolder("", s.Log, metrics); err != nil {
		t.Fatal(err)
	}
	if _, err := NewFolder("", s.Log, metrics); err == nil || !strings.Contains(err.Error(), "registering the certificates' metrics") {
		t.Errorf("metrics registered twice: %v", err)
	}
}
