package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// The numbers by which the engine tells a stream's output apart.
const (
	stdout = 1
	stderr = 2
)

// stream is a connection on which a command speaks.
type stream struct {
	conn net.Conn
	from *bufio.Reader
	left uint32 // of the frame under way
	kind byte
}

// output counts from the command's first byte, so that its start does not, to
// the end of the stream.
func (b *bench) output(upgrade bool, mib int64) func(context.Context, *arm) (time.Duration, error) {
	command := fmt.Sprintf("echo; exec busybox dd if=/dev/zero bs=1M count=%d 2>/dev/null", mib)
	return func(ctx context.Context, a *arm) (time.Duration, error) {
		s, err := b.exec(ctx, a, upgrade, command)
		if err != nil {
			return 0, err
		}
		defer s.close()
		begin := time.Now()
		got, said, err := s.rest()
		took := time.Since(begin)
		if err == nil && got != mib<<20 {
			err = fmt.Errorf("%d bytes came of %d MiB; %s", got, mib, said)
		}
		return took, err
	}
}

// input counts from the first byte sent to the end of the command, which has
// then read all of it and says so.
func (b *bench) input(upgrade bool, mib int64) func(context.Context, *arm) (time.Duration, error) {
	return func(ctx context.Context, a *arm) (time.Duration, error) {
		s, err := b.exec(ctx, a, upgrade, "echo; exec busybox dd of=/dev/null bs=1M iflag=fullblock")
		if err != nil {
			return 0, err
		}
		defer s.close()
		half, ok := s.conn.(interface{ CloseWrite() error })
		if !ok {
			return 0, errors.New("the connection cannot end by half")
		}
		block := make([]byte, 1<<20)
		begin := time.Now()
		for range mib {
			if _, err := s.conn.Write(block); err != nil {
				return 0, err
			}
		}
		if err := half.CloseWrite(); err != nil {
			return 0, err
		}
		_, said, err := s.rest()
		took := time.Since(begin)
		if want := fmt.Sprintf("%d+0 records in", mib); err == nil && !bytes.Contains(said, []byte(want)) {
			err = fmt.Errorf("the command does not speak of %s: %s", want, said)
		}
		return took, err
	}
}

// close ends a stream of which nothing more is wanted, perhaps once again.
func (s *stream) close() { _ = s.conn.Close() }

// exec runs a command in the sleeping container and returns once it has written
// its first line, which is empty.
func (b *bench) exec(ctx context.Context, a *arm, upgrade bool, command string) (*stream, error) {
	var made struct{ ID string }
	ask := map[string]any{"AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Cmd": []string{"sh", "-c", command}}
	if _, err := b.direct.call(ctx, "POST", "/containers/"+b.box+"/exec", ask, &made); err != nil {
		return nil, err
	}
	conn, err := dial(ctx, a.socket)
	if err != nil {
		return nil, err
	}
	opened := &stream{conn: conn, from: bufio.NewReaderSize(conn, 256<<10)}
	// Closing is what ends a read when the run is interrupted.
	context.AfterFunc(ctx, opened.close)
	if err := opened.begin(ctx, a, made.ID, upgrade); err != nil {
		opened.close()
		return nil, err
	}
	return opened, nil
}

// begin starts a prepared exec and reads up to its first line.
func (s *stream) begin(ctx context.Context, a *arm, exec string, upgrade bool) error {
	body, err := json.Marshal(map[string]bool{"Detach": false, "Tty": false})
	if err != nil {
		return err
	}
	request, err := a.request(ctx, "POST", "/exec/"+exec+"/start", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	want := http.StatusOK
	if upgrade {
		request.Header.Set("Connection", "Upgrade")
		request.Header.Set("Upgrade", "tcp")
		want = http.StatusSwitchingProtocols
	}
	if err := request.Write(s.conn); err != nil {
		return err
	}
	response, err := http.ReadResponse(s.from, request) //nolint:bodyclose // what follows is the stream, which is closed
	if err != nil {
		return err
	}
	if response.StatusCode != want {
		return fmt.Errorf("starting a command: %s", response.Status)
	}
	if err := s.frame(); err != nil {
		return fmt.Errorf("waiting for the command: %w", err)
	}
	first, err := s.from.ReadByte()
	s.left--
	if err == nil && (s.kind != stdout || first != '\n') {
		err = fmt.Errorf("stream %d of the command begins with %q", s.kind, first)
	}
	return err
}

// frame reads the head of the next frame; io.EOF where there is none.
func (s *stream) frame() error {
	var head [8]byte
	if _, err := io.ReadFull(s.from, head[:]); err != nil {
		return err
	}
	s.kind, s.left = head[0], binary.BigEndian.Uint32(head[4:])
	return nil
}

// rest reads to the end: how much came on the output, and what was said beside it.
func (s *stream) rest() (out int64, said []byte, err error) {
	for {
		switch s.kind {
		case stderr:
			text := make([]byte, s.left)
			if _, err := io.ReadFull(s.from, text); err != nil {
				return out, said, err
			}
			said = append(said, text...)
		default:
			n, err := s.from.Discard(int(s.left))
			out += int64(n)
			if err != nil {
				return out, said, err
			}
		}
		if err := s.frame(); errors.Is(err, io.EOF) {
			return out, said, nil
		} else if err != nil {
			return out, said, err
		}
	}
}
