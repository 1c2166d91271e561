package docker

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// post is one request over a socket, its path as it is spelled.
func post(t *testing.T, socket, path, body string) (code int, said string) {
	t.Helper()
	conn, response := send(t, socket, path, body)
	defer conn.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

type dialed struct {
	*net.UnixConn
	buffered *bufio.Reader
}

func send(t *testing.T, socket, path, body string) (*dialed, *http.Response) {
	t.Helper()
	return exchange(t, socket, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body))
}

// Close hangs up, perhaps once again.
func (d *dialed) Close() { _ = d.UnixConn.Close() }

// dial connects for at most half a minute.
func dial(t *testing.T, socket string) *dialed {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	d := &dialed{conn.(*net.UnixConn), bufio.NewReader(conn)}
	if err := d.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return d
}

// exchange sends a request as it is written and reads the head of the answer.
func exchange(t *testing.T, socket, request string) (*dialed, *http.Response) {
	t.Helper()
	d := dial(t, socket)
	// The engine may answer before it has read all: writing then fails, and the answer counts.
	go func() { _, _ = io.WriteString(d, request) }()
	response, err := http.ReadResponse(d.buffered, nil)
	if err != nil {
		t.Fatalf("%.200s: %v", request, err)
	}
	return d, response
}

// TestRawStream: without an Upgrade header the engine answers 200 and then speaks no HTTP.
func TestRawStream(t *testing.T) {
	c := start(t)
	id, _ := c.create(t, "-i", image, "sh", "-c", "busybox cat; busybox echo done")
	conn, response := send(t, c.Socket, "/v1.41/containers/"+id+"/attach?stream=1&stdin=1&stdout=1", "")
	defer conn.Close()
	if response.StatusCode != 200 || response.ContentLength != -1 {
		t.Fatalf("got %s, length %d", response.Status, response.ContentLength)
	}
	c.must(t, "start", id)
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(conn.buffered)
	if err != nil || !bytes.Contains(out, []byte("hello\n")) || !bytes.Contains(out, []byte("done\n")) {
		t.Errorf("got %q, %v", out, err)
	}
}

// TestRawHead: such an answer begins as the engine's own, byte for byte; some
// clients of it read no HTTP.
func TestRawHead(t *testing.T) {
	c := start(t)
	id, _ := c.create(t, image, "sleep", "1000")
	c.must(t, "start", id)
	heads := map[string]string{}
	for _, socket := range []string{shared.Socket, c.Socket} {
		conn := dial(t, socket)
		defer conn.Close()
		fmt.Fprintf(conn, "POST /v1.41/containers/%s/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: docker\r\n\r\n", id)
		for b := make([]byte, 1); !strings.HasSuffix(heads[socket], "\r\n\r\n"); heads[socket] += string(b) {
			if _, err := conn.Read(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if heads[c.Socket] != heads[shared.Socket] {
		t.Errorf("got %q, the engine itself %q", heads[c.Socket], heads[shared.Socket])
	}
}

// TestRawRefused: behind an ordinary answer too, the connection carries nothing
// more: a create does not get past us on it.
func TestRawRefused(t *testing.T) {
	c := start(t)
	body := `{"Image":"` + image + `","Cmd":["sh"],"HostConfig":{"Binds":["behind:/data"],"NetworkMode":"none"}}`
	create := fmt.Sprintf("POST /containers/create HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for _, upgrade := range []string{"", "Connection: Upgrade\r\nUpgrade: tcp\r\n"} {
		conn, response := exchange(t, c.Socket, "POST /containers/nobody/attach HTTP/1.1\r\nHost: docker\r\n"+upgrade+"Content-Length: 0\r\n\r\n"+create)
		defer conn.Close()
		said, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != 404 || !response.Close || !strings.Contains(string(said), "nobody") {
			t.Errorf("%q: got %s %s, %v", upgrade, response.Status, said, err)
		}
		if rest, err := io.ReadAll(conn.buffered); err != nil || len(rest) > 0 {
			t.Errorf("%q: behind it came %q, %v", upgrade, rest, err)
		}
	}
	if v := inspect(t, "behind"); v != nil {
		t.Errorf("there is a volume %+v", v)
	}
}

// TestRawExec: docker exec as a client without upgrades does it.
func TestRawExec(t *testing.T) {
	c := start(t)
	id, _ := c.create(t, image, "busybox", "sleep", "1000")
	c.must(t, "start", id)
	prepared := func(detach bool) (*dialed, *http.Response) {
		code, said := post(t, c.Socket, "/containers/"+id+"/exec", `{"AttachStdin":true,"AttachStdout":true,"Cmd":["busybox","cat"]}`)
		_, exec, _ := strings.Cut(said, `"Id":"`)
		exec, _, found := strings.Cut(exec, `"`)
		if code != 201 || !found {
			t.Fatalf("%d %s", code, said)
		}
		return send(t, c.Socket, "/exec/"+exec+"/start", fmt.Sprintf(`{"Detach":%v}`, detach))
	}
	conn, response := prepared(false)
	defer conn.Close()
	if response.StatusCode != 200 {
		t.Fatal(response.Status)
	}
	large := strings.Repeat("hello\n", 100000)
	go func() {
		if _, err := io.WriteString(conn, large); err == nil { // else the output is short
			_ = conn.CloseWrite()
		}
	}()
	out, err := io.ReadAll(conn.buffered)
	if err != nil || bytes.Count(out, []byte("h")) < 100000 {
		t.Errorf("got %d bytes, %v", len(out), err)
	}
	detached, response := prepared(true)
	defer detached.Close()
	if response.StatusCode != 200 || response.ContentLength != 0 {
		t.Errorf("detached: %s, length %d", response.Status, response.ContentLength)
	}
}

// TestUpgrades: the engine looks only whether there is an Upgrade header at all.
// However it is spelled, there is the same stream behind the same kind of answer.
func TestUpgrades(t *testing.T) {
	c := start(t)
	id, _ := c.create(t, image, "sleep", "1000")
	c.must(t, "start", id)
	for _, headers := range []string{
		"", "Connection: Upgrade\r\nUpgrade: tcp\r\n", "Upgrade: tcp\r\n", "Connection: Upgrade\r\nUpgrade: other\r\n", "Connection: Upgrade\r\n",
		"Expect: 100-continue\r\n", "Expect: 100-continue\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n",
	} {
		var answers []string
		for _, socket := range []string{shared.Socket, c.Socket} {
			answers = append(answers, echoed(t, socket, id, headers))
		}
		if answers[0] != answers[1] || !strings.HasSuffix(answers[0], "hello\n") {
			t.Errorf("%q: got %q, the engine itself %q", headers, answers[1], answers[0])
		}
	}
}

// echoed is the status of an exec's start with further headers, and what its cat
// says to what is written after that.
func echoed(t *testing.T, socket, id, headers string) string {
	t.Helper()
	_, said := post(t, socket, "/containers/"+id+"/exec", `{"AttachStdin":true,"AttachStdout":true,"Tty":false,"Cmd":["cat"]}`)
	_, exec, _ := strings.Cut(said, `"Id":"`)
	exec, _, _ = strings.Cut(exec, `"`)
	body := `{"Detach":false}`
	conn := dial(t, socket)
	defer conn.Close()
	fmt.Fprintf(conn, "POST /exec/%s/start HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s", exec, len(body), headers, body)
	buffered := conn.buffered
	response, err := http.ReadResponse(buffered, nil)
	for err == nil && response.StatusCode == http.StatusContinue {
		response, err = http.ReadResponse(buffered, nil)
	}
	if err != nil {
		t.Fatalf("%q: %v", headers, err)
	}
	fmt.Fprint(conn, "hello\n")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(buffered)
	if err != nil {
		t.Errorf("%q: %v", headers, err)
	}
	return fmt.Sprintf("%d %s", response.StatusCode, out)
}
