package dockerproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// bulk carries one request, and its answer, whose body may be large: the head is
// written anew, and what follows goes both ways as the bytes it is, framing
// included, without being read. The connections serve nothing after it, so that no
// request can stand behind the body.
func (p *Proxy) bulk(w http.ResponseWriter, r *http.Request) {
	conn, err := p.dial(r)
	if err != nil {
		p.reverse.ErrorHandler(w, r, err)
		return
	}
	defer hangUp(conn)
	client, clientBuffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.reverse.ErrorHandler(w, r, err)
		return
	}
	defer hangUp(client)
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", r.Method, r.URL.RequestURI(), r.Host)
	if len(r.TransferEncoding) > 0 { // of which net/http takes no other
		head.WriteString("Transfer-Encoding: chunked\r\n")
	}
	_ = r.Header.WriteSubset(&head, map[string]bool{"Connection": true}) // a buffer takes it
	head.WriteString("\r\n")
	_, err = conn.Write(head.Bytes())
	if err == nil && join(client, clientBuffer.Reader, conn, bufio.NewReader(conn)) == 0 {
		err = io.ErrUnexpectedEOF // the engine ended before its answer
	}
	if err != nil {
		p.reverse.ErrorHandler(&bareAnswer{Writer: client}, r, err)
	}
}

// bareAnswer writes an answer to a connection that net/http has given away.
type bareAnswer struct {
	io.Writer
	header http.Header
}

func (a *bareAnswer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{"Connection": {"close"}}
	}
	return a.header
}

func (a *bareAnswer) WriteHeader(code int) {
	fmt.Fprintf(a.Writer, "HTTP/1.1 %d %s\r\n", code, http.StatusText(code))
	_ = a.Header().Write(a.Writer) // to a client that may be gone
	_, _ = io.WriteString(a.Writer, "\r\n")
}

// isBulk reports whether a request that would pass unchanged may carry a large
// body, in either direction, and is plain enough to be carried by bulk.
func isBulk(r *http.Request, parts []string) bool {
	if !r.ProtoAtLeast(1, 1) || r.Header.Get("Upgrade") != "" || len(r.Trailer) > 0 {
		return false
	}
	last := len(parts) - 1
	container, image := last >= 2 && parts[0] == "containers", last >= 1 && parts[0] == "images"
	switch r.Method {
	case http.MethodGet:
		return container && (parts[last] == "archive" || parts[last] == "export") || image && parts[last] == "get"
	case http.MethodPut:
		return container && parts[last] == "archive"
	case http.MethodPost:
		return last == 0 && parts[0] == "build" || image && last == 1 && parts[1] == "load"
	}
	return false
}
