package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// Shorter than the probe's own timeout in the shipped manifest, so that the reason gets through.
const selfTestTimeout = 2 * time.Second

// readiness answers GET /readyz: 200, or 503 with the reason in words.
type readiness struct {
	addr  net.Addr
	certs Certificates
	conns *connections
	ready func() error
	log   logr.Logger

	mu   sync.Mutex
	last string
}

func (h *readiness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, code := "ok", http.StatusOK
	if err := h.check(r.Context()); err != nil {
		answer, code = "not ready: "+err.Error(), http.StatusServiceUnavailable
	}
	h.mu.Lock()
	if answer != h.last {
		h.log.Info("readiness changed", "answer", answer)
	}
	h.last = answer
	h.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, answer)
}

func (h *readiness) check(ctx context.Context) error {
	if h.conns.stopping.Load() {
		return errors.New("stopping")
	}
	if h.ready != nil {
		if err := h.ready(); err != nil {
			return err
		}
	}
	return h.handshake(ctx)
}

// handshake proves that a client can connect now: it connects, and judges the certificate that it is shown.
func (h *readiness) handshake(ctx context.Context) error {
	before, refusedBefore := h.certs.Serving()
	if before == nil {
		return refusedBefore
	}
	ctx, cancel := context.WithTimeout(ctx, selfTestTimeout)
	defer cancel()
	dialer := &tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS12,
		// The name that clients ask for is not known here. The certificate is compared to the one that is meant to be
		// served, and that one is judged by where it comes from.
		InsecureSkipVerify: true, //nolint:gosec // see above
	}}
	conn, err := dialer.DialContext(ctx, "tcp", h.addr.String())
	if err != nil {
		return fmt.Errorf("TLS handshake with itself: %w", err)
	}
	defer func() { _ = conn.Close() }()
	shown := conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw

	// Asked again: it may have changed during the handshake.
	after, refusedAfter := h.certs.Serving()
	switch {
	case after != nil && bytes.Equal(shown, after.Leaf.Raw):
		return refusedAfter
	case bytes.Equal(shown, before.Leaf.Raw):
		return refusedBefore
	}
	return errors.New("TLS handshake with itself: the certificate shown is not the current one")
}

// errorLog takes what http.Server has to say: a handler's panic, or a listener that fails. Either is for the operator.
func errorLog(l logr.Logger) *log.Logger { return log.New(errorWriter{l}, "", 0) }

type errorWriter struct{ log logr.Logger }

func (w errorWriter) Write(p []byte) (int, error) {
	w.log.Error(nil, "HTTP server", "detail", strings.TrimSpace(string(p)))
	return len(p), nil
}
