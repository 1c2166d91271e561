package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

const caSecret = "ensure-volumes-ca"

// TestHealing: whatever is done to the certificates heals by itself, under load.
// Their lifetimes are those of the default values, so nothing heals because it
// was due anyway.
func TestHealing(t *testing.T) {
	g := newGround(t)
	g.install(t, "--set", "failurePolicy=Fail")
	r := g.report(t)
	for _, fault := range faults(t) {
		t.Run(fault.what, func(t *testing.T) { g.heals(t, r, fault) })
	}
	g.wantNoRestarts(t)
}

// fault is what somebody does to the certificates.
type fault struct {
	what string
	do   func(ctx context.Context, g *ground) error
}

func faults(t *testing.T) []fault {
	garbage := []byte("not a certificate")
	cert, key := expired(t)
	deleteSecret := func(ctx context.Context, g *ground) error {
		return g.clients.CoreV1().Secrets(stack.Name).Delete(ctx, caSecret, metav1.DeleteOptions{})
	}
	wipe := func(ctx context.Context, g *ground) error {
		patch := `[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]`
		_, err := g.clients.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(ctx, stack.Name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
		return err
	}
	return []fault{
		{"the Secret is deleted", deleteSecret},
		{"the Secret is corrupted", write(func(s *corev1.Secret) { s.Data["ca.crt"], s.Data["ca.key"] = garbage, garbage })},
		{"the Secret is emptied", write(func(s *corev1.Secret) { s.Data = nil })},
		{"the Secret holds an expired authority", write(func(s *corev1.Secret) { s.Data = map[string][]byte{"ca.crt": cert, "ca.key": key} })},
		{"the caBundle is wiped", wipe},
		{"the Secret is deleted and the caBundle wiped", func(ctx context.Context, g *ground) error {
			if err := deleteSecret(ctx, g); err != nil {
				return err
			}
			return wipe(ctx, g)
		}},
	}
}

// write changes the Secret, at once: a replica may be writing it too.
func write(change func(*corev1.Secret)) func(context.Context, *ground) error {
	return func(ctx context.Context, g *ground) error {
		secrets := g.clients.CoreV1().Secrets(stack.Name)
		secret, err := secrets.Get(ctx, caSecret, metav1.GetOptions{})
		if err != nil {
			return err
		}
		secret.ResourceVersion = ""
		change(secret)
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
		return err
	}
}

// expired is an authority that was valid until an hour ago.
func expired(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: stack.Name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

const servingAgain = 15 * time.Second

// versions are those of the objects that faults are about.
func (g *ground) versions(t *testing.T) string {
	t.Helper()
	version := "jsonpath={.metadata.uid} {.metadata.resourceVersion}"
	return g.kubectl(t, "get", "secret", caSecret, "-n", stack.Name, "-o", version) + " " +
		g.kubectl(t, "get", "mutatingwebhookconfiguration", stack.Name, "-o", version)
}

// heals holds that soon after a fault pods are admitted with their claims, and
// go on to be, that the authority is in order again, and that a replica without
// a past can serve by it.
func (g *ground) heals(t *testing.T, r *report, f fault) {
	before := g.versions(t)
	namespace := strings.ToLower(strings.ReplaceAll(f.what, " ", "-"))
	l, h := g.start(t, namespace, pace{4, 200 * time.Millisecond}), g.shake(t)
	time.Sleep(time.Second)
	begin := time.Now()
	if err := f.do(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	time.Sleep(servingAgain)
	again := time.Now()
	if err := g.inOrder(t); err != nil {
		t.Error(err)
	}
	g.deleteOne(t)
	time.Sleep(2 * time.Second)
	l.finish()
	h.finish()
	wantNone(t, l.since(again))
	for _, failure := range h.failures {
		if failure.at.After(again) {
			t.Errorf("handshake: %s", failure.what)
		}
	}
	if l.count() < 100 {
		t.Errorf("%d pods were created: that shows nothing", l.count())
	}
	g.wantReady(t, 2)
	if after := g.versions(t); after == before {
		t.Error("Secret and configuration are as before: nothing was done to them")
	}
	outage := time.Duration(0)
	for _, failure := range l.since(begin) {
		outage = max(outage, failure.at.Sub(begin))
	}
	r.say("%s: %d creates failed, the last %s after it; %d did not", f.what, len(l.since(begin)), outage.Round(time.Millisecond), l.count())
}

// inOrder says what is wrong with the authority: the Secret holds a certificate
// with its key that is valid, and the caBundle trusts it.
func (g *ground) inOrder(t *testing.T) error {
	t.Helper()
	secret, err := g.clients.CoreV1().Secrets(stack.Name).Get(t.Context(), caSecret, metav1.GetOptions{})
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(secret.Data["ca.crt"], secret.Data["ca.key"])
	if err != nil {
		return fmt.Errorf("the Secret: %w", err)
	}
	roots, err := g.bundle(t.Context())
	if err != nil {
		return err
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return fmt.Errorf("the authority in the Secret, by the caBundle: %w", err)
	}
	return nil
}
