package dockerproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// Proxy is the companion, an http.Handler in front of one engine. It is safe for
// concurrent use. Make one with [New].
type Proxy struct {
	engine  *engine
	socket  string
	config  atomic.Pointer[Config]
	reverse *httputil.ReverseProxy
	state   *State
	metrics *Metrics
	log     logr.Logger
	// unsettled has something when Retain should look again, without an event.
	unsettled chan struct{}
	aftermath time.Duration // aftermath, but for tests
	linger    time.Duration // linger, but for tests
	told      string        // the engine that settle has told of
}

// New is a companion in front of the engine's socket, which need not answer yet.
// state may be nil: then no volume goes with its last container. So may metrics.
func New(socket string, c *Config, state *State, metrics *Metrics, log logr.Logger) (*Proxy, error) {
	engine, err := newEngine(socket)
	if err != nil {
		return nil, err
	}
	p := &Proxy{engine: engine, socket: socket, state: state, metrics: metrics, log: log, unsettled: make(chan struct{}, 1), aftermath: aftermath, linger: linger}
	p.config.Store(c)
	p.reverse = &httputil.ReverseProxy{
		// Logs and events do not wait for a full buffer: answers without a length are
		// flushed as they come. Flushing the others too would send their heads alone.
		Transport:    p.engine,
		Rewrite:      rewrite,
		BufferPool:   new(buffers),
		ErrorLog:     slog.NewLogLogger(logr.ToSlogHandler(log), slog.LevelDebug),
		ErrorHandler: p.unanswered,
	}
	return p, nil
}

// Configure puts another configuration in place for requests that come from now on.
func (p *Proxy) Configure(c *Config) { p.config.Store(c) }

func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine"
	r.Out.Host = r.In.Host
	r.Out.URL.RawQuery = r.In.URL.RawQuery // also what the standard library would drop as malformed
}

// ServeHTTP takes a request the way that route finds.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// With it a newer engine would turn any request into an HTTP/2 connection.
	r.Header.Del("Http2-Settings")
	way, canonical := route(r)
	if way == refused || tunnels(r, canonical) {
		writeError(w, http.StatusBadRequest, "HTTP/2 is not spoken here; use HTTP/1.1")
		return
	}
	switch way {
	case createContainer, createVolume:
		p.create(w, r, way, canonical)
	case carried:
		p.carry(w, r)
	case startContainer:
		if err := refuseStartBody(r); err != nil {
			p.notForwarded(w, way, canonical, err)
			return
		}
		fallthrough
	default:
		p.reverse.ServeHTTP(w, r)
	}
}

// notForwarded answers a create that we refuse, or for which the engine could
// not be asked what there is.
func (p *Proxy) notForwarded(w http.ResponseWriter, way way, canonical string, err error) {
	code, outcome := http.StatusBadGateway, outcomeFailed
	var refused *refusal
	var theirs *engineError
	switch {
	case errors.As(err, &refused):
		code, outcome = refused.code, outcomeRefused
	case errors.As(err, &theirs):
		code = theirs.code
	default:
		err = fmt.Errorf(unreachable, err)
	}
	if way == createContainer {
		p.metrics.create(outcome)
	}
	p.log.V(1).Info("not forwarded", "path", canonical, "code", code)
	writeError(w, code, err.Error())
}

// unanswered tells a client that the engine did not answer. Retain logs once that it
// is gone.
func (p *Proxy) unanswered(w http.ResponseWriter, r *http.Request, err error) {
	p.log.V(1).Info("the engine did not answer", "method", r.Method, "path", r.URL.Path, "reason", err.Error())
	writeError(w, http.StatusBadGateway, fmt.Errorf(unreachable, err).Error())
}

// unreachable is what a client is told where the engine does not answer.
const unreachable = "the companion cannot reach the engine: %w"

// writeError answers as the engine does.
func writeError(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": text}) // a client that is gone needs no answer
}

// refuseStartBody keeps HostConfig, and with it volumes, out of a start, where
// engines read it from clients older than API version 1.24. Newer ones send no body.
func refuseStartBody(r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 64))
	if text := strings.TrimSpace(string(body)); err != nil || text != "" && text != "{}" && text != "null" {
		return refuse(http.StatusBadRequest, "starting a container with a body is not supported; give HostConfig at its creation")
	}
	r.Body, r.ContentLength = http.NoBody, 0
	r.Header.Del("Content-Length")
	r.TransferEncoding = nil
	return nil
}
