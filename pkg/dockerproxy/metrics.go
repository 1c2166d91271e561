package dockerproxy

import "github.com/prometheus/client_golang/prometheus"

// What became of a container create.
const (
	outcomeUnchanged = "unchanged" // the engine made it, and it names no volumes
	outcomeEnsured   = "ensured"   // the engine made it, with its named volumes
	outcomeRefused   = "refused"   // by us
	outcomeFailed    = "failed"    // at the engine, or on the way there
)

// Metrics count what the companion does. A nil *Metrics counts nothing.
type Metrics struct {
	creates                *prometheus.CounterVec
	created, left, removed prometheus.Counter
}

// NewMetrics registers the companion's metrics:
// ensure_volumes_container_creates_total by outcome, and
// ensure_volumes_volumes_created_total, ensure_volumes_volumes_left_total and
// ensure_volumes_volumes_removed_total.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		creates: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensure_volumes_container_creates_total",
			Help: "Requests to create a container, by outcome.",
		}, []string{"outcome"}),
		created: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensure_volumes_volumes_created_total",
			Help: "Named volumes that came into being with a class or labels of the companion's.",
		}),
		left: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensure_volumes_volumes_left_total",
			Help: "Named volumes that were created for a container whose own creation then failed. They are kept.",
		}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensure_volumes_volumes_removed_total",
			Help: "Named volumes removed with their last container.",
		}),
	}
	for _, c := range []prometheus.Collector{m.creates, m.created, m.left, m.removed} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	// Series exist from the start, so that a rate over them is right from the first event on.
	for _, o := range []string{outcomeUnchanged, outcomeEnsured, outcomeRefused, outcomeFailed} {
		m.creates.WithLabelValues(o)
	}
	return m, nil
}

func (m *Metrics) create(outcome string) {
	if m != nil {
		m.creates.WithLabelValues(outcome).Inc()
	}
}

func (m *Metrics) volumeCreated() {
	if m != nil {
		m.created.Inc()
	}
}

func (m *Metrics) volumeLeft() {
	if m != nil {
		m.left.Inc()
	}
}

func (m *Metrics) volumeRemoved() {
	if m != nil {
		m.removed.Inc()
	}
}
