// Package pki makes the keys and certificates of a control plane that lives
// on one machine for as long as its process.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// lifetime of every certificate: longer than anybody leaves a test ground up.
const lifetime = 365 * 24 * time.Hour

// Authority signs certificates.
type Authority struct {
	CertPEM []byte

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Pair is a certificate with its key, both PEM.
type Pair struct {
	CertPEM []byte
	KeyPEM  []byte
}

// NewAuthority makes an authority that signs itself.
func NewAuthority(name string) (*Authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	cert, key, err := sign(template, nil)
	if err != nil {
		return nil, fmt.Errorf("making the authority %q: %w", name, err)
	}
	return &Authority{CertPEM: encode("CERTIFICATE", cert.Raw), cert: cert, key: key}, nil
}

// LoadAuthority returns the authority of the certificate and the key, both PEM.
func LoadAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("loading an authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("loading an authority: its key is a %T, not one of ours", pair.PrivateKey)
	}
	return &Authority{CertPEM: certPEM, cert: pair.Leaf, key: key}, nil
}

// KeyPEM returns the authority's private key, for LoadAuthority.
func (a *Authority) KeyPEM() ([]byte, error) { return encodeKey(a.key) }

// Serving makes a certificate for a server reached under the names and addresses.
func (a *Authority) Serving(name string, dns []string, addresses []net.IP) (Pair, error) {
	return a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		DNSNames:    dns,
		IPAddresses: addresses,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// Client makes a certificate for a user of the API server, in the groups.
func (a *Authority) Client(user string, groups ...string) (Pair, error) {
	return a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// Key makes a private key, PEM, such as the one that signs service account tokens.
func Key() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return encodeKey(key)
}

func (a *Authority) issue(template *x509.Certificate) (Pair, error) {
	template.KeyUsage = x509.KeyUsageDigitalSignature
	cert, key, err := sign(template, a)
	if err != nil {
		return Pair{}, fmt.Errorf("issuing the certificate of %q: %w", template.Subject.CommonName, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{CertPEM: encode("CERTIFICATE", cert.Raw), KeyPEM: keyPEM}, nil
}

// sign completes the template and has parent sign it, or itself without one.
func sign(template *x509.Certificate, parent *Authority) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Minute)
	template.NotAfter = time.Now().Add(lifetime)
	signer, signerKey := template, key
	if parent != nil {
		signer, signerKey = parent.cert, parent.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), signerKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(raw)
	return cert, key, err
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	// SEC 1, not PKCS #8: kube-apiserver takes the public half of the key of
	// service accounts out of this form only.
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return encode("EC PRIVATE KEY", raw), nil
}

func encode(kind string, raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
}
