package docker

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// between is a proxy of the test's own between a companion and an engine. It
// holds the moments that otherwise pass by themselves.
type between struct {
	socket string
	engine string
	server *http.Server

	mu sync.Mutex
	// before and after are called with a request, without its version, before it
	// goes to the engine and when the engine's answer has come. They may wait.
	before, after func(r *http.Request)
	asked         []string // method and path, as they came
}

var versioned = regexp.MustCompile(`^/v[0-9.]+/`)

// interpose starts a proxy in front of the engine; it ends with the test.
func interpose(t *testing.T, engine string) *between {
	t.Helper()
	dir, err := os.MkdirTemp("", "between") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	b := &between{socket: filepath.Join(dir, "docker.sock"), engine: engine}
	b.up(t)
	t.Cleanup(func() {
		b.down(t)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return b
}

// up lets the engine be reached, again after down.
func (b *between) up(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("unix", b.socket)
	if err != nil {
		t.Fatal(err)
	}
	b.server = &http.Server{Handler: b}
	server := b.server
	go func() { _ = server.Serve(listener) }() // ends with down
}

// down cuts all connections. As seen by the companion the engine is gone.
func (b *between) down(t *testing.T) {
	t.Helper()
	if err := b.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// when sets what is called from now on; nil for nothing.
func (b *between) when(before, after func(r *http.Request)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before, b.after, b.asked = before, after, nil
}

// requests are those since when whose "METHOD /path" begins so.
func (b *between) requests(begin string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.asked), func(s string) bool { return !strings.HasPrefix(s, begin) })
}

// ServeHTTP passes a request on and calls what waits for it.
func (b *between) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := r.Clone(r.Context())
	seen.URL.Path = versioned.ReplaceAllString(r.URL.Path, "/")
	b.mu.Lock()
	before, after := b.before, b.after
	b.asked = append(b.asked, seen.Method+" "+seen.URL.Path)
	b.mu.Unlock()
	if before != nil {
		before(seen)
		r.Body = seen.Body
	}
	proxy := httputil.ReverseProxy{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", b.engine)
			},
		},
		FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", "engine"
			p.Out.URL.RawQuery = p.In.URL.RawQuery
		},
		ModifyResponse: func(*http.Response) error {
			if after != nil {
				after(seen)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	proxy.ServeHTTP(w, r)
}

// isCreate reports whether it is a container create.
func isCreate(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Path == "/containers/create"
}

// removeBefore removes a volume at the engine after the companion has looked for
// it and before its create of a container gets there.
func removeBefore(t *testing.T, engine, name string) func(*http.Request) {
	return func(r *http.Request) {
		if !isCreate(r) {
			return
		}
		code, answer, err := call(r.Context(), engine, http.MethodDelete, "/volumes/"+name, "")
		if err != nil || code != http.StatusNoContent {
			t.Errorf("removing volume %s: %d %s, %v", name, code, answer, err)
		}
	}
}
