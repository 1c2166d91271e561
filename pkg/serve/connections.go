package serve

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// connections are the server's open connections, of which there are at most max. It is safe for concurrent use.
//
// http.Server.Shutdown and SetKeepAlivesEnabled are of no use to it: both close idle connections at once, and a POST
// that the client has just put on one of them is lost.
type connections struct {
	stopping atomic.Bool // the server's clients are told to leave

	max     int
	log     logr.Logger
	held    prometheus.Gauge
	refused prometheus.Counter

	mu     sync.Mutex
	open   int
	silent list.List     // *conn, the oldest first: those that have carried no request
	none   chan struct{} // signalled when open falls to 0
	told   time.Time     // when a refusal was last logged
}

func newConnections(limit int, log logr.Logger) *connections {
	return &connections{
		max: limit, log: log, none: make(chan struct{}, 1),
		held: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensure_volumes_connections",
			Help: "Open connections to the HTTPS port.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ensure_volumes_connections_refused_total",
			Help: "Connections that were refused, or ended before they carried a request, because there were too many.",
		}),
	}
}

// enter takes a new connection in; nil: there is no room for it. It makes room by ending the connection that has been
// silent for longest, unless that is new itself. One that has carried a request is left alone.
func (c *connections) enter(raw net.Conn) *conn {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open >= c.max {
		c.refused.Inc()
		if now.Sub(c.told) > time.Minute { // a flood must not become a flood of lines
			c.log.Info("as many connections are open as may be: refusing others", "connections", c.open)
			c.told = now
		}
		oldest := c.silent.Front()
		if oldest == nil || now.Sub(oldest.Value.(*conn).opened) < silentGrace {
			return nil
		}
		victim := oldest.Value.(*conn)
		c.forget(victim)
		_ = victim.raw.Close() // wakes whoever waits for it to speak
	}
	n := &conn{raw: raw, home: c, opened: now}
	n.silent = c.silent.PushBack(n)
	c.open++
	c.held.Set(float64(c.open))
	return n
}

// state is an http.Server's ConnState hook: a request has come whole, but for its body.
func (c *connections) state(n net.Conn, state http.ConnState) {
	if state != http.StateActive {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.speaks(n.(*conn))
}

func (c *connections) speaks(n *conn) {
	if n.silent != nil {
		c.silent.Remove(n.silent)
		n.silent = nil
	}
}

// leave forgets a connection, once.
func (c *connections) leave(n *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(n)
}

func (c *connections) forget(n *conn) {
	if n.left {
		return
	}
	n.left = true
	c.speaks(n)
	c.open--
	c.held.Set(float64(c.open))
	if c.open == 0 {
		select {
		case c.none <- struct{}{}:
		default:
		}
	}
}

func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// wait returns true once no connection is open, false when limit comes first.
func (c *connections) wait(limit <-chan time.Time) bool {
	for c.count() > 0 {
		select {
		case <-c.none:
		case <-limit:
			return false
		}
	}
	return true
}
