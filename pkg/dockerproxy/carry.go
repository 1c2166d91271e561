package dockerproxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
)

// carry gives a request a connection to the engine of its own, on which all that
// comes after the head is bytes, either way: what attach and exec speak, which after
// the answer's head is no HTTP any more (a 101, or for clients that ask for no
// upgrade a 200 without a length), and large answers, which cost less where nobody
// reads their framing. Nothing is served on the two connections after
// it: no request can stand behind the bytes.
func (p *Proxy) carry(w http.ResponseWriter, r *http.Request) {
	dialed, err := new(net.Dialer).DialContext(r.Context(), "unix", p.socket)
	if err != nil {
		p.unanswered(w, r, err)
		return
	}
	defer hangUp(dialed)
	engine, _ := dialed.(*net.UnixConn) // of a Unix socket there is no other
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.unanswered(w, r, err)
		return
	}
	defer hangUp(client)
	_, err = engine.Write(head(r))
	if err == nil && join(client, buffered.Reader, engine, p.linger) == 0 {
		err = io.ErrUnexpectedEOF // the engine ended before its answer
	}
	if err != nil {
		p.unanswered(&bareAnswer{Writer: client}, r, err)
	}
}

// head is the request's head, as it came but for Connection: the engine shall read
// no second request. Whether it may answer with a stream it sees by the Upgrade
// header alone.
func head(r *http.Request) []byte {
	var b bytes.Buffer
	connection := "close"
	if r.Header.Get("Upgrade") != "" {
		connection = "Upgrade, close"
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n", r.Method, r.URL.RequestURI(), r.Host, connection)
	if len(r.TransferEncoding) > 0 { // of which net/http takes no other
		b.WriteString("Transfer-Encoding: chunked\r\n")
	}
	_ = r.Header.WriteSubset(&b, map[string]bool{"Connection": true}) // a buffer takes it
	b.WriteString("\r\n")
	return b.Bytes()
}

// bareAnswer writes an answer to a connection that net/http has given away.
type bareAnswer struct {
	io.Writer
	header http.Header
}

// Header is what the answer's head will have.
func (a *bareAnswer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{"Connection": {"close"}}
	}
	return a.header
}

// WriteHeader writes the head. The body follows to the end of the connection.
func (a *bareAnswer) WriteHeader(code int) {
	fmt.Fprintf(a.Writer, "HTTP/1.1 %d %s\r\n", code, http.StatusText(code))
	_ = a.Header().Write(a.Writer) // to a client that may be gone
	_, _ = io.WriteString(a.Writer, "\r\n")
}

// isBulk reports whether a request that would pass unchanged is answered by a body
// that may be large, and has none itself. One that has stays with net/http: the
// engine, told that it is the connection's last request, answers before it has read
// the body, and clients say so.
func isBulk(r *http.Request, parts []string) bool {
	if r.Method != http.MethodGet || r.ContentLength != 0 || !r.ProtoAtLeast(1, 1) || r.Header.Get("Upgrade") != "" {
		return false
	}
	last := len(parts) - 1
	return last >= 2 && parts[0] == "containers" && (parts[last] == "archive" || parts[last] == "export") ||
		last >= 1 && parts[0] == "images" && parts[last] == "get"
}
