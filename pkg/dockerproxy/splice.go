package dockerproxy

import (
	"cmp"
	"errors"
	"net"
	"syscall"
)

// spliceFlags are SPLICE_F_MOVE and SPLICE_F_NONBLOCK of splice(2).
const spliceFlags = 1 | 2

// splice is pump for a fast stream between two sockets: the kernel moves its pages
// from one to the other by way of a pipe, and nobody copies them. It is not possible
// where there is no pipe to be had, or a connection is of another kind; nothing has
// been moved then.
func splice(to, from net.Conn) (moved int64, reading, writing error, possible bool) {
	source, sink := raw(from), raw(to)
	var pipe [2]int
	if source == nil || sink == nil || syscall.Pipe2(pipe[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK) != nil {
		return 0, nil, nil, false
	}
	defer func() { _, _ = syscall.Close(pipe[0]), syscall.Close(pipe[1]) }() // what is left in it is for nobody
	for {
		held, err := move(source.Read, func(fd int) (int64, error) {
			return syscall.Splice(fd, nil, pipe[1], nil, muchRoom, spliceFlags)
		})
		switch {
		case moved == 0 && errors.Is(err, syscall.EINVAL):
			return 0, nil, nil, false
		case err != nil || held == 0:
			return moved, err, nil, true
		}
		for held > 0 {
			n, err := move(sink.Write, func(fd int) (int64, error) {
				return syscall.Splice(pipe[0], nil, fd, nil, int(held), spliceFlags)
			})
			if err != nil {
				return moved, nil, err, true
			}
			held, moved = held-n, moved+n
		}
	}
}

// raw gives access to a connection's socket, nil where it has none.
func raw(c net.Conn) syscall.RawConn {
	if conn, ok := c.(syscall.Conn); ok {
		if raw, err := conn.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// move splices once, as soon as the socket is ready for it.
func move(whenReady func(func(fd uintptr) (done bool)) error, splice func(fd int) (int64, error)) (n int64, err error) {
	waiting := whenReady(func(fd uintptr) bool {
		n, err = splice(int(fd))
		for errors.Is(err, syscall.EINTR) {
			n, err = splice(int(fd))
		}
		return !errors.Is(err, syscall.EAGAIN)
	})
	return max(n, 0), cmp.Or(waiting, err)
}
