package serve

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
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// authority signs the serving certificates of a test.
type authority struct {
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	pem     []byte
	serials atomic.Int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// client is the TLS configuration of a client that trusts this authority and asks for the server's name.
func (a *authority) client() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots, ServerName: "webhook.test", MinVersion: tls.VersionTLS12}
}

// files is one version of a certificate folder, by file name.
type files map[string][]byte

// issue makes a pair that is valid from now minus an hour until the given time from now, with a serial of its own.
func (a *authority) issue(t *testing.T, expiresIn time.Duration) files {
	t.Helper()
	return a.issueFrom(t, -2*time.Hour, expiresIn)
}

func (a *authority) issueFrom(t *testing.T, from, until time.Duration) files {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(100 + a.serials.Add(1)), DNSNames: []string{"webhook.test"},
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(until),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return files{
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		"ca.crt":  a.pem,
	}
}

func (f files) with(name string, data []byte) files {
	changed := files{}
	for n, d := range f {
		changed[n] = d
	}
	if data == nil {
		delete(changed, name)
	} else {
		changed[name] = data
	}
	return changed
}

func (f files) leaf(t *testing.T) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(f["tls.crt"])
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// folder is a Secret volume that holds a good pair of this authority.
func (a *authority) folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	volume(t, dir, a.issue(t, time.Hour))
	return dir
}

// volume writes a version into the folder as the kubelet does: a folder of its own, the link ..data swapped to it by a
// rename, a link for each file, and the version before it removed.
func volume(t *testing.T, dir string, version files) {
	t.Helper()
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	path, err := os.MkdirTemp(dir, "..version_")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range version {
		if err := os.WriteFile(filepath.Join(path, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(filepath.Base(path), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	for name := range version {
		file := filepath.Join(dir, name)
		if _, err := os.Lstat(file); err == nil {
			continue
		}
		if err := os.Symlink(fmt.Sprintf("..data/%s", name), file); err != nil {
			t.Fatal(err)
		}
	}
	if old != "" {
		if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
			t.Fatal(err)
		}
	}
}
