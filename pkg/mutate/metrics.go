package mutate

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What became of a review.
const (
	outcomeAllowed = "allowed" // nothing had to be created
	outcomeCreated = "created"
	outcomeDenied  = "denied"
	outcomeRetry   = "retry"       // 503, the API server repeats it
	outcomeBad     = "bad_request" // no review that can be read
	outcomePanic   = "panic"
)

// Metrics count what the handler does. A nil *Metrics counts nothing.
type Metrics struct {
	duration *prometheus.HistogramVec
	claims   *prometheus.CounterVec
}

// NewMetrics registers the handler's metrics:
// ensure_volumes_admission_duration_seconds by outcome, and
// ensure_volumes_claims_created_total by dry_run.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ensure_volumes_admission_duration_seconds",
			Help: "Time from the first byte of a review to its answer, by outcome.",
			// A pod whose claims exist is answered in well under a millisecond.
			Buckets: []float64{.00005, .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30},
		}, []string{"outcome"}),
		claims: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensure_volumes_claims_created_total",
			Help: "PersistentVolumeClaims created at admission; dry_run=\"true\": judged by the API server, not written.",
		}, []string{"dry_run"}),
	}
	for _, c := range []prometheus.Collector{m.duration, m.claims} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	// Series exist from the start, so that a rate over them is right from the first event on.
	for _, o := range []string{outcomeAllowed, outcomeCreated, outcomeDenied, outcomeRetry, outcomeBad, outcomePanic} {
		m.duration.WithLabelValues(o)
	}
	m.created(0, false)
	m.created(0, true)
	return m, nil
}

func (m *Metrics) observe(outcome string, d time.Duration) {
	if m != nil {
		m.duration.WithLabelValues(outcome).Observe(d.Seconds())
	}
}

func (m *Metrics) created(n int, dryRun bool) {
	if m != nil {
		m.claims.WithLabelValues(strconv.FormatBool(dryRun)).Add(float64(n))
	}
}
