package reconcile

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what the safety net does and finds. A nil *Metrics counts
// nothing. What it finds is known to the leader alone; the others show 0.
type Metrics struct {
	leader, blocked, orphaned, foreign prometheus.Gauge
	made, drift, share, removed        prometheus.Counter
}

// NewMetrics registers them; docs/operations.md lists them.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		leader: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensure_volumes_safety_net_leader",
			Help: "1 where this replica acts as the safety net, 0 where another one does.",
		}),
		blocked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensure_volumes_safety_net_blocked_pods",
			Help: "Pending pods that the safety net cannot help; an Event on each says why.",
		}),
		orphaned: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensure_volumes_orphaned_claims",
			Help: "Claims that were created here, were never bound, and that no pod refers to.",
		}),
		foreign: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensure_volumes_foreign_claims",
			Help: "Claims that carry our label and were not created here: copies, or restored.",
		}),
		made: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensure_volumes_safety_net_claims_created_total",
			Help: "PersistentVolumeClaims created for pods that wait.",
		}),
		drift: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensure_volumes_claim_drifts_total",
			Help: "Hints of Pending pods that a claim which exists does not satisfy, each counted once for each change.",
		}),
		share: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensure_volumes_shared_claims_total",
			Help: "Claims that had a second user and do not go with their owner any more.",
		}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensure_volumes_orphaned_claims_deleted_total",
			Help: "Orphaned claims that were deleted.",
		}),
	}
	for _, c := range []prometheus.Collector{m.leader, m.blocked, m.orphaned, m.foreign, m.made, m.drift, m.share, m.removed} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) lead(is bool) {
	if m == nil {
		return
	}
	value := 0.0
	if is {
		value = 1
	}
	m.leader.Set(value)
}

func (m *Metrics) found(orphaned, foreign, blocked int) {
	if m != nil {
		m.orphaned.Set(float64(orphaned))
		m.foreign.Set(float64(foreign))
		m.blocked.Set(float64(blocked))
	}
}

func (m *Metrics) created(n int) {
	if m != nil {
		m.made.Add(float64(n))
	}
}

func (m *Metrics) drifted(n int) {
	if m != nil {
		m.drift.Add(float64(n))
	}
}

func (m *Metrics) shared() {
	if m != nil {
		m.share.Inc()
	}
}

func (m *Metrics) deleted() {
	if m != nil {
		m.removed.Inc()
	}
}
