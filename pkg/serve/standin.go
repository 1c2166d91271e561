package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"
)

// newStandIn makes the certificate that is shown while there is none: one that nobody trusts. A probe does not ask for
// more, and so learns that the server is alive and why it is not ready.
func newStandIn() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a stand-in for the certificate: %w", err)
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "no certificate"}, NotBefore: time.Now(), NotAfter: time.Now()}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a stand-in for the certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
