package serve

import (
	"net/http"
	"sync/atomic"
)

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
