package dockerproxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// linger is how long the two are still heard and served once the engine has ended:
// closing at once could cost the client the answer while it still sends. net/http's
// server waits as long.
const linger = 500 * time.Millisecond

// join copies both ways until the engine has ended, and returns how many bytes it
// has said. The client's end is passed on as the end of its direction only: `echo x
// | docker attach` waits for output. The reader holds what was read of the client
// too early.
func join(client net.Conn, fromClient *bufio.Reader, engine *net.UnixConn, linger time.Duration) (said int64) {
	var wg sync.WaitGroup
	wg.Go(func() {
		_, gone, refused := pump(engine, client, fromClient)
		switch {
		case gone == nil && refused == nil:
			_ = engine.CloseWrite() // fails only where it is closed already
		case refused != nil:
			// The engine takes no more, and what it has said is not all read yet. What
			// the client sends is for nobody, but its end must be noticed.
			_, gone = io.Copy(io.Discard, client)
		}
		if gone != nil {
			hangUp(engine) // nobody reads what it says
		}
	})
	said, _, _ = pump(client, engine, nil) // either may go; there is nothing to say to it
	half, ok := client.(interface{ CloseWrite() error })
	switch {
	case said == 0:
		linger = 0 // there was no answer, and ours is due
	case ok:
		_ = half.CloseWrite() // without it a client that waits for the end would wait for us
	}
	until := time.Now().Add(linger)
	_, _ = client.SetReadDeadline(until), engine.SetWriteDeadline(until) // fail only where it is closed
	wg.Wait()
	return said
}

// A stream has little room until it fills it: most are idle. The kernel moves a fast
// one, the more the better of the socket's own buffer, 208 KiB, at once.
const (
	littleRoom = 8 << 10
	muchRoom   = 256 << 10
)

// pump copies what is in early, which may be nil, and then what comes from the
// connection itself, until that ends, and returns how much that was, and what kept
// it from reading or from writing on.
func pump(to, from net.Conn, early *bufio.Reader) (copied int64, reading, writing error) {
	room := make([]byte, littleRoom)
	for {
		source := io.Reader(from)
		if early != nil && early.Buffered() > 0 {
			source = early
		}
		n, err := source.Read(room)
		copied += int64(n)
		if n > 0 {
			if _, err := to.Write(room[:n]); err != nil {
				return copied, nil, err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return copied, nil, nil
		case err != nil:
			return copied, err, nil
		case n == littleRoom && source == from:
			if moved, reading, writing, possible := splice(to, from); possible {
				return copied + moved, reading, writing
			}
			room = make([]byte, muchRoom)
		}
	}
}

// hangUp closes a connection that nobody needs any more, perhaps once again.
func hangUp(c net.Conn) { _ = c.Close() }
