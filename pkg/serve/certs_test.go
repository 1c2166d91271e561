package serve

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
)

// Old and new alternate 200 times while clients connect: no handshake fails, and every version is seen in time.
func TestReloadWithoutAFailedHandshake(t *testing.T) {
	ca := newAuthority(t)
	dir := ca.folder(t)
	s := start(t, dir, ca, nil)

	var stop atomic.Bool
	var handshakes atomic.Int64
	var latest atomic.Pointer[string]
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				conn, err := tls.Dial("tcp", s.Addr().String(), ca.client())
				if err != nil {
					t.Errorf("handshake: %v", err)
					return
				}
				serial := conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
				latest.Store(&serial)
				handshakes.Add(1)
				_ = conn.Close()
			}
		})
	}
	versions := [...]files{ca.issue(t, time.Hour), ca.issue(t, 2*time.Hour)}
	for i := range 200 {
		volume(t, dir, versions[i%2])
		if i%20 == 19 {
			want := versions[i%2].leaf(t).SerialNumber.String()
			eventually(t, "a client sees the new certificate", func() bool {
				got := latest.Load()
				return t.Failed() || got != nil && *got == want
			})
		}
	}
	stop.Store(true)
	clients.Wait()
	t.Logf("%d handshakes", handshakes.Load())
}

// One folder, one step after another: what is served, what is said about it, and that each fault is logged once.
func TestReload(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	first, second := ca.issue(t, time.Hour), ca.issue(t, 30*time.Minute)
	expired, older := ca.issue(t, -time.Minute), ca.issue(t, -time.Hour)
	future := ca.issueFrom(t, 30*time.Minute, 45*time.Minute)

	for _, test := range []struct {
		name  string
		steps []files // each replaces the one before it
		serve files   // nil: nothing
		fault string  // "": none
	}{
		{name: "nothing there", steps: []files{{}}, fault: "tls.crt: no such file"},
		{name: "one after the other", steps: []files{first, second}, serve: second},
		{name: "without ca.crt", steps: []files{first.with("ca.crt", nil)}, serve: first},
		{name: "empty ca.crt", steps: []files{first.with("ca.crt", []byte("\n"))}, serve: first},
		{name: "ca.crt of nothing", steps: []files{first, second.with("ca.crt", []byte("x"))}, serve: first, fault: "ca.crt: holds no certificate"},
		{name: "half written", steps: []files{first, second.with("tls.crt", second["tls.crt"][:200])}, serve: first, fault: "tls.crt and tls.key: "},
		{name: "half there", steps: []files{first, second.with("tls.key", nil)}, serve: first, fault: "tls.key: no such file"},
		{name: "mismatched", steps: []files{first, second.with("tls.key", first["tls.key"])}, serve: first, fault: "private key does not match"},
		{name: "right again", steps: []files{first, {}, second}, serve: second},
		{name: "expired, nothing better", steps: []files{expired}, serve: expired, fault: "tls.crt: expired at 20"},
		{name: "expired, better there", steps: []files{first, expired}, serve: first, fault: "tls.crt: expired at 20"},
		{name: "expired after expired", steps: []files{older, expired}, serve: expired, fault: "tls.crt: expired at 20"},
		{name: "good after expired", steps: []files{expired, first}, serve: first},
		{name: "not yet valid", steps: []files{first, future}, serve: first, fault: "tls.crt: not valid before 20"},
		{name: "of another authority", steps: []files{first, second.with("ca.crt", other.pem)}, serve: first, fault: "not signed by an authority in ca.crt"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, lines := t.TempDir(), []string{}
			log := funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{})
			metrics := prometheus.NewRegistry()
			c, err := NewFolder(dir, log, metrics)
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range test.steps {
				volume(t, dir, step)
				c.reload(time.Now())
			}
			_, counted := values(t, metrics)
			logged := len(lines)
			for range 3 {
				c.reload(time.Now())
			}
			if len(lines) != logged {
				t.Errorf("said again without a change: %q", lines[logged:])
			}
			expiry, faults := values(t, metrics)
			if got := faults - counted; got == 3 != (test.fault != "") {
				t.Errorf("3 more readings count %v faults", got)
			}
			if test.fault == "" && c.fault != nil || test.fault != "" && (c.fault == nil || !strings.Contains(c.fault.Error(), test.fault)) {
				t.Errorf("fault: %v, want %q", c.fault, test.fault)
			}
			cert, refused := c.Serving()
			if test.serve == nil {
				if cert != nil || refused == nil || expiry != 0 {
					t.Errorf("serving: %v; expiry %v", refused, expiry)
				}
				return
			}
			if cert == nil {
				t.Fatal(refused)
			}
			want := test.serve.leaf(t)
			if cert.Leaf.SerialNumber.Cmp(want.SerialNumber) != 0 || expiry != float64(want.NotAfter.Unix()) {
				t.Errorf("serving %v until %v, want %v until %v", cert.Leaf.SerialNumber, expiry, want.SerialNumber, want.NotAfter.Unix())
			}
		})
	}
}

// A certificate that was put there early is served once its time comes, and one that expires is told apart from then on.
func TestReloadAsTimePasses(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	c, err := NewFolder(dir, logr.Discard(), nil)
	if err != nil {
		t.Fatal(err)
	}
	first, future := ca.issue(t, 10*time.Minute), ca.issueFrom(t, 20*time.Minute, 40*time.Minute)
	for _, step := range []struct {
		in    files
		after time.Duration
		serve files
		fault string
	}{
		{first, 0, first, ""},
		{future, time.Minute, first, "not valid before"},
		{future, 25 * time.Minute, future, ""},
		{future, 45 * time.Minute, future, "expired at"},
	} {
		volume(t, dir, step.in)
		c.reload(time.Now().Add(step.after))
		if got, want := c.current.cert.Leaf.SerialNumber, step.serve.leaf(t).SerialNumber; got.Cmp(want) != 0 {
			t.Errorf("after %s: serving %v, want %v", step.after, got, want)
		}
		if (c.fault == nil) != (step.fault == "") || c.fault != nil && !strings.Contains(c.fault.Error(), step.fault) {
			t.Errorf("after %s: fault %v, want %q", step.after, c.fault, step.fault)
		}
	}
}

// Not a Secret volume: plain files, one written after the other.
func TestReloadPlainFiles(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	c, err := NewFolder(dir, logr.Discard(), nil)
	if err != nil {
		t.Fatal(err)
	}
	first, second := ca.issue(t, time.Hour), ca.issue(t, time.Hour)
	write := func(version files, names ...string) {
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, name), version[name], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c.reload(time.Now())
	}
	write(first, "tls.crt", "tls.key")
	write(second, "tls.crt")
	if c.current.cert.Leaf.SerialNumber.Cmp(first.leaf(t).SerialNumber) != 0 || c.fault == nil {
		t.Errorf("half way: fault %v", c.fault)
	}
	write(second, "tls.key")
	if c.current.cert.Leaf.SerialNumber.Cmp(second.leaf(t).SerialNumber) != 0 || c.fault != nil {
		t.Errorf("at the end: fault %v", c.fault)
	}
}

// values are the two metrics, read from the registry under the names that the Server documents.
func values(t *testing.T, metrics *prometheus.Registry) (expiry, faults float64) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil || len(families) != 2 {
		t.Fatalf("%d metrics, want 2: %v", len(families), err)
	}
	for _, family := range families {
		switch m := family.GetMetric()[0]; family.GetName() {
		case "ensure_volumes_certificate_expiry_timestamp_seconds":
			expiry = m.GetGauge().GetValue()
		case "ensure_volumes_certificate_reload_errors_total":
			faults = m.GetCounter().GetValue()
		default:
			t.Errorf("unexpected metric %s", family.GetName())
		}
	}
	return expiry, faults
}
