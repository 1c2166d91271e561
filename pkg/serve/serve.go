// Package serve is the webhook's HTTPS server.
//
// It differs from a plain http.Server in four things, each for the one client that counts, the API server, which
// keeps connections open and does not repeat a POST that was lost on one:
//
//   - Certificates change while it runs. Where they come from is for the program to say; Folder follows a folder as
//     Kubernetes' Secret volumes change it, and judges what is in it: a faulty or expired pair never replaces a good one.
//   - Readiness is proved, not assumed: /readyz answers 200 only after a TLS handshake with the server's own listener.
//   - Its end loses no request: from the signal on it is not ready, but goes on serving until its clients have left.
//   - Floods neither fill its memory nor keep the API server out for long.
//
// Whoever reaches the port may open connections, and nobody can be told from an API server before he has asked. So
// their number has a cap, and what exceeds it is refused at accept. A handshake may take 10 s, and so may a header from
// its first byte on. A client may also hold a connection for later that it has not used yet, for 120 s. But while the
// server is full, a new connection takes the place of the one that has been silent for longest, if that is for 5 s: the
// time in which a real client has long sent its first request, and too long to make handshakes at the flood's pace.
// Silent connections, however many, so keep nobody out for longer than that. One that has carried a request is never
// ended to make room, since a POST on it would be lost: whoever sends whole requests on as many connections as the cap
// allows does keep others out, and only the network can keep him away. Bodies of more than 64 KiB, which few pods have,
// share 32 MiB; one that finds no room there is asked for again.
//
// It speaks TLS 1.2 or later and HTTP/1.1 only, which is what the API server speaks to every Service.
package serve

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// The API server's client closes its idle connections after 90 s. Whoever closes first loses nothing; were it us, a
	// POST that is just then on its way would be lost. A connection that has not carried a request yet counts too: the
	// client may hold it for later. So both of our limits are longer.
	idleTimeout   = 120 * time.Second
	silentTimeout = 120 * time.Second

	// Many times what a client needs that means it.
	handshakeTimeout = 10 * time.Second
	headerTimeout    = 10 * time.Second

	// How long a silent connection stays at least where others wait for its place.
	silentGrace = 5 * time.Second

	// A webhook may take 30 s at most, so no client waits longer for an answer.
	requestTimeout = 35 * time.Second

	// Past the 90 s after which the API server's client has closed every idle connection of its own accord.
	drainTimeout = 95 * time.Second

	// The kubelet brings a changed Secret after a minute or so; reading three small files costs nothing beside that.
	reloadInterval = 2 * time.Second

	maxHeaderBytes = 64 << 10

	// DefaultMaxConnections is more than several API servers need, each of which has a connection for every review that
	// it waits for, and leaves most of the chart's memory free.
	DefaultMaxConnections = 1000
)

// Server answers POST /mutate, GET /healthz and GET /readyz over HTTPS. Set the fields, then call Start once.
type Server struct {
	// Listen is the host:port to listen on; port 0 picks a free one, see Addr.
	Listen string

	// Certificates is where the certificate comes from. Start runs it. While it has none, or one that clients refuse,
	// the server is not ready and says why.
	Certificates Certificates

	// Handler answers POST /mutate, bodies of up to 4 MiB. Its requests' contexts end with the client's connection, not with Start's context.
	// Reading a request and writing its answer may take 35 s.
	Handler http.Handler

	// MaxConnections is how many connections may be open at once, those of probes included; 0: DefaultMaxConnections.
	MaxConnections int

	// Ready tells why the program cannot answer yet, in words for a person; nil, or no function, means that it can.
	Ready func() error

	// Log gets changes of state: listening, certificates, readiness, stopping. The zero value logs nothing.
	Log logr.Logger

	// Metrics gets the gauge ensure_volumes_connections and the counter ensure_volumes_connections_refused_total; nil:
	// none.
	Metrics prometheus.Registerer

	addr    atomic.Pointer[net.Addr]
	standIn *tls.Certificate // Start's

	// Zero: drainTimeout. Tests are shorter of time.
	drainTimeout time.Duration
}

// Certificates is a source of serving certificates that may change at any time. It is safe for concurrent use.
type Certificates interface {
	// Run keeps the certificate current until ctx ends. The server runs it once, until its last connection is gone.
	Run(ctx context.Context)

	// Serving is the certificate to serve now, with its Leaf, and why clients would refuse it now; nil, and the reason,
	// where there is none. It is asked at every handshake and must not wait for anything. The words of refused change
	// only when the reason does.
	Serving() (cert *tls.Certificate, refused error)
}

// Addr is the address that Start listens on, nil until it does. It is safe for concurrent use.
func (s *Server) Addr() net.Addr {
	if addr := s.addr.Load(); addr != nil {
		return *addr
	}
	return nil
}

// Start listens and serves until ctx ends and its clients have left.
//
// From ctx's end on the server is not ready but goes on serving, new connections included, each answer with
// "Connection: close". It closes no idle connection itself, and returns nil when no connection is left, or after 95 s,
// when it cuts those that are left. Whoever needs the handler's caches to stay fresh meanwhile must end them after
// Start has returned, not with ctx. It returns an error if it cannot listen, or Metrics
// has its metrics already.
func (s *Server) Start(ctx context.Context) error {
	conns := newConnections(cmp.Or(s.MaxConnections, DefaultMaxConnections), s.Log)
	if s.Metrics != nil {
		if err := errors.Join(s.Metrics.Register(conns.held), s.Metrics.Register(conns.refused)); err != nil {
			return fmt.Errorf("registering the connections' metrics: %w", err)
		}
	}
	port, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("starting the HTTPS server: %w", err)
	}
	if s.standIn, err = newStandIn(); err != nil {
		return errors.Join(err, port.Close())
	}
	addr := port.Addr()
	s.addr.Store(&addr)

	// The certificate is kept current through the drain as well: those 95 s may be its last.
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	var source sync.WaitGroup
	defer source.Wait()
	defer end()
	source.Go(func() { s.Certificates.Run(running) })

	ready := &readiness{addr: addr, certs: s.Certificates, conns: conns, ready: s.Ready, log: s.Log}
	server := s.server(conns, ready)
	served := make(chan error, 1)
	go func() { served <- server.Serve(s.listener(port, conns)) }()
	s.Log.Info("serving HTTPS", "address", addr.String())

	select {
	case err := <-served:
		return fmt.Errorf("serving HTTPS on %s: %w", addr, err)
	case <-ctx.Done():
	}

	conns.stopping.Store(true)
	s.Log.Info("stopping: serving until the clients have left", "connections", conns.count())
	limit := time.After(cmp.Or(s.drainTimeout, drainTimeout))
	if conns.wait(limit) {
		// One more may have been accepted before the listener closed: wait for that too.
		_ = port.Close()
		conns.wait(limit)
	}
	left := conns.count()
	_ = server.Close()
	// Either is our own doing: whoever was accepting may have met the closed listener before the closed server.
	if err := <-served; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serving HTTPS on %s: %w", addr, err)
	}
	s.Log.Info("stopped", "connectionsCut", left)
	return nil
}

func (s *Server) server(conns *connections, ready *readiness) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.Handle("GET /readyz", ready)
	mux.Handle("POST /mutate", new(bodies).limit(s.Handler))

	return &http.Server{
		Handler:           limitRead(conns.sayGoodbye(mux)),
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         conns.state,
		ErrorLog:          errorLog(s.Log),
	}
}

func (s *Server) listener(port net.Listener, conns *connections) *listener {
	return &listener{Listener: port, conns: conns, config: &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: s.certificate,
	}}
}

// certificate is a tls.Config's GetCertificate. A certificate that clients would refuse is served all the same, and one
// that nobody trusts where there is none: the kubelet, which does not judge it, can then see that the server is alive and
// ask why it is not ready.
func (s *Server) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert, _ := s.Certificates.Serving(); cert != nil {
		return cert, nil
	}
	return s.standIn, nil
}

// limitRead bounds the reading of a request's body. http.Server.ReadTimeout would do it from the connection's opening
// on, and so close connections that a client opened early and holds for later.
func limitRead(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Every connection of this server has deadlines; without one the request is served all the same.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(requestTimeout))
		next.ServeHTTP(w, r)
	})
}
