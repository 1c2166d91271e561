package process

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"
)

// Poll calls try until it succeeds. It gives up when the limit has passed, ctx
// or over has ended, with the last error of a try that had its time: one that
// the end of ctx has cut short says nothing about what was waited for.
func Poll(ctx context.Context, limit time.Duration, over <-chan struct{}, try func() error, what string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := try()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-over:
			return fmt.Errorf("%s: %w", what, try())
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", what, context.Cause(ctx), last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// given are the ports that FreeAddress has found.
var given struct {
	sync.Mutex
	ports map[int]bool
}

// FreeAddress finds an address on this machine that nobody listens on, below
// the range that the kernel takes ports of outgoing connections from: those come
// and go between our look and the listener's. It finds none twice: who was given it
// may not listen yet, or not at the moment. It is safe for concurrent use.
func FreeAddress() (string, error) {
	const lowest, highest, attempts = 20000, 32000, 200
	given.Lock()
	defer given.Unlock()
	for range attempts {
		port := lowest + rand.IntN(highest-lowest)
		if given.ports[port] {
			continue
		}
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if given.ports == nil {
			given.ports = map[int]bool{}
		}
		given.ports[port] = true
		return listener.Addr().String(), listener.Close()
	}
	return "", fmt.Errorf("finding a free port on 127.0.0.1 between %d and %d: too many are taken", lowest, highest)
}
