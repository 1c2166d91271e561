package authority

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// Keys of the Secret's data.
const (
	keyCurrentCert   = "ca.crt"
	keyCurrentKey    = "ca.key"
	keyNextCert      = "next.crt"
	keyNextKey       = "next.key"
	keyPrevious      = "previous.crt"
	keyPreviousUntil = "previous-until" // RFC 3339
)

// state is what the Secret holds.
type state struct {
	current  *signer
	next     *signer // nil: no rollover is under way
	previous []*x509.Certificate
	until    time.Time // when previous goes
}

// decode reads the Secret's data. What cannot be read is left out and named in fault; legible are all certificates that
// can be, also those whose key cannot.
func decode(data map[string][]byte) (s state, legible []*x509.Certificate, fault string) {
	for _, key := range [...]string{keyCurrentCert, keyNextCert, keyPrevious} {
		legible = append(legible, readCerts(data[key])...)
	}
	if len(data) == 0 {
		return s, nil, "there is no authority yet"
	}
	var err error
	if s.current, err = readSigner(data[keyCurrentCert], data[keyCurrentKey]); err != nil {
		fault = fmt.Sprintf("%s and %s cannot be read: %v", keyCurrentCert, keyCurrentKey, err)
	}
	if len(data[keyNextCert])+len(data[keyNextKey]) > 0 {
		if s.next, err = readSigner(data[keyNextCert], data[keyNextKey]); err != nil {
			fault = cmp.Or(fault, fmt.Sprintf("%s and %s cannot be read: %v", keyNextCert, keyNextKey, err))
		}
	}
	s.previous = readCerts(data[keyPrevious])
	if len(data[keyPrevious]) > 0 {
		if s.until, err = time.Parse(time.RFC3339, string(data[keyPreviousUntil])); err != nil || len(s.previous) == 0 {
			fault = cmp.Or(fault, fmt.Sprintf("%s and %s cannot be read", keyPrevious, keyPreviousUntil))
		}
	}
	return s, legible, fault
}

func (s state) encode() (map[string][]byte, error) {
	data := map[string][]byte{}
	add := func(a *signer, cert, key string) error {
		var err error
		data[cert] = writeCerts([]*x509.Certificate{a.cert})
		data[key], err = a.keyPEM()
		return err
	}
	if err := add(s.current, keyCurrentCert, keyCurrentKey); err != nil {
		return nil, err
	}
	if s.next != nil {
		if err := add(s.next, keyNextCert, keyNextKey); err != nil {
			return nil, err
		}
	}
	if len(s.previous) > 0 {
		data[keyPrevious] = writeCerts(s.previous)
		data[keyPreviousUntil] = []byte(s.until.UTC().Format(time.RFC3339))
	}
	return data, nil
}

// certs are the certificates of every authority, in an order that a change of roles leaves as it is.
func (s state) certs() []*x509.Certificate {
	certs := slices.Clone(s.previous)
	for _, a := range [...]*signer{s.current, s.next} {
		if a != nil {
			certs = append(certs, a.cert)
		}
	}
	slices.SortFunc(certs, func(a, b *x509.Certificate) int {
		return cmp.Or(a.NotBefore.Compare(b.NotBefore), bytes.Compare(a.Raw, b.Raw))
	})
	return slices.CompactFunc(certs, (*x509.Certificate).Equal)
}
