package authority

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	admissionclient "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
)

const (
	settleAtMost   = 5 * time.Minute
	intervalAtMost = 10 * time.Second
	rewatchAfter   = time.Second
	pauseAtMost    = 500 * time.Millisecond
)

// Config says where the certificates are kept and how long they live. All of it is needed.
type Config struct {
	// Secrets is the client of the namespace that Secret, a name, is or will be in.
	Secrets coreclient.SecretInterface
	Secret  string

	// Configurations is the client for Configuration, the name of a MutatingWebhookConfiguration all of whose entries
	// are this webhook's.
	Configurations admissionclient.MutatingWebhookConfigurationInterface
	Configuration  string

	// CALifetime is at least three times LeafLifetime, which is at least a second.
	CALifetime, LeafLifetime time.Duration

	// Log gets changes of state. The zero value logs nothing.
	Log logr.Logger

	// Metrics gets the gauges ensure_volumes_certificate_expiry_timestamp_seconds and
	// ensure_volumes_certificate_authority_expiry_timestamp_seconds and the counter
	// ensure_volumes_certificate_authority_errors_total; nil: none.
	Metrics prometheus.Registerer
}

// Authority keeps one replica's serving certificate; see the package's documentation. It is safe for concurrent use.
type Authority struct {
	Config
	rules
	now                    func() time.Time
	leafExpiry, authExpiry prometheus.Gauge
	errors                 prometheus.Counter

	// Only Run's.
	seen    sightings
	live    live
	failure error

	mu      sync.RWMutex
	leaf    *leaf
	refused error
}

// New prepares an authority. It asks nobody for anything: that begins with Run.
func New(config Config) (*Authority, error) {
	if config.LeafLifetime < time.Second || config.CALifetime < 3*config.LeafLifetime {
		return nil, fmt.Errorf("a leaf certificate's lifetime of %s and an authority's of %s do not fit; "+
			"a leaf's is 1s or more, an authority's three times that or more", config.LeafLifetime, config.CALifetime)
	}
	a := &Authority{
		Config: config,
		rules: rules{
			caLifetime: config.CALifetime, leafLifetime: config.LeafLifetime,
			settle: min(settleAtMost, config.LeafLifetime/10),
		},
		now: time.Now,
		leafExpiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensure_volumes_certificate_expiry_timestamp_seconds",
			Help: "When the serving certificate expires, in seconds since 1970; 0 without one.",
		}),
		authExpiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensure_volumes_certificate_authority_expiry_timestamp_seconds",
			Help: "When the authority that signs serving certificates expires, in seconds since 1970; 0 without one.",
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensure_volumes_certificate_authority_errors_total",
			Help: "Looks at the authority's Secret and the webhook configuration that ended in an error. It grows for as long as the fault is there.",
		}),
		leaf:    &leaf{},
		refused: errors.New("there is no certificate yet; waiting for the API server"),
	}
	if config.Metrics != nil {
		if err := errors.Join(config.Metrics.Register(a.leafExpiry), config.Metrics.Register(a.authExpiry), config.Metrics.Register(a.errors)); err != nil {
			return nil, fmt.Errorf("registering the certificates' metrics: %w", err)
		}
	}
	return a, nil
}

// Serving is the certificate to serve now, nil before there is one, and why API servers would refuse it, as of the last
// look, which is at most ten seconds old while the API server answers.
func (a *Authority) Serving() (cert *tls.Certificate, refused error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.leaf.issuer == nil {
		return nil, a.refused
	}
	return &a.leaf.tls, a.refused
}

// Run keeps the authority and the certificate as they should be until ctx ends. It is called once.
func (a *Authority) Run(ctx context.Context) {
	changed := make(chan struct{}, 1)
	var watches sync.WaitGroup
	defer watches.Wait()
	watches.Go(func() { a.follow(ctx, a.Secret, a.Secrets.Watch, changed) })
	watches.Go(func() { a.follow(ctx, a.Configuration, a.Configurations.Watch, changed) })
	ticker := time.NewTicker(min(intervalAtMost, a.leafLifetime/20))
	defer ticker.Stop()
	for {
		err := a.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		a.report(err)
		// Somebody may take back whatever we write, such as a replica whose clock is hours off: not as fast as both can.
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(pauseAtMost, a.leafLifetime/100)):
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-ticker.C:
		}
	}
}

// report says an error once, and that it is over.
func (a *Authority) report(err error) {
	if err != nil {
		a.errors.Inc()
		if a.failure == nil || a.failure.Error() != err.Error() {
			a.Log.Error(err, "keeping the certificate authority")
		}
	} else if a.failure != nil {
		a.Log.Info("the certificate authority is in order again")
	}
	a.failure = err
}

// follow signals changed whenever the object of that name may have changed. It needs no list: what a watch may miss
// while it is down, the next look finds.
func (a *Authority) follow(ctx context.Context, name string, open func(context.Context, metav1.ListOptions) (watch.Interface, error), changed chan<- struct{}) {
	only := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()}
	said := ""
	for ctx.Err() == nil {
		w, err := open(ctx, only)
		switch {
		case err == nil:
			release := context.AfterFunc(ctx, w.Stop)
			for range w.ResultChan() {
				select {
				case changed <- struct{}{}:
				default:
				}
			}
			release()
			w.Stop()
			said = ""
		case ctx.Err() == nil && err.Error() != said:
			said = err.Error()
			a.Log.Error(err, "watching what the certificates depend on; looking at intervals instead", "name", name)
		}
		select {
		case <-ctx.Done():
		case <-time.After(rewatchAfter):
		}
	}
}
