package serve

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// connections counts the server's open connections and, once it is stopping, tells every client to leave.
//
// http.Server.Shutdown and SetKeepAlivesEnabled are of no use here: both close idle connections at once, and a POST
// that the client has just put on one of them is lost.
type connections struct {
	stopping atomic.Bool

	mu   sync.Mutex
	open int
	none chan struct{} // signalled when open falls to 0
}

func newConnections() *connections {
	return &connections{none: make(chan struct{}, 1)}
}

// track is an http.Server's ConnState hook. The server calls it for a new connection before it accepts another.
func (c *connections) track(_ net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.open++
	case http.StateClosed, http.StateHijacked:
		c.open--
		if c.open == 0 {
			select {
			case c.none <- struct{}{}:
			default:
			}
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

// sayGoodbye adds "Connection: close" to every answer given while stopping, also to those whose request came before:
// the client then closes the connection and sends nothing more on it.
func (c *connections) sayGoodbye(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g := &goodbye{ResponseWriter: w, stopping: &c.stopping}
		next.ServeHTTP(g, r)
		g.say() // for a handler that wrote nothing; without effect once the header is out
	})
}

type goodbye struct {
	http.ResponseWriter
	stopping *atomic.Bool
}

func (g *goodbye) say() {
	if g.stopping.Load() {
		g.Header().Set("Connection", "close")
	}
}

// WriteHeader says goodbye before the header leaves.
func (g *goodbye) WriteHeader(code int) {
	g.say()
	g.ResponseWriter.WriteHeader(code)
}

// Write says goodbye where it is what sends the header.
func (g *goodbye) Write(p []byte) (int, error) {
	g.say()
	return g.ResponseWriter.Write(p)
}

// Unwrap lets an http.ResponseController reach the connection.
func (g *goodbye) Unwrap() http.ResponseWriter { return g.ResponseWriter }
