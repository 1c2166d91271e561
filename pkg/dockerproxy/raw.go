package dockerproxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// raw carries a request to which the engine may answer with a stream: a 101, or to
// clients that ask for no upgrade a 200 without a length, after which the
// connection is no HTTP any more in either direction. The engine looks only
// whether there is an Upgrade header at all, so no rule of HTTP's says which. Any
// other answer is passed on as such, and the connection to the engine is not used
// again.
func (p *Proxy) raw(w http.ResponseWriter, r *http.Request) {
	conn, err := p.dial(r)
	if err != nil {
		p.reverse.ErrorHandler(w, r, err)
		return
	}
	defer hangUp(conn)
	// A client that goes before the answer must not leave us waiting for it.
	stop := context.AfterFunc(r.Context(), func() { hangUp(conn) })
	out := r.Clone(r.Context())
	out.Close = r.Header.Get("Upgrade") == "" // the engine reads no second request from this connection
	out.Header.Del("Expect")                  // the client has been answered that
	response, buffered, err := exchange(conn, out)
	if err != nil {
		stop()
		p.reverse.ErrorHandler(w, r, err)
		return
	}
	defer response.Body.Close()
	streams := response.StatusCode == http.StatusSwitchingProtocols ||
		response.StatusCode == http.StatusOK && response.ContentLength < 0 && len(response.TransferEncoding) == 0
	if !streams {
		defer stop()
		p.passOn(w, response)
		return
	}
	// From here on half a connection may end without the other.
	stop()
	client, clientBuffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.reverse.ErrorHandler(w, r, err)
		return
	}
	defer hangUp(client)
	// As the engine writes it: neither a length nor chunks.
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/1.1 %s\r\n", response.Status)
	_ = response.Header.Write(&head) // a buffer takes it
	head.WriteString("\r\n")
	if _, err := client.Write(head.Bytes()); err != nil {
		return
	}
	join(client, clientBuffer.Reader, conn, buffered)
}

// dial is a connection of its own for a request.
func (p *Proxy) dial(r *http.Request) (*net.UnixConn, error) {
	conn, err := new(net.Dialer).DialContext(r.Context(), "unix", p.socket)
	if err != nil {
		return nil, err
	}
	unix, _ := conn.(*net.UnixConn) // of a Unix socket there is no other
	return unix, nil
}

func exchange(conn net.Conn, r *http.Request) (*http.Response, *bufio.Reader, error) {
	if err := r.Write(conn); err != nil {
		return nil, nil, err
	}
	buffered := bufio.NewReader(conn)
	response, err := http.ReadResponse(buffered, r)
	return response, buffered, err
}

// passOn writes an ordinary answer.
func (p *Proxy) passOn(w http.ResponseWriter, response *http.Response) {
	for key, values := range response.Header {
		if key != "Connection" {
			w.Header()[key] = values
		}
	}
	w.WriteHeader(response.StatusCode)
	if _, err := io.Copy(w, response.Body); err != nil {
		p.log.V(1).Info("an answer ended early", "reason", err.Error())
	}
}

// linger is how long a client is listened to once the engine has ended: closing
// at once could cost it the answer while it still sends. net/http's server waits as long.
const linger = 500 * time.Millisecond

// join copies both ways until the engine has ended, and returns how many bytes it
// has said. The client's end is passed on as the end of its direction only: `echo x
// | docker attach` waits for output. The readers hold what was read of the
// connections too early.
func join(client net.Conn, fromClient *bufio.Reader, engine *net.UnixConn, fromEngine *bufio.Reader) (said int64) {
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := pump(engine, client, fromClient); err == nil {
			_ = engine.CloseWrite() // fails only where it is closed already
			return
		}
		hangUp(engine) // the client is gone: nobody reads what the engine says
	})
	said, _ = pump(client, engine, fromEngine) // either end may go; there is nothing to say to it
	if half, ok := client.(interface{ CloseWrite() error }); ok && said > 0 {
		_ = half.CloseWrite()
	}
	_ = client.SetReadDeadline(time.Now().Add(linger)) // fails only where it is closed
	wg.Wait()
	return said
}

// A stream has little room until it fills it: most are idle, and a fast one costs
// the less the more of the socket's own buffer, 208 KiB, is read at once.
const (
	littleRoom = 8 << 10
	muchRoom   = 256 << 10
)

// pump copies what is in early, and then what comes from the connection itself,
// and returns how much that was. Through the reader it would come in pieces of 4 KiB.
func pump(to, from net.Conn, early *bufio.Reader) (copied int64, err error) {
	if copied, err = io.CopyN(to, early, int64(early.Buffered())); err != nil {
		return copied, err
	}
	room := make([]byte, littleRoom)
	for {
		n, readErr := from.Read(room)
		copied += int64(n)
		if n > 0 {
			if _, err := to.Write(room[:n]); err != nil {
				return copied, err
			}
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return copied, nil
		case readErr != nil:
			return copied, readErr
		case n == len(room) && n < muchRoom:
			room = make([]byte, muchRoom)
		}
	}
}

// hangUp closes a connection that nobody needs any more, perhaps once again.
func hangUp(c net.Conn) { _ = c.Close() }
