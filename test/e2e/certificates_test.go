package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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

const (
	caSecret = "ensure-volumes-ca"
	leafLife = "30s"  // renewed after 20 s
	caLife   = "120s" // succeeded after 80 s
)

// bursts make the API server connect anew each time: it keeps 25 connections.
var bursts = pace{40, 2 * time.Second}

// TestCertificates: leaves and authorities follow one another under load, and
// whatever is done to them heals by itself.
func TestCertificates(t *testing.T) {
	g := newGround(t)
	g.install(t, "--set", "failurePolicy=Fail", "--set", "logLevel=debug",
		"--set", "certificates.leafLifetime="+leafLife, "--set", "certificates.caLifetime="+caLife)
	r := g.report(t)
	t.Run("rotations", func(t *testing.T) { g.rotates(t, r) })
	// From here on with the lifetimes of the default values: nothing heals
	// because it was due anyway.
	g.upgrade(t, "--set", "failurePolicy=Fail")
	for _, fault := range faults(t) {
		t.Run(fault.what, func(t *testing.T) { g.heals(t, r, fault) })
	}
}

func (g *ground) rotates(t *testing.T, r *report) {
	leaves, authorities := of(20), of(5)
	before := g.asked(t)
	l, h := g.start(t, "rotations", bursts), g.shake(t)
	begin := time.Now()
	limit := time.Duration(max(leaves*20, authorities*80)+120) * time.Second
	eventually(t, limit, "the certificates rotate", func() error {
		gotLeaves, gotAuthorities := h.seen()
		// Of each of two replicas the first leaf is no rotation, nor is the first authority.
		if gotLeaves < 2+2*leaves || gotAuthorities < 1+authorities {
			return fmt.Errorf("%d leaves of two replicas by %d authorities", gotLeaves, gotAuthorities)
		}
		return nil
	})
	took := time.Since(begin)
	l.finish()
	h.finish()
	failures := l.since(time.Time{})
	wantNone(t, failures)
	wantNone(t, h.failures)
	refused := g.refusedHandshakes(t)
	if refused != 0 {
		t.Errorf("the replicas have logged %d refused handshakes", refused)
	}
	gotLeaves, gotAuthorities := h.seen()
	r.say("%d leaf rotations a replica, %d in all, and %d of the authority in %s of load, failurePolicy Fail", (gotLeaves-2)/2, gotLeaves-2, gotAuthorities-1, took.Round(time.Second))
	r.say("%s; %d failed", l.summary(), len(failures))
	r.say("%d new connections with the live caBundle; %d failed; the replicas logged %d refused handshakes", h.made, len(h.failures), refused)
	g.wantAsked(t, r, before, l)
}

// refusedHandshakes is how many of them the replicas have logged.
func (g *ground) refusedHandshakes(t *testing.T) int {
	t.Helper()
	pods, _, err := g.replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, pod := range pods {
		log := g.kubectl(t, "logs", pod.Name, "-n", stack.Name)
		if !strings.Contains(log, "debug") {
			t.Errorf("%s does not log at level debug: %.500s", pod.Name, log)
		}
		refused += strings.Count(log, "TLS handshake refused")
	}
	return refused
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
// go on to be, and that the replicas are ready.
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
	time.Sleep(5 * time.Second)
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
	r.say("%s: %d of %d creates failed, the last %s after it", f.what, len(l.since(begin)), l.count(), outage.Round(time.Millisecond))
}
