package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"slices"
	"time"
)

// skew is how far the clock of an API server may be behind.
const skew = time.Hour

const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

// signer is an authority: its certificate and its key.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newSigner(now time.Time, lifetime time.Duration) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the authority's key: %w", err)
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "ensure-volumes"},
		NotBefore: now.Add(-skew), NotAfter: now.Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the authority's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return &signer{cert, key}, err
}

// usable tells whether leaves for the hosts that it signs now are good. It signs one to see: an authority that somebody has
// put into the Secret may be meant for other names or other uses.
func (s *signer) usable(hosts []string, now time.Time) bool {
	if s == nil || now.Before(s.cert.NotBefore) || !now.Before(s.cert.NotAfter) {
		return false
	}
	leaf, err := s.sign(hosts, now, skew)
	if err != nil {
		return false
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.cert)
	_, err = leaf.tls.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err == nil
}

// readSigner reads an authority from PEM.
func readSigner(cert, key []byte) (*signer, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	private, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("the certificate %s is no authority's", pair.Leaf.Subject)
	}
	return &signer{pair.Leaf, private}, nil
}

func (s *signer) keyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return nil, fmt.Errorf("encoding the authority's key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// leaf is a serving certificate with its key. Without an issuer it is none.
type leaf struct {
	tls    tls.Certificate
	issuer *x509.Certificate
	hosts  []string
	renew  time.Time
}

// fresh tells whether the leaf's own time asks for no other: somebody may also have set the clock back behind its beginning.
func (l *leaf) fresh(now time.Time) bool {
	return !now.Before(l.tls.Leaf.NotBefore) && now.Before(l.renew)
}

// sign makes a leaf for the hosts, names or addresses.
func (s *signer) sign(hosts []string, now time.Time, lifetime time.Duration) (*leaf, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the serving certificate's key: %w", err)
	}
	until := now.Add(lifetime)
	if s.cert.NotAfter.Before(until) {
		until = s.cert.NotAfter
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "ensure-volumes webhook"},
		NotBefore: now.Add(-skew), NotAfter: until,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.cert, key.Public(), s.key)
	if err != nil {
		return nil, fmt.Errorf("signing the serving certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("signing the serving certificate: %w", err)
	}
	return &leaf{
		tls:    tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert},
		issuer: s.cert, hosts: slices.Clone(hosts),
		// Without the monotonic clock, which stands still while a machine sleeps and when its clock is set.
		renew: now.Add(until.Sub(now) * 2 / 3).Round(0),
	}, nil
}

// writeCerts encodes certificates in PEM, as a caBundle wants them.
func writeCerts(certs []*x509.Certificate) []byte {
	var text []byte
	for _, cert := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: cert.Raw})...)
	}
	return text
}

// readCerts returns the certificates in a text that can be read; what cannot is left out.
func readCerts(text []byte) []*x509.Certificate {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return certs
		}
		if block.Type != pemCertificate {
			continue
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			certs = append(certs, cert)
		}
	}
}

func has(certs []*x509.Certificate, cert *x509.Certificate) bool {
	return slices.ContainsFunc(certs, cert.Equal)
}
