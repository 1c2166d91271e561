package dockerproxy

import (
	"context"
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

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// maxBody is how long the body of a create may be, in bytes.
const maxBody = 4 << 20

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
		Transport:      p.engine,
		Rewrite:        rewrite,
		ModifyResponse: p.answer,
		BufferPool:     new(buffers),
		ErrorLog:       slog.NewLogLogger(logr.ToSlogHandler(log), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			// Retain tells once that the engine is gone.
			log.V(1).Info("the engine did not answer", "method", r.Method, "path", r.URL.Path, "reason", err.Error())
			err = fmt.Errorf(unreachable, err)
			if plan, ok := r.Context().Value(planKey{}).(*plan); ok {
				p.failed(r.Context(), plan)
				if plan.done {
					err = fmt.Errorf("created, but the engine's answer broke off: %w", err)
				}
			}
			writeError(w, http.StatusBadGateway, err.Error())
		},
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

// planKey is the context's key for the plan of a create.
type planKey struct{}

// ServeHTTP takes a request the way that route finds.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// With it a newer engine would turn any request into an HTTP/2 connection.
	r.Header.Del("Http2-Settings")
	way, canonical := route(r)
	if way == refused || tunnels(r, canonical) {
		writeError(w, http.StatusBadRequest, "HTTP/2 is not spoken here; use HTTP/1.1")
		return
	}
	var err error
	switch way {
	case createContainer:
		r, err = p.createContainer(w, r, canonical)
	case createVolume:
		r, err = p.createVolume(w, r, canonical)
	case startContainer:
		err = refuseStartBody(r)
	case carried:
		p.carry(w, r)
		return
	}
	if err != nil {
		p.notForwarded(w, way, canonical, err)
		return
	}
	p.reverse.ServeHTTP(w, r)
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

// unreachable is what a client is told where the engine does not answer.
const unreachable = "the companion cannot reach the engine: %w"

// writeError answers as the engine does.
func writeError(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": text}) // a client that is gone needs no answer
}

// readBody reads all of a create's body.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body is longer than 4 MiB")
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "reading the body: %v", err)
	case !json.Valid(body):
		return nil, refuse(http.StatusBadRequest, "the body is not JSON")
	}
	return body, nil
}

// withBody is the request with a body and a path of our making.
func withBody(ctx context.Context, r *http.Request, canonical string, body []byte) *http.Request {
	out := r.Clone(ctx)
	out.Method = http.MethodPost
	out.URL.Path, out.URL.RawPath = canonical, ""
	out.Body = io.NopCloser(strings.NewReader(string(body)))
	out.ContentLength = int64(len(body))
	out.TransferEncoding, out.Trailer = nil, nil
	out.Header.Del("Content-Length")
	out.Header.Del("Expect") // the body is here already
	return out
}

func (p *Proxy) createContainer(w http.ResponseWriter, r *http.Request, canonical string) (*http.Request, error) {
	raw, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	b, err := readCreate(raw)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the body is not understood: %v", err)
	}
	found, err := p.look(r.Context(), b.names())
	if err != nil {
		return nil, err
	}
	plan, refused := p.config.Load().judge(b, found, r.URL.Query().Get("name"), time.Now())
	if refused != nil {
		return nil, refused
	}
	body, err := b.write(plan.specs)
	if err != nil {
		return nil, err
	}
	p.intend(plan)
	return withBody(context.WithValue(r.Context(), planKey{}, plan), r, canonical, body), nil
}

// intend records the volumes that the plan may make to go with their last
// container. Without a record they are kept, and the client is told.
func (p *Proxy) intend(plan *plan) {
	var names []string
	var label string
	for _, name := range plan.exclusive {
		if s := plan.specs[name]; s.Labels[keyDeleteLast] == "true" {
			names, label = append(names, name), s.Labels[keyCreated]
		}
	}
	if len(names) == 0 {
		return
	}
	if err := p.state.Intend(label, names...); err != nil {
		p.log.Error(err, "volumes will be kept", "volumes", names)
		for _, name := range names {
			plan.warnings = append(plan.warnings, willBeKept(name))
		}
	}
}

// willBeKept is the warning where the state could not be written.
func willBeKept(name string) string {
	return claim.Warning("volume ", name, " will be kept: that it goes with its last container could not be recorded")
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
