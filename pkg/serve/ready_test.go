package serve

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestReadiness(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	good := ca.issue(t, time.Hour)
	for _, test := range []struct {
		name   string
		folder files
		ready  error
		want   string
	}{
		{"ready", good, nil, "ok"},
		{"without ca.crt", good.with("ca.crt", nil), nil, "ok"},
		{"caches", good, errors.New("the cache of claims has not synced yet"), "not ready: the cache of claims has not synced yet"},
		{"expired", ca.issue(t, -time.Minute), nil, "not ready: tls.crt: expired at 20"},
		{"another authority", good.with("ca.crt", other.pem), nil, "not ready: tls.crt: not signed by an authority in ca.crt that is valid now"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			volume(t, dir, test.folder)
			s := start(t, dir, ca, func(s *Server) { s.Ready = func() error { return test.ready } })
			client := s.client(t)
			// An expired certificate must not keep the test from asking.
			insecure := ca.client()
			insecure.InsecureSkipVerify = true //nolint:gosec // only this client, in a test
			client.Transport = transport(t, insecure)
			code, body, _ := s.get(t, client, "/readyz")
			if (code == 200) != (test.want == "ok") || (code == 503) != (test.want != "ok") || !strings.HasPrefix(body, test.want) {
				t.Errorf("%d %q, want %q", code, body, test.want)
			}
			if code, body, _ := s.get(t, client, "/healthz"); code != 200 {
				t.Errorf("alive all the same: %d %q", code, body)
			}
		})
	}
}

func TestReadinessFollowsItsFunction(t *testing.T) {
	ca := newAuthority(t)
	var ready atomic.Bool
	s := start(t, ca.folder(t), ca, func(s *Server) {
		s.Ready = func() error {
			if !ready.Load() {
				return errors.New("starting")
			}
			return nil
		}
	})
	c := s.client(t)
	for _, want := range []int{503, 200, 503} {
		ready.Store(want == 200)
		if code, body, _ := s.get(t, c, "/readyz"); code != want {
			t.Errorf("%d %q, want %d", code, body, want)
		}
	}
}

// A folder that is empty at the start is no reason to end, nor for the kubelet to end it: a probe is answered, and the
// server becomes ready once the folder is filled.
func TestReadyOnceTheFolderIs(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	s := start(t, dir, ca, nil)
	r := &readiness{addr: s.Addr(), certs: s.Certificates, conns: &connections{}}
	if err := r.check(t.Context()); err == nil || !strings.Contains(err.Error(), "no certificate: open ") {
		t.Errorf("empty folder: %v", err)
	}
	insecure := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a probe does not judge it either
	probe := &http.Client{Transport: &http.Transport{TLSClientConfig: insecure, DisableKeepAlives: true}}
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "not ready: no certificate: open "} {
		if _, body, _ := s.get(t, probe, path); !strings.HasPrefix(body, want) {
			t.Errorf("%s without a certificate: %q", path, body)
		}
	}
	volume(t, dir, ca.issue(t, time.Hour))
	c := s.client(t)
	eventually(t, "the server is ready", func() bool {
		resp, err := c.Get(s.url("/readyz"))
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode == 200
	})
}

// What answers at our address is not us: another certificate, or nobody who speaks TLS.
func TestReadinessSeesWhoAnswers(t *testing.T) {
	ca := newAuthority(t)
	stranger := start(t, ca.folder(t), ca, nil)
	mine, err := NewFolder(ca.folder(t), stranger.Log, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &readiness{addr: stranger.Addr(), certs: mine, conns: &connections{}}
	if err := r.check(t.Context()); err == nil || !strings.Contains(err.Error(), "is not the current one") {
		t.Errorf("another certificate: %v", err)
	}

	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = deaf.Addr()
	_ = deaf.Close()
	if err := r.check(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "TLS handshake with itself: ") {
		t.Errorf("nobody: %v", err)
	}
}
