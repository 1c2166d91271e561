package authority

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"time"
)

// mostPrevious bounds what a caBundle full of strangers can put into the Secret.
const mostPrevious = 16

// rules are the times that decide; see the package's documentation.
type rules struct {
	caLifetime, leafLifetime, settle time.Duration
}

// view is what a replica knows when it decides: the live configuration, for how long it has held which certificate,
// and the authority of its own leaf, nil where that is nobody's.
type view struct {
	live live
	seen sightings
	own  *x509.Certificate
}

// sightings say since when each certificate has been in every caBundle, as far as this replica has seen.
type sightings map[[sha256.Size]byte]time.Time

// after is what is known once the configuration was seen: what it does not hold any more is forgotten.
func (s sightings) after(l live, now time.Time) sightings {
	next := sightings{}
	for _, cert := range l.certs() {
		if l.trusts(cert) {
			id := sha256.Sum256(cert.Raw)
			next[id] = now
			if since, known := s[id]; known {
				next[id] = since
			}
		}
	}
	return next
}

func (s sightings) settled(cert *x509.Certificate, now time.Time, settle time.Duration) bool {
	since, known := s[sha256.Sum256(cert.Raw)]
	return known && now.Sub(since) >= settle
}

// plan is what the Secret should hold, given what it holds (see decode), and why that is something else; "" where it is
// the same.
func (r rules) plan(s state, legible []*x509.Certificate, fault string, v view, now time.Time) (_ state, why string, err error) {
	why = fault
	change := func(reason string) { why = cmp.Or(why, reason) }
	stored := len(s.previous)
	retire := func(certs ...*x509.Certificate) {
		s.previous = append(certs, s.previous...)
		if until := now.Add(r.leafLifetime + r.settle); until.After(s.until) {
			s.until = until
		}
	}

	hosts := v.live.hosts()
	if s.next != nil && !s.next.usable(hosts, now) {
		change("the next authority cannot sign now")
		s.next = nil
	}
	switch usable := s.current.usable(hosts, now); {
	case !usable || fault != "":
		change("the current authority cannot sign now")
		retire(append(legible, v.live.certs()...)...)
		if !usable {
			s.current, s.next = s.next, nil
		}
	case s.next != nil && v.seen.settled(s.next.cert, now, r.settle):
		change("the next authority is trusted and takes over")
		retire(s.current.cert)
		s.current, s.next = s.next, nil
	}
	if s.current == nil {
		if s.current, err = newSigner(now, r.caLifetime); err != nil {
			return s, "", err
		}
	}
	if s.next == nil && s.current.cert.NotAfter.Sub(now) < r.caLifetime/3 {
		change("less than a third of the current authority's life is left")
		if s.next, err = newSigner(now, r.caLifetime); err != nil {
			return s, "", err
		}
	}
	if missing := v.missing(s, now); len(missing) > 0 {
		change("an authority that is trusted and may be in use was missing")
		retire(missing...)
	}

	s.previous = s.earlier(now)
	if len(s.previous) != stored {
		change("no certificate of an earlier authority is in use any more")
	}
	return s, why, nil
}

// missing are the authorities that may have signed a certificate in use and that the Secret does not know: that of our own
// leaf or, while we have none, whatever the caBundle trusts.
func (v view) missing(s state, now time.Time) []*x509.Certificate {
	candidates := []*x509.Certificate{v.own}
	if v.own == nil {
		candidates = v.live.certs()
	}
	known := s.certs()
	return slices.DeleteFunc(candidates, func(c *x509.Certificate) bool {
		return has(known, c) || !now.Before(c.NotAfter) || !has(v.live.certs(), c)
	})
}

// earlier are the previous authorities that are still needed, each once.
func (s state) earlier(now time.Time) []*x509.Certificate {
	if !now.Before(s.until) {
		return nil
	}
	var kept []*x509.Certificate
	for _, cert := range s.previous {
		known := has(kept, cert) || cert.Equal(s.current.cert) || s.next != nil && cert.Equal(s.next.cert)
		if !known && now.Before(cert.NotAfter) && len(kept) < mostPrevious {
			kept = append(kept, cert)
		}
	}
	return kept
}
