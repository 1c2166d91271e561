package docker

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// prepare makes an exec in a container and returns its id.
func prepare(t *testing.T, container, command string) string {
	t.Helper()
	code, said := post(t, shared.Socket, "/containers/"+container+"/exec",
		`{"AttachStdin":true,"AttachStdout":true,"Cmd":["sh","-c","`+command+`"]}`)
	_, id, _ := strings.Cut(said, `"Id":"`)
	id, _, found := strings.Cut(id, `"`)
	if code != 201 || !found {
		t.Fatalf("%d %s", code, said)
	}
	return id
}

// TestGoneTransfers: nothing is left of clients that go in the middle of a large
// body, that never close after one, or that still send to a program that has ended.
func TestGoneTransfers(t *testing.T) {
	c := start(t)
	id, _ := c.create(t, image, "sleep", "1000")
	c.must(t, "start", id)
	files, goroutines := c.metric(t, "process_open_fds"), c.metric(t, "go_goroutines")
	for range 5 {
		conn, _ := exchange(t, c.Socket, "GET /containers/"+id+"/export HTTP/1.1\r\nHost: x\r\n\r\n")
		conn.Close()
		conn = dial(t, c.Socket)
		fmt.Fprintf(conn, "PUT /containers/%s/archive?path=/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbeginning", id)
		conn.Close()
		kept, response := exchange(t, c.Socket, "GET /containers/"+id+"/archive?path=/etc HTTP/1.1\r\nHost: x\r\n\r\n")
		defer kept.Close() // not before its connections to the engine are gone
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		flooding, response := send(t, c.Socket, "/exec/"+prepare(t, id, "echo x")+"/start", `{"Detach":false}`)
		flooded := make(chan struct{})
		go func() {
			defer close(flooded)
			for block := make([]byte, 64<<10); ; {
				if _, err := flooding.Write(block); err != nil {
					return
				}
			}
		}()
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		flooding.Close()
		<-flooded
	}
	// One connection is idle: that of the metrics.
	waitFor(t, "the companion closes what it opened", func() bool { return c.metric(t, "process_open_fds") <= files+1 })
	waitFor(t, "the companion's goroutines end", func() bool { return c.metric(t, "go_goroutines") <= goroutines+2 })
}

// TestEndlessBody: attach is answered before its body has ended.
func TestEndlessBody(t *testing.T) {
	c := start(t)
	id, _ := c.create(t, "-i", image, "sh", "-c", "echo ready; exec sleep 1000")
	c.must(t, "start", id)
	for _, upgrade := range []string{"", "Connection: Upgrade\r\nUpgrade: tcp\r\n"} {
		for _, socket := range []string{shared.Socket, c.Socket} {
			conn, response := exchange(t, socket, "POST /containers/"+id+"/attach?stream=1&logs=1&stdout=1 HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n"+upgrade+"\r\n")
			if want := map[bool]int{true: 101, false: 200}[upgrade != ""]; response.StatusCode != want {
				t.Errorf("%q: %s", upgrade, response.Status)
			}
			said := make([]byte, len("12345678ready"))
			if _, err := io.ReadFull(conn.buffered, said); err != nil || !bytes.HasSuffix(said, []byte("ready")) {
				t.Errorf("%q: %q, %v", upgrade, said, err)
			}
			conn.Close()
		}
	}
}

// TestDrain: what is under way when the companion is told to end comes to its end,
// and the companion ends soon after.
func TestDrain(t *testing.T) {
	const size = 30_000_000
	c := start(t)
	id, _ := c.create(t, image, "sh", "-c", fmt.Sprintf("busybox head -c %d /dev/zero >/large; exec sleep 1000", size))
	c.must(t, "start", id)
	waitFor(t, "the file is written", func() bool {
		out, _, _ := docker(t, shared.Socket, "", "exec", id, "busybox", "wc", "-c", "/large")
		return strings.HasPrefix(out, fmt.Sprint(size))
	})
	other, _ := c.create(t, image, "sleep", "1000") // the engine locks the first for as long as its archive is read
	c.must(t, "start", other)
	archive, response := exchange(t, c.Socket, "GET /containers/"+id+"/archive?path=/large HTTP/1.1\r\nHost: x\r\n\r\n")
	defer archive.Close()
	session, _ := send(t, c.Socket, "/exec/"+prepare(t, other, "read l; echo $l; read l; echo $l")+"/start", `{"Detach":false}`)
	defer session.Close()
	if _, err := io.WriteString(session, "one\n"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Stop() }()
	waitFor(t, "no connection is taken any more", func() bool {
		conn, err := net.Dial("unix", c.Socket)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if n, err := io.Copy(io.Discard, response.Body); err != nil || n < size {
		t.Errorf("%d bytes of the archive, %v", n, err)
	}
	if _, err := io.WriteString(session, "two\n"); err != nil {
		t.Error(err)
	}
	said, err := io.ReadAll(session.buffered)
	if err != nil || !bytes.Contains(said, []byte("one\n")) || !bytes.Contains(said, []byte("two\n")) {
		t.Errorf("the exec said %q, %v", said, err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(15 * time.Second): // of the 30 that a drain has
		t.Error("the companion waits for streams that have ended")
	}
	if log := c.log(t); strings.Contains(log, "under way") {
		t.Errorf("the log: %s", log)
	}
}
