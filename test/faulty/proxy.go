package faulty

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Proxy is such a proxy. It is safe for concurrent use.
type Proxy struct {
	server  *httptest.Server
	forward *httputil.ReverseProxy

	mu      sync.Mutex
	fault   Fault
	percent int
	calls   int // under the present fault
	spoiled int // of these
	present context.Context
	change  context.CancelFunc // ends present
}

// Start starts a proxy in front of the API server of config, on a free port of 127.0.0.1, with HTTP/2 and a certificate
// of its own. Credentials are the clients'. It is stopped with Stop.
func Start(config *rest.Config) (*Proxy, error) {
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's address: %w", err)
	}
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(config))
	if err != nil {
		return nil, fmt.Errorf("preparing the way to the API server: %w", err)
	}
	quiet := log.New(io.Discard, "", 0) // that calls go wrong is what it is for
	p := &Proxy{forward: &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1, // a watch's events arrive one by one
		ErrorLog:      quiet,
	}}
	p.present, p.change = context.WithCancel(context.Background())
	p.server = httptest.NewUnstartedServer(p)
	p.server.EnableHTTP2 = true
	p.server.Config.ErrorLog = quiet
	p.server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connection{}, c)
	}
	p.server.StartTLS()
	return p, nil
}

// connection is the key of a request's connection in its context.
type connection struct{}

// Stop ends every call and the proxy.
func (p *Proxy) Stop() {
	p.Clear()
	p.server.CloseClientConnections()
	p.server.Close()
}

// Kubeconfig writes a kubeconfig that is another one, but leads through the proxy.
func (p *Proxy) Kubeconfig(path, like string) error {
	config, err := clientcmd.LoadFromFile(like)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	for _, cluster := range config.Clusters {
		cluster.Server = p.server.URL
		cluster.CertificateAuthorityData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	}
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return nil
}

// Set lets that share of the calls go wrong from now on, evenly spread. Whatever is in progress is cut, as by a server
// that goes wrong: watches too have to come through the fault, and what hung under an earlier one ends.
func (p *Proxy) Set(fault Fault, percent int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.change()
	p.present, p.change = context.WithCancel(context.Background())
	p.fault, p.percent, p.calls, p.spoiled = fault, percent, 0, 0
}

// Clear ends the fault.
func (p *Proxy) Clear() { p.Set("", 0) }

// Spoiled is how many calls have gone wrong since Set, and of how many.
func (p *Proxy) Spoiled() (spoiled, calls int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spoiled, p.calls
}

// fate decides what becomes of the next call; "": nothing. The call is to be cut when present ends.
func (p *Proxy) fate() (fault Fault, present context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.calls * p.percent / 100
	p.calls++
	if p.calls*p.percent/100 == before {
		return "", p.present
	}
	p.spoiled++
	return p.fault, p.present
}

// ServeHTTP takes one call.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault, present := p.fate()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(present, cancel)()
	switch fault {
	case TooManyRequests, InternalError:
		fault.refuse(w)
		return
	case Hang:
		<-ctx.Done()
		panic(http.ErrAbortHandler)
	case Reset:
		reset(r)
		panic(http.ErrAbortHandler)
	case Slow:
		select {
		case <-time.After(slowness):
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		}
	case Truncated:
		w = &truncating{ResponseWriter: w, left: truncateAfter, cut: func() { reset(r) }}
	}
	p.forward.ServeHTTP(w, r.WithContext(ctx))
}

// reset resets the connection of a request.
func reset(r *http.Request) {
	conn := r.Context().Value(connection{}).(*tls.Conn).NetConn()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
