package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// handshakes are new connections to the Service, made as an API server makes
// them: to its ClusterIP, for its name, with the live caBundle.
type handshakes struct {
	halt context.CancelFunc
	done chan struct{}

	mu          sync.Mutex
	made        int
	failures    []failure
	leaves      map[string]bool // serial numbers seen
	authorities map[string]bool // key ids of those that signed them
}

// shake begins to connect ten times a second until finish is called.
func (g *ground) shake(t *testing.T) *handshakes {
	t.Helper()
	service, err := g.clients.CoreV1().Services(stack.Name).Get(t.Context(), stack.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(service.Spec.ClusterIP, "443")
	ctx, cancel := context.WithCancel(t.Context())
	h := &handshakes{halt: cancel, done: make(chan struct{}), leaves: map[string]bool{}, authorities: map[string]bool{}}
	go func() {
		defer close(h.done)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		var roots *x509.CertPool
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			begin := time.Now()
			var err error
			if n%3 == 0 { // an API server hears of a caBundle a moment late
				roots, err = g.bundle(ctx)
			}
			if err == nil {
				err = h.one(context.WithoutCancel(ctx), address, roots) // cut off, the server would count it
			}
			if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
				h.note(begin, err)
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-h.done })
	return h
}

func (g *ground) bundle(ctx context.Context) (*x509.CertPool, error) {
	config, err := g.clients.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, stack.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(config.Webhooks[0].ClientConfig.CABundle)
	return roots, nil
}

func (h *handshakes) one(ctx context.Context, address string, roots *x509.CertPool) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: stack.Name + "." + stack.Name + ".svc", MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // the handshake is all that matters
	leaf := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaves[leaf.SerialNumber.String()] = true
	h.authorities[fmt.Sprintf("%x", leaf.AuthorityKeyId)] = true
	return nil
}

func (h *handshakes) note(begin time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.made++
	if err != nil {
		h.failures = append(h.failures, failure{begin, err.Error()})
	}
}

// seen is how many different leaves and authorities were seen so far.
func (h *handshakes) seen() (leaves, authorities int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.leaves), len(h.authorities)
}

// finish ends the connecting.
func (h *handshakes) finish() {
	h.halt()
	<-h.done
}
