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

// Folder serves the best pair that a folder has held so far: tls.crt, tls.key and, where there is one, ca.crt, in PEM.
// The folder may be empty or faulty at first: there is no certificate then, until it is right. It is safe for
// concurrent use.
//
// controller-runtime's certwatcher does much of this, but replaces a good certificate by an expired one, may read the
// two files of different versions, says a fault again at every reading, and knows no ca.crt.
type Folder struct {
	dir    string
	log    logr.Logger
	expiry prometheus.Gauge
	errors prometheus.Counter
	every  time.Duration

	mu      sync.RWMutex
	current *pair // nil until the folder has held a pair
	refused error // why clients would refuse current, as of the last reading
	fault   error // why the folder's content is not what is served, or is no good; nil when it is
}

// NewFolder reads the folder once; Run goes on reading it. The gauge
// ensure_volumes_certificate_expiry_timestamp_seconds and the counter ensure_volumes_certificate_reload_errors_total go
// to metrics; nil: none.
func NewFolder(dir string, log logr.Logger, metrics prometheus.Registerer) (*Folder, error) {
	c := &Folder{
		dir: dir, log: log, every: reloadInterval,
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensure_volumes_certificate_expiry_timestamp_seconds",
			Help: "When the serving certificate expires, in seconds since 1970; 0 without one.",
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensure_volumes_certificate_reload_errors_total",
			Help: "Readings of the certificate folder that found a fault. It grows for as long as the fault is there.",
		}),
	}
	if metrics != nil {
		if err := errors.Join(metrics.Register(c.expiry), metrics.Register(c.errors)); err != nil {
			return nil, fmt.Errorf("registering the certificates' metrics: %w", err)
		}
	}
	c.reload(time.Now())
	return c, nil
}

// reload reads the folder once. A pair that cannot be read, or that clients would refuse, does not replace one that
// they accept; where there is none such, an expired certificate is served rather than nothing.
func (c *Folder) reload(now time.Time) {
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
	if c.current != nil {
		c.refused = c.current.verify(now)
	} else {
		c.refused = fmt.Errorf("no certificate: %w", err)
	}
}

// Run follows the folder until ctx ends.
func (c *Folder) Run(ctx context.Context) {
	ticker := time.NewTicker(c.every)
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

// Serving is the best certificate that the folder has held so far; see Certificates.
func (c *Folder) Serving() (cert *tls.Certificate, refused error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.current == nil {
		return nil, c.refused
	}
	return &c.current.cert, c.refused
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
