package dockerproxy

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"

	moby "github.com/moby/moby/client"
)

// BenchmarkLook is a look for a volume, by the means that there are.
func BenchmarkLook(b *testing.B) {
	_, p := standInProxy(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(going("then", "then"))
	}, nil, "1.42")
	b.Run("moby", func(b *testing.B) {
		for b.Loop() {
			if _, err := p.engine.client.VolumeInspect(b.Context(), "data", moby.VolumeInspectOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, row := range []struct {
		name string
		http.RoundTripper
	}{{"transport", p.engine.transport}, {"exchanger", p.engine.exchanger}} {
		b.Run(row.name, func(b *testing.B) {
			for b.Loop() {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://engine/volumes/data", nil)
				if err != nil {
					b.Fatal(err)
				}
				response, err := row.RoundTrip(r)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					b.Fatal(err)
				}
				response.Body.Close()
			}
		})
	}
}

// BenchmarkPump is a stream that comes in pieces of 32 KiB, as the engine's do.
func BenchmarkPump(b *testing.B) {
	for _, row := range []struct {
		name string
		kind func(net.Conn) net.Conn
	}{{"spliced", func(c net.Conn) net.Conn { return c }}, {"copied", func(c net.Conn) net.Conn { return struct{ net.Conn }{c} }}} {
		b.Run(row.name, func(b *testing.B) {
			source, from := sockets(b)
			to, sink := sockets(b)
			for _, c := range []net.Conn{source, from, to, sink} {
				defer hangUp(c)
			}
			go func() {
				_, _, _ = pump(to, row.kind(from), nil) // its end is the benchmark's
				hangUp(to)
			}()
			piece := make([]byte, 32<<10)
			b.SetBytes(int64(len(piece)))
			done := make(chan struct{})
			go func() {
				defer close(done)
				// As a client that does not splice.
				_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{sink}, make([]byte, muchRoom))
			}()
			for b.Loop() {
				if _, err := source.Write(piece); err != nil {
					b.Fatal(err)
				}
			}
			hangUp(source)
			<-done
		})
	}
}
