package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "companion.yaml")
	write(t, file, "classes:\n  fast:\n    driver: local\n")
	var out bytes.Buffer
	if err := run(t.Context(), []string{"check", file}, nil, &out, io.Discard); err != nil || !strings.Contains(out.String(), "1 classes") {
		t.Errorf("got %q, %v", out.String(), err)
	}
	write(t, file, "defaultStorage: ten\nclasses:\n  fast: {}\n")
	err := run(t.Context(), []string{"check", file}, nil, &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), file+":1: defaultStorage") || !strings.Contains(err.Error(), "\n"+file+":3: class") {
		t.Errorf("got %v", err)
	}
	for _, args := range [][]string{{"check"}, {"check", "a", "b"}, {"check", file + ".none"}, {"--listen"}, {"stray"}, {"--log-level", "loud"}} {
		if err := run(t.Context(), args, nil, io.Discard, io.Discard); err == nil {
			t.Errorf("%q is no error", args)
		}
	}
}

// buffer is written by the program and read by the test.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) waitFor(t *testing.T, text string) {
	t.Helper()
	for range 200 {
		b.mu.Lock()
		found := strings.Contains(b.b.String(), text)
		b.mu.Unlock()
		if found {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the log does not say %q", text)
}

// engine is a stand-in that knows no volume and answers /slow when told.
func engine(t *testing.T, socket string, slow <-chan struct{}) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/_ping":
		case "/events":
			<-r.Context().Done()
		case "/slow":
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			<-slow
			_, _ = io.WriteString(w, "late")
		default:
			w.WriteHeader(404)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

func TestLife(t *testing.T) {
	dir, err := os.MkdirTemp("", "c") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket, config := filepath.Join(dir, "run", "d.sock"), filepath.Join(dir, "companion.yaml")
	slow := make(chan struct{})
	engine(t, filepath.Join(dir, "engine"), slow)
	write(t, config, "volumeAutoCreate: true\n")

	ctx, stop := context.WithCancel(t.Context())
	reload, ended, log := make(chan os.Signal), make(chan error, 1), new(buffer)
	args := []string{"--listen", socket, "--engine", filepath.Join(dir, "engine"), "--config", config, "--state-dir", filepath.Join(dir, "state"), "--metrics-listen", "0"}
	go func() { ended <- run(ctx, args, reload, io.Discard, log) }()
	log.waitFor(t, `"listening"`)

	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	if err := run(t.Context(), append(slices.Clone(args), "--listen", filepath.Join(dir, "other")), nil, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "another companion has it") {
		t.Errorf("a second companion with the same state: %v", err)
	}
	elsewhere := append(slices.Clone(args), "--state-dir", filepath.Join(dir, "second"))
	if err := run(t.Context(), append(elsewhere, "--listen", config), nil, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file in the socket's place: %v", err)
	}
	if err := run(t.Context(), elsewhere, nil, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a second companion on the same socket: %v", err)
	}

	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	create := func() string {
		response, err := client.Post("http://d/containers/create", "application/json", strings.NewReader(`{"HostConfig":{"Binds":["data:/d"]}}`))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return string(body)
	}
	if said := create(); strings.Contains(said, "switched off") {
		t.Errorf("switched on, it says %s", said)
	}
	write(t, config, "volumeAutoCreate: no way\n")
	reload <- syscall.SIGHUP
	log.waitFor(t, "the one before stays")
	if said := create(); strings.Contains(said, "switched off") {
		t.Errorf("after a faulty configuration it says %s", said)
	}
	write(t, config, "volumeAutoCreate: false\n")
	reload <- syscall.SIGHUP
	log.waitFor(t, "was read again")
	if said := create(); !strings.Contains(said, "switched off") {
		t.Errorf("switched off, it says %s", said)
	}

	response, err := client.Get("http://d/slow")
	if err != nil {
		t.Fatal(err)
	}
	stop()
	log.waitFor(t, `"stopping"`)
	close(slow)
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "late" {
		t.Errorf("a stream under way got %q, %v", body, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}
