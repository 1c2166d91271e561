package docker

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// pooled is how many connections to the engine the companion may keep for later.
const pooled = 16

// TestManyIdle: 200 `logs -f` that wait for a line. Nobody waits for them, each
// gets its line when it comes, and nothing is left of them when they end.
func TestManyIdle(t *testing.T) {
	const many = 200
	c := start(t)
	id, _ := c.create(t, "-i", image, "sh", "-c", "echo ready; exec cat")
	input, response := send(t, c.Socket, "/containers/"+id+"/attach?stream=1&stdin=1", "")
	defer input.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	c.must(t, "start", id)
	goroutines, files, open := c.metric(t, "go_goroutines"), c.metric(t, "process_open_fds"), connections(t, shared.Socket)

	clients, lines := make([]*dialed, many), make([]*bufio.Reader, many)
	for i := range lines {
		conn, response := exchange(t, c.Socket, "GET /containers/"+id+"/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: docker\r\n\r\n")
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		clients[i], lines[i] = conn, bufio.NewReader(response.Body)
		if line, err := lines[i].ReadString('\n'); err != nil || !strings.HasSuffix(line, "ready\n") {
			t.Fatalf("logs %d: %q, %v", i, line, err)
		}
	}
	if now := connections(t, shared.Socket); now < open+many-pooled {
		t.Errorf("the engine has %d connections, before there were %d", now, open)
	}
	out, _ := c.must(t, "run", "--rm", "--network", "none", "-v", "busy:/data", image, "echo", "served")
	if v := inspect(t, "busy"); out != "served\n" || v == nil || v.Labels["class"] != "standard" {
		t.Errorf("beside them: %q, the volume is %+v", out, v)
	}
	each := func(what string, check func(lines *bufio.Reader) bool) {
		t.Helper()
		var wg sync.WaitGroup
		for i, l := range lines {
			wg.Go(func() {
				if !check(l) {
					t.Errorf("logs %d: %s", i, what)
				}
			})
		}
		wg.Wait()
	}
	if _, err := io.WriteString(input, "written afterwards\n"); err != nil {
		t.Fatal(err)
	}
	each("not the line that was written", func(l *bufio.Reader) bool {
		line, err := l.ReadString('\n')
		return err == nil && strings.HasSuffix(line, "written afterwards\n")
	})
	if err := input.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	each("no end with its container's", func(l *bufio.Reader) bool {
		rest, err := io.ReadAll(l)
		return err == nil && len(rest) == 0
	})

	for _, conn := range clients {
		conn.Close()
	}
	// Two goroutines belong to each connection that is kept.
	waitFor(t, "the connections to the engine end", func() bool { return connections(t, shared.Socket) <= open+pooled })
	waitFor(t, "the companion closes what it opened", func() bool { return c.metric(t, "process_open_fds") <= files+pooled+many/10 })
	waitFor(t, "the companion's goroutines end", func() bool { return c.metric(t, "go_goroutines") <= goroutines+2*pooled+many/10 })
}
