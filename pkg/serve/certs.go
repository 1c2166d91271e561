package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// pair is one version of the folder: a certificate with its key and, where there is one, the authority to check it by.
type pair struct {
	raw   [3][]byte // tls.crt, tls.key, ca.crt
	cert  tls.Certificate
	roots *x509.CertPool // nil without ca.crt
}

// readPair reads one version of the folder. It does not judge whether the certificate is any good: see verify.
func readPair(dir string) (*pair, error) {
	for {
		version := versionOf(dir)
		p, err := readVersion(version)
		if err == nil || versionOf(dir) == version {
			return p, err
		}
		// The version was swapped and removed under our hands: read the new one. This ends, since nobody swaps as fast.
	}
}

// versionOf is where the folder's files are. A Secret volume keeps each version in a folder of its own and swaps the
// link ..data; resolved once, the link cannot give us one version's certificate and the next one's key.
func versionOf(dir string) string {
	if version, err := filepath.EvalSymlinks(filepath.Join(dir, "..data")); err == nil {
		return version
	}
	return dir
}

func readVersion(dir string) (*pair, error) {
	p := &pair{}
	for i, name := range [...]string{"tls.crt", "tls.key", "ca.crt"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && (name != "ca.crt" || !errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
		p.raw[i] = data
	}
	var err error
	if p.cert, err = tls.X509KeyPair(p.raw[0], p.raw[1]); err != nil {
		return nil, fmt.Errorf("tls.crt and tls.key: %w", err)
	}
	// cert-manager writes an empty ca.crt where an issuer has none to give.
	if ca := bytes.TrimSpace(p.raw[2]); len(ca) > 0 {
		p.roots = x509.NewCertPool()
		if !p.roots.AppendCertsFromPEM(ca) {
			return nil, errors.New("ca.crt: holds no certificate in PEM")
		}
	}
	return p, nil
}

// verify tells why a client would refuse the certificate at that time. It does not know the name clients ask for.
func (p *pair) verify(now time.Time) error {
	leaf := p.cert.Leaf
	if now.After(leaf.NotAfter) {
		return fmt.Errorf("tls.crt: expired at %s; renew it", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if now.Before(leaf.NotBefore) {
		return fmt.Errorf("tls.crt: not valid before %s; check the clock", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	if p.roots == nil {
		return nil
	}
	intermediates := x509.NewCertPool()
	for _, der := range p.cert.Certificate[1:] {
		if cert, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(cert)
		}
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: p.roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		// Not x509's words: they may hold the time of day, and a fault is logged whenever its words change.
		return errors.New("tls.crt: not signed by an authority in ca.crt that is valid now")
	}
	if err != nil {
		return fmt.Errorf("tls.crt: %w", err)
	}
	return nil
}

// certificates serves the best pair that the folder has held so far. It is safe for concurrent use.
//
// controller-runtime's certwatcher does much of this, but replaces a good certificate by an expired one, may read the
// two files of different versions, says a fault again at every reading, and knows no ca.crt.
type certificates struct {
	dir    string
	log    logr.Logger
	expiry prometheus.Gauge
	errors prometheus.Counter

	mu      sync.RWMutex
	current *pair // nil until the folder has held a pair
	fault   error // why the folder's content is not what is served, or is no good; nil when it is
}

func newCertificates(dir string, log logr.Logger, metrics prometheus.Registerer) (*certificates, error) {
	c := &certificates{
		dir: dir, log: log,
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensure_volumes_certificate_expiry_timestamp_seconds",
			Help: "When the serving certificate expires, in seconds since 1970; 0 without one.",
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensure_volumes_certificate_reload_errors_total",
			Help: "Readings of the certificate folder that found a fault. It grows for as long as the fault is there.",
		}),
	}
	if metrics == nil {
		return c, nil
	}
	if err := errors.Join(metrics.Register(c.expiry), metrics.Register(c.errors)); err != nil {
		return nil, fmt.Errorf("registering the certificates' metrics: %w", err)
	}
	return c, nil
}

// reload reads the folder once. A pair that cannot be read, or that clients would refuse, does not replace one that
// they accept; where there is none such, an expired certificate is served rather than nothing.
func (c *certificates) reload(now time.Time) {
	next, err := readPair(c.dir)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		err = next.verify(now)
		if !c.current.same(next) && (err == nil || c.current == nil || c.current.verify(now) != nil) {
			c.current = next
			c.expiry.Set(float64(next.cert.Leaf.NotAfter.Unix()))
			c.log.Info("certificate loaded", "folder", c.dir, "serial", next.cert.Leaf.SerialNumber.String(),
				"expires", next.cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	if err != nil {
		c.errors.Inc()
		if c.fault == nil || c.fault.Error() != err.Error() {
			c.log.Error(err, "certificate folder is faulty", "folder", c.dir, "serving", c.current != nil)
		}
	} else if c.fault != nil {
		c.log.Info("certificate folder is right again", "folder", c.dir)
	}
	c.fault = err
}

func (c *certificates) watch(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			c.reload(now)
		}
	}
}

// serving is the pair served now, or why there is none.
func (c *certificates) serving() (*pair, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.current == nil {
		return nil, fmt.Errorf("no certificate: %w", c.fault)
	}
	return c.current, nil
}

// get is a tls.Config's GetCertificate.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p, err := c.serving()
	if err != nil {
		return nil, err
	}
	return &p.cert, nil
}

// same tells whether two versions of the folder are equal to the byte. No version is equal to none.
func (p *pair) same(other *pair) bool {
	if p == nil {
		return false
	}
	for i := range p.raw {
		if !bytes.Equal(p.raw[i], other.raw[i]) {
			return false
		}
	}
	return true
}
