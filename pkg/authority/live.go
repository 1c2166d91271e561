package authority

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	admissionv1 "k8s.io/api/admissionregistration/v1"
)

// live is what the webhook configuration says, entry by entry.
type live []entry

type entry struct {
	name, host string // host: the name or address that API servers ask for
	bundle     []byte
	trusted    []*x509.Certificate
}

func readLive(config *admissionv1.MutatingWebhookConfiguration) live {
	var l live
	for _, webhook := range config.Webhooks {
		e := entry{name: webhook.Name, bundle: webhook.ClientConfig.CABundle, trusted: readCerts(webhook.ClientConfig.CABundle)}
		if service := webhook.ClientConfig.Service; service != nil {
			e.host = service.Name + "." + service.Namespace + ".svc"
		} else if webhook.ClientConfig.URL != nil {
			if address, err := url.Parse(*webhook.ClientConfig.URL); err == nil {
				e.host = address.Hostname()
			}
		}
		l = append(l, e)
	}
	return l
}

// hosts are what a leaf must be for, without those that no certificate can say.
func (l live) hosts() []string {
	var hosts []string
	for _, e := range l {
		if e.host != "" && !strings.ContainsFunc(e.host, func(r rune) bool { return r > unicode.MaxASCII }) {
			hosts = append(hosts, e.host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// certs are all certificates in any caBundle.
func (l live) certs() []*x509.Certificate {
	var certs []*x509.Certificate
	for _, e := range l {
		certs = append(certs, e.trusted...)
	}
	return certs
}

// trusts tells whether every caBundle holds the authority's certificate.
func (l live) trusts(cert *x509.Certificate) bool {
	for _, e := range l {
		if !has(e.trusted, cert) {
			return false
		}
	}
	return len(l) > 0
}

// holds tells whether every caBundle is this one, to the byte.
func (l live) holds(bundle []byte) bool {
	return !slices.ContainsFunc(l, func(e entry) bool { return !bytes.Equal(e.bundle, bundle) })
}

// patch is a strategic merge patch that sets every caBundle and nothing else, at that version of the configuration. An
// update would drop the fields that only a newer API server knows.
func (l live) patch(version string, bundle []byte) ([]byte, error) {
	type clientConfig struct {
		CABundle []byte `json:"caBundle"`
	}
	type webhook struct {
		Name         string       `json:"name"`
		ClientConfig clientConfig `json:"clientConfig"`
	}
	var patch struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Webhooks []webhook `json:"webhooks"`
	}
	patch.Metadata.ResourceVersion = version
	for _, e := range l {
		patch.Webhooks = append(patch.Webhooks, webhook{e.name, clientConfig{bundle}})
	}
	return json.Marshal(patch)
}

// refuses tells why an API server that has heard of this configuration would refuse the leaf.
func (l live) refuses(cert *x509.Certificate, now time.Time) error {
	if len(l) == 0 {
		return errors.New("the webhook configuration has no webhooks")
	}
	if !now.Before(cert.NotAfter) {
		return fmt.Errorf("the certificate expired at %s", cert.NotAfter.UTC().Format(time.RFC3339))
	}
	for _, e := range l {
		roots := x509.NewCertPool()
		for _, root := range e.trusted {
			roots.AddCert(root)
		}
		_, err := cert.Verify(x509.VerifyOptions{
			Roots: roots, DNSName: e.host, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})
		if _, ok := errors.AsType[x509.HostnameError](err); ok {
			return fmt.Errorf("the certificate is not for %q, which webhook %q is called by", e.host, e.name)
		}
		if err != nil {
			// Not x509's words: they may hold the time of day.
			return fmt.Errorf("the caBundle of webhook %q does not trust the certificate", e.name)
		}
	}
	return nil
}
