package main

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/ensure-volumes/ensure-volumes/pkg/dockerproxy"
)

// counters are everything that /metrics shows.
type counters struct {
	proxy        *dockerproxy.Metrics
	reloadErrors prometheus.Counter
}

func newCounters(r prometheus.Registerer) (*counters, error) {
	proxy, err := dockerproxy.NewMetrics(r)
	c := &counters{proxy: proxy, reloadErrors: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ensure_volumes_configuration_reload_errors_total",
		Help: "Readings of the configuration (SIGHUP) that found a fault. The configuration before stays.",
	})}
	err = errors.Join(err, r.Register(c.reloadErrors), r.Register(collectors.NewGoCollector()),
		r.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})))
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return c, nil
}
