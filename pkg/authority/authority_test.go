package authority

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

// TestRollover tells the life of an authority of 30 hours with leaves of 10 and a settling time of 5 minutes.
func TestRollover(t *testing.T) {
	w := newWorld(t)
	w.install()
	one, two := w.replica(nil), w.replica(nil)
	w.look(one, two)
	began, first := w.now(), w.state().current.cert
	issuer := func(a *Authority) *x509.Certificate { return a.leaf.issuer }

	for _, step := range []struct {
		after   time.Duration
		current int // of the authorities in the order in which they were made
		next    bool
		earlier int
		leaves  int // the authority of both replicas' leaves
		why     string
	}{
		{0, 0, false, 0, 0, "at the beginning"},
		{19*time.Hour + 59*time.Minute, 0, false, 0, 0, "two thirds are not over"},
		{20*time.Hour + time.Second, 0, true, 0, 0, "the next is published"},
		{20*time.Hour + 4*time.Minute, 0, true, 0, 0, "and settles"},
		{20*time.Hour + 5*time.Minute + 2*time.Second, 1, false, 1, 1, "it takes over"},
		{30*time.Hour + 9*time.Minute, 1, false, 0, 1, "the first has expired"},
		{40*time.Hour + 6*time.Minute, 1, true, 0, 1, "and so on"},
	} {
		w.pass(step.after - w.now().Sub(began))
		w.look(one, two, one, two)
		s := w.state()
		if s.current.cert.Equal(first) != (step.current == 0) || (s.next != nil) != step.next || len(s.previous) != step.earlier {
			t.Errorf("%s: current is the first: %v, next: %v, previous: %d", step.why, s.current.cert.Equal(first), s.next != nil, len(s.previous))
		}
		for i, a := range []*Authority{one, two} {
			if issuer(a).Equal(first) != (step.leaves == 0) {
				t.Errorf("%s: replica %d has a leaf of the first authority: %v", step.why, i, issuer(a).Equal(first))
			}
			if cert, refused := a.Serving(); refused != nil || cert.Leaf.NotAfter.After(a.leaf.issuer.NotAfter) {
				t.Errorf("%s: replica %d: %v, until %s by an authority until %s", step.why, i, refused, cert.Leaf.NotAfter, a.leaf.issuer.NotAfter)
			}
		}
		if !w.heardNow().holds(writeCerts(s.certs())) {
			t.Errorf("%s: the caBundle is not what the Secret says", step.why)
		}
	}
}

func (w *world) heardNow() live { return readLive(w.config()) }

// TestOvertaken: wherever in its look a replica is overtaken by one that publishes another authority, it does not take back
// what was published.
func TestOvertaken(t *testing.T) {
	for i := range 12 {
		skip, lost := i/2, i%2 == 1
		t.Run(fmt.Sprintf("%d, Secret lost %v", skip, lost), func(t *testing.T) {
			w := newWorld(t)
			w.install()
			slow, fast := w.replica(nil), w.replica(nil)
			w.look(slow, fast)
			if !lost {
				w.pass(20*time.Hour + time.Minute)
			}
			w.skip, w.first = skip, func() {
				if lost {
					w.deleteSecret()
				}
				w.look(fast)
			}
			w.look(slow, fast)
			for i, p := range w.history[1:] {
				for _, cert := range w.history[i].live.certs() {
					if !p.live.trusts(cert) {
						t.Errorf("caBundle %d of %d has lost an authority", i+2, len(w.history))
					}
				}
			}
			if s := w.state(); (s.next == nil) != lost || !w.heardNow().holds(writeCerts(s.certs())) {
				t.Error("the caBundle is not what the Secret says")
			}
		})
	}
}

// TestUnready: what a person is told while there is no certificate that API servers accept.
func TestUnready(t *testing.T) {
	w := newWorld(t)
	a := w.replica(nil)
	says := func(want string) {
		t.Helper()
		cert, refused := a.Serving()
		if (cert == nil) != strings.HasPrefix(want, "there is no certificate yet") {
			t.Errorf("with %q there is a certificate: %v", want, cert != nil)
		}
		if (refused == nil) != (want == "") || refused != nil && !strings.Contains(refused.Error(), want) {
			t.Errorf("%v; want %q", refused, want)
		}
	}
	look := func() { _ = a.pass(t.Context()) }
	says("there is no certificate yet; waiting for the API server")
	look()
	says("there is no certificate yet; MutatingWebhookConfiguration ensure-volumes does not exist")
	w.install()
	deny := func(verb, resource string) {
		w.clients.PrependReactor(verb, resource, func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(secretsResource.GroupResource(), secretName, errors.New("not granted"))
		})
	}
	allow := func() { w.clients.ReactionChain = w.clients.ReactionChain[1:] }
	deny("create", "secrets")
	look()
	says(`there is no certificate yet; writing Secret ensure-volumes-ca: secrets "ensure-volumes-ca" is forbidden: not granted`)
	allow()
	deny("patch", "mutatingwebhookconfigurations")
	look()
	says(`the caBundle of webhook "claims" does not trust the certificate; writing the caBundle of MutatingWebhookConfiguration ensure-volumes: secrets`)
	allow()
	look()
	says("")
	w.setBundle(nil)
	deny("patch", "mutatingwebhookconfigurations")
	look()
	says("does not trust the certificate")
	allow()
	look()
	says("")
	w.pass(11 * time.Hour)
	deny("get", "mutatingwebhookconfigurations")
	look()
	says("the certificate expired at ")
	allow()
	look()
	says("")
}

// TestHosts: the leaf is for whatever the entries are called by, and follows them.
func TestHosts(t *testing.T) {
	w := newWorld(t)
	w.install("https://127.0.0.1:8443/mutate", "https://webhook.example:8443/mutate")
	a := w.replica(nil)
	w.look(a)
	cert, refused := a.Serving()
	if refused != nil || cert.Leaf.VerifyHostname("127.0.0.1") != nil || cert.Leaf.VerifyHostname("webhook.example") != nil || cert.Leaf.VerifyHostname(host) == nil {
		t.Errorf("%v %v", refused, cert.Leaf.DNSNames)
	}
	config := w.config()
	elsewhere := "https://elsewhere.example/mutate"
	config.Webhooks[1].ClientConfig.URL = &elsewhere
	if _, err := w.clients.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(t.Context(), config, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.look(a)
	if cert, refused := a.Serving(); refused != nil || cert.Leaf.VerifyHostname("elsewhere.example") != nil {
		t.Errorf("%v %v", refused, cert.Leaf.DNSNames)
	}
	config = w.config()
	unsayable := "https://bücher.example/mutate"
	config.Webhooks[0].ClientConfig.URL = &unsayable
	if _, err := w.clients.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(t.Context(), config, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	before := w.state()
	w.look(a)
	if cert, refused := a.Serving(); refused == nil || !strings.Contains(refused.Error(), `not for "bücher.example"`) || cert.Leaf.VerifyHostname("elsewhere.example") != nil {
		t.Errorf("%v %v", refused, cert.Leaf.DNSNames)
	}
	if !w.state().current.cert.Equal(before.current.cert) {
		t.Error("another authority was made, which can say it no better")
	}
	config = w.config()
	config.Webhooks = nil
	if _, err := w.clients.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(t.Context(), config, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.look(a)
	if _, refused := a.Serving(); refused == nil || refused.Error() != "the webhook configuration has no webhooks" {
		t.Errorf("%v", refused)
	}
}

// TestRunIsWoken: a wiped caBundle and a deleted Secret are mended when the watch tells, not at the next interval.
func TestRunIsWoken(t *testing.T) {
	w := newWorld(t)
	w.install()
	metrics := prometheus.NewRegistry()
	a := w.replica(func(c *Config) { c.LeafLifetime, c.CALifetime, c.Metrics = 240*time.Hour, 8760*time.Hour, metrics })
	a.now = time.Now
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	soon := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not so after 5 s: %s", what)
			}
		}
	}
	trusted := func() bool {
		cert, refused := a.Serving()
		return refused == nil && w.heardNow().refuses(cert.Leaf, time.Now()) == nil
	}
	soon("it starts", trusted)
	time.Sleep(100 * time.Millisecond) // the fake's watches begin when they are opened
	for range 3 {
		w.setBundle(nil)
		soon("the caBundle is mended", trusted)
		w.deleteSecret()
		soon("the Secret is mended", func() bool { return w.data() != nil && trusted() })
	}
	families, err := metrics.Gather()
	if err != nil || len(families) != 3 {
		t.Fatalf("%d metrics, %v", len(families), err)
	}
	for _, family := range families {
		m := family.GetMetric()[0]
		if name := family.GetName(); strings.HasSuffix(name, "_expiry_timestamp_seconds") && m.GetGauge().GetValue() < float64(time.Now().Unix()) {
			t.Errorf("%s is %v", name, m.GetGauge().GetValue())
		}
	}
}

// TestFight: where somebody takes back every caBundle at once, the API server does not have to carry it as fast as it can.
func TestFight(t *testing.T) {
	w := newWorld(t)
	w.install()
	a := w.replica(func(c *Config) { c.LeafLifetime, c.CALifetime = 240*time.Hour, 8760*time.Hour })
	ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
	defer cancel()
	var run sync.WaitGroup
	run.Go(func() { a.Run(ctx) })
	time.Sleep(100 * time.Millisecond) // the fake's watches begin when they are opened
	for ; ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if !w.heardNow().holds(nil) {
			w.setBundle(nil)
		}
	}
	run.Wait()
	if n := len(w.history); n < 2 || n > 4 {
		t.Errorf("%d caBundles in 1.2 s", n)
	}
}

func TestNew(t *testing.T) {
	for _, tt := range []struct {
		ca, leaf time.Duration
		fits     bool
	}{{3 * time.Hour, time.Hour, true}, {2 * time.Hour, time.Hour, false}, {time.Hour, time.Millisecond, false}, {0, 0, false}} {
		if _, err := New(Config{CALifetime: tt.ca, LeafLifetime: tt.leaf}); (err == nil) != tt.fits {
			t.Errorf("%s and %s: %v", tt.ca, tt.leaf, err)
		}
	}
	metrics := prometheus.NewRegistry()
	for i := range 2 {
		if _, err := New(Config{CALifetime: 3 * time.Hour, LeafLifetime: time.Hour, Metrics: metrics}); (err == nil) != (i == 0) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if got := fmt.Sprint(readCerts([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))); got != "[]" {
		t.Errorf("read %s", got)
	}
}
