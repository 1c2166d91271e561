package authority

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"
)

// TestPlan: what a replica does about each state in which it may find the Secret.
func TestPlan(t *testing.T) {
	r := rules{caLifetime: 30 * time.Hour, leafLifetime: 10 * time.Hour, settle: 5 * time.Minute}
	now := time.Now()
	at := func(age time.Duration) *signer {
		s, err := newSigner(now.Add(-age), r.caLifetime)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	fresh, middling, old, expired, future := at(0), at(time.Hour), at(25*time.Hour), at(31*time.Hour), at(-2*time.Hour)
	odd := func(name string, change func(*x509.Certificate)) *signer {
		s := *middling
		template := *middling.cert
		template.SerialNumber, template.Subject = nil, pkix.Name{CommonName: name}
		change(&template)
		der, err := x509.CreateCertificate(rand.Reader, &template, &template, s.key.Public(), s.key)
		if err == nil {
			s.cert, err = x509.ParseCertificate(der)
		}
		if err != nil {
			t.Fatal(err)
		}
		return &s
	}
	clients := odd("for clients", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	elsewhere := odd("for example.com", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.com"}
	})
	lists := odd("for lists", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	trusting := func(signers ...*signer) live {
		var certs []*x509.Certificate
		for _, s := range signers {
			certs = append(certs, s.cert)
		}
		return live{{name: "w", host: host, bundle: writeCerts(certs), trusted: certs}}
	}
	long := func(l live) sightings { return sightings{}.after(l, now.Add(-time.Hour)) }
	until := now.Add(time.Hour)
	for _, tt := range []struct {
		name     string
		stored   state
		fault    string
		live     live
		own      *signer
		why      string
		current  *signer // nil: a new one
		next     *signer
		newNext  bool
		previous []*signer
	}{
		{name: "in order", stored: state{current: middling}, live: trusting(middling), own: middling, current: middling},
		{name: "in order, earlier ones", stored: state{current: middling, previous: []*x509.Certificate{old.cert}, until: until}, live: trusting(middling, old), own: middling, current: middling, previous: []*signer{old}},
		{name: "nothing", fault: "there is no authority yet", why: "there is no authority yet"},
		{name: "nothing, but a leaf in use", fault: "gone", live: trusting(middling, old), own: middling, why: "gone", previous: []*signer{middling, old}},
		{name: "expired", stored: state{current: expired}, live: trusting(expired), own: expired, why: "the current authority cannot sign now"},
		{name: "expired, next there", stored: state{current: expired, next: middling}, live: trusting(expired), why: "the current authority cannot sign now", current: middling},
		{name: "of tomorrow", stored: state{current: future}, live: trusting(future), why: "the current authority cannot sign now", previous: []*signer{future}},
		{name: "for clients only", stored: state{current: clients}, live: trusting(clients), why: "the current authority cannot sign now", previous: []*signer{clients}},
		{name: "for other names", stored: state{current: elsewhere}, live: trusting(middling), own: middling, why: "the current authority cannot sign now", previous: []*signer{middling}},
		{name: "not for certificates", stored: state{current: middling, next: lists}, live: trusting(middling), own: middling, why: "the next authority cannot sign now", current: middling},
		{name: "old", stored: state{current: old}, live: trusting(old), own: old, why: "less than a third of the current authority's life is left", current: old, newNext: true},
		{name: "settled", stored: state{current: old, next: fresh}, live: trusting(old, fresh), own: fresh, why: "the next authority is trusted and takes over", current: fresh, previous: []*signer{old}},
		{name: "not published", stored: state{current: old, next: fresh}, live: trusting(old), own: old, current: old, next: fresh},
		{name: "next expired", stored: state{current: middling, next: expired}, live: trusting(middling), own: middling, why: "the next authority cannot sign now", current: middling},
		{name: "next unreadable", stored: state{current: middling}, fault: "next", live: trusting(middling, old), own: middling, why: "next", current: middling, previous: []*signer{old}},
		{name: "from a backup", stored: state{current: fresh}, live: trusting(middling), own: middling, why: "an authority that is trusted and may be in use was missing", current: fresh, previous: []*signer{middling}},
		{name: "from a backup, no leaf", stored: state{current: fresh}, live: trusting(middling, old, expired), why: "an authority that is trusted and may be in use was missing", current: fresh, previous: []*signer{middling, old}},
		{name: "a stranger in the caBundle", stored: state{current: middling}, live: trusting(middling, old), own: middling, current: middling},
		{name: "own not trusted", stored: state{current: fresh}, live: trusting(fresh), own: middling, current: fresh},
		{name: "time is over", stored: state{current: middling, previous: []*x509.Certificate{old.cert}, until: now}, live: trusting(middling, old), own: middling, why: "no certificate of an earlier authority is in use any more", current: middling},
		{name: "earlier one expired", stored: state{current: middling, previous: []*x509.Certificate{expired.cert, old.cert}, until: until}, live: trusting(middling), own: middling, why: "no certificate of an earlier authority is in use any more", current: middling, previous: []*signer{old}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := view{live: tt.live, seen: long(tt.live)}
			if tt.own != nil {
				v.own = tt.own.cert
			}
			got, why, err := r.plan(tt.stored, nil, tt.fault, v, now)
			if err != nil || why != tt.why {
				t.Fatalf("%q, %v; want %q", why, err, tt.why)
			}
			if tt.current != nil && got.current != tt.current || tt.current == nil && (got.current == nil || got.current == tt.stored.current) {
				t.Error("another authority is the current one")
			}
			if !tt.newNext && got.next != tt.next || tt.newNext && got.next == nil {
				t.Error("another authority is the next one")
			}
			var want []*x509.Certificate
			for _, s := range tt.previous {
				want = append(want, s.cert)
			}
			if string(writeCerts(got.previous)) != string(writeCerts(want)) {
				t.Errorf("%d earlier ones are kept, not those %d", len(got.previous), len(want))
			}
			if again, why, err := r.plan(got, nil, "", v, now); err != nil || why != "" {
				t.Errorf("not at rest after that: %q %v, %+v", why, err, again)
			}
			data, err := got.encode()
			if err != nil {
				t.Fatal(err)
			}
			if back, legible, fault := decode(data); fault != "" || len(back.certs()) != len(got.certs()) || len(legible) != len(got.certs()) {
				t.Errorf("not what was written: %q", fault)
			}
		})
	}
}
