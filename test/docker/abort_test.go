package docker

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestGoneClients: what a client that goes has asked for ends at the engine. The
// head of an answer tells that the engine is at work; that one of its
// connections is closed, and not kept for the next request, tells that it ended.
func TestGoneClients(t *testing.T) {
	const upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
	c := start(t)
	quiet, _ := c.create(t, image, "sh", "-c", "echo ready; exec sleep 1000")
	noisy, _ := c.create(t, image, "sh", "-c", "while :; do echo line; sleep 0.1; done")
	c.must(t, "start", quiet, noisy)
	raw, upgraded := prepare(t, quiet, "exec cat"), prepare(t, quiet, "exec cat")
	const execBody = `{"Detach":false}`
	theirs := func() int { return connections(t, shared.Socket) }
	// The engine leaves a stream's connection to its garbage collector, also one
	// that came without us: there our two ends count, the client's and the engine's.
	ours := func() int { return c.metric(t, "process_open_fds") }
	for _, row := range []struct {
		what, line, headers, body string
		open                      func() int
		ends                      int
	}{
		{"events", "GET /events", "", "", theirs, 1},
		{"logs", "GET /containers/" + quiet + "/logs?follow=1&stdout=1", "", "", theirs, 1},
		{"wait", "POST /containers/" + quiet + "/wait", "", "", theirs, 1},
		{"stats", "GET /containers/" + quiet + "/stats", "", "", theirs, 1},
		{"attach, raw", "POST /containers/" + noisy + "/attach?stream=1&stdout=1", "", "", ours, 2},
		{"attach, upgraded", "POST /containers/" + noisy + "/attach?stream=1&stdout=1", upgrade, "", ours, 2},
		{"exec, raw", "POST /exec/" + raw + "/start", "", execBody, ours, 2},
		{"exec, upgraded", "POST /exec/" + upgraded + "/start", upgrade, execBody, ours, 2},
	} {
		conn, response := exchange(t, c.Socket, fmt.Sprintf("%s HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", row.line, row.headers, len(row.body), row.body))
		if want := map[bool]int{true: 101, false: 200}[row.headers != ""]; response.StatusCode != want {
			t.Fatalf("%s: %s", row.what, response.Status)
		}
		working := row.open()
		conn.Close()
		waitFor(t, row.what+" ends", func() bool { return row.open() <= working-row.ends })
	}
	for _, exec := range []string{raw, upgraded} {
		waitFor(t, "the exec's program ends", func() bool {
			conn, response := exchange(t, shared.Socket, "GET /exec/"+exec+"/json HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
			defer conn.Close()
			said, err := io.ReadAll(response.Body)
			return err == nil && strings.Contains(string(said), `"Running":false`)
		})
	}
}

// TestGoneBuild: a build whose client goes is given up.
func TestGoneBuild(t *testing.T) {
	c := start(t)
	dockerfile := []byte("FROM " + image + "\nRUN echo scene-gone; sleep 1000\n")
	var context bytes.Buffer
	w := tar.NewWriter(&context)
	if err := w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(dockerfile))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(dockerfile); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	building := func() bool {
		return strings.Contains(direct(t, "ps", "--no-trunc", "--format", "{{.Command}}"), "scene-gone")
	}
	conn, response := exchange(t, c.Socket, fmt.Sprintf("POST /build?networkmode=none&nocache=1&rm=1&forcerm=1 HTTP/1.1\r\nHost: docker\r\nContent-Type: application/x-tar\r\nContent-Length: %d\r\n\r\n%s", context.Len(), context.String()))
	if response.StatusCode != 200 {
		t.Fatal(response.Status)
	}
	waitFor(t, "the build's container runs", building)
	working := connections(t, shared.Socket)
	conn.Close()
	waitFor(t, "the build's container ends", func() bool { return !building() })
	waitFor(t, "the build ends at the engine", func() bool { return connections(t, shared.Socket) < working })
}
