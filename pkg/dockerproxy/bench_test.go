package dockerproxy

import (
	"bytes"
	"encoding/json"
	"fmt"
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

// BenchmarkCreate is a create, through the companion to an engine that answers at once.
func BenchmarkCreate(b *testing.B) {
	socket, _ := standInProxy(b, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodGet {
			_ = json.NewEncoder(w).Encode(&volume{Name: "data", Driver: "local"})
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"Id":"1","Warnings":[]}`)
	}, nil, "1.42")
	for _, row := range []struct{ name, host string }{
		{"bare", `{"NetworkMode":"none"}`},
		{"existing", `{"NetworkMode":"none","Binds":["data:/d"]}`},
	} {
		b.Run(row.name, func(b *testing.B) {
			conn, err := net.Dial("unix", socket)
			if err != nil {
				b.Fatal(err)
			}
			defer hangUp(conn)
			body := `{"Image":"x","Cmd":["true"],"Labels":{"a":"b"},"HostConfig":` + row.host + `}`
			request := []byte(fmt.Sprintf("POST /v1.41/containers/create HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
			answer := make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				n, err := conn.Read(answer)
				if err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 201 ")) {
					b.Fatalf("%s, %v", answer[:n], err)
				}
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
