package docker

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/test/engine"
)

// pluginDriver is the name of the volume driver that plugin is.
const pluginDriver = "shelf"

// plugin is a volume driver beside "local", as the engine's plugin protocol has
// it. Options of the name "fault" make it refuse with their value.
type plugin struct {
	dir string

	mu      sync.Mutex
	options map[string]map[string]string // by the volume's name
	// mounting is called when the engine mounts a volume, without the lock; what
	// it returns, if anything, is the driver's refusal.
	mounting func(name string) string
}

// withPlugin starts an engine of the test's own that has the driver. The engine
// looks for plugins below /run, so that it gets a /run of its own: no other
// engine of the machine sees the driver.
func withPlugin(t *testing.T) (*engine.Engine, *plugin) {
	t.Helper()
	dir, err := os.MkdirTemp("", "plugin") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	p := &plugin{dir: dir, options: map[string]map[string]string{}}
	bin, sockets := filepath.Join(dir, "bin"), filepath.Join(dir, "plugins")
	script := fmt.Sprintf("#!/bin/sh\nPATH=${PATH#*:}\nexport PATH\nexec unshare --mount sh -ec 'mount -t tmpfs run /run; mkdir /run/docker; ln -s %s /run/docker/plugins; exec dockerd \"$@\"' sh \"$@\"\n", sockets)
	for _, path := range []string{bin, sockets, filepath.Join(dir, "volumes")} {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(bin, "dockerd"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(sockets, pluginDriver+".sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: p}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() }) // after the engine, which asks it until its end
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return ownEngine(t), p
}

// ServeHTTP is the protocol.
func (p *plugin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Name string
		Opts map[string]string
	}
	_ = json.NewDecoder(r.Body).Decode(&in) // some calls have no body
	type volume struct{ Name, Mountpoint string }
	var out struct {
		Err          string            `json:",omitempty"`
		Mountpoint   string            `json:",omitempty"`
		Implements   []string          `json:",omitempty"`
		Volume       *volume           `json:",omitempty"`
		Volumes      []volume          `json:",omitempty"`
		Capabilities map[string]string `json:",omitempty"`
	}
	p.mu.Lock()
	if mounting := p.mounting; mounting != nil && r.URL.Path == "/VolumeDriver.Mount" {
		p.mu.Unlock()
		out.Err = mounting(in.Name)
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	path := filepath.Join(p.dir, "volumes", in.Name)
	_, exists := p.options[in.Name]
	switch r.URL.Path {
	case "/Plugin.Activate":
		out.Implements = []string{"VolumeDriver"}
	case "/VolumeDriver.Capabilities":
		out.Capabilities = map[string]string{"Scope": "local"}
	case "/VolumeDriver.List":
		for name := range p.options {
			out.Volumes = append(out.Volumes, volume{name, filepath.Join(p.dir, "volumes", name)})
		}
	case "/VolumeDriver.Create":
		if out.Err = in.Opts["fault"]; out.Err == "" {
			p.options[in.Name] = in.Opts
			if err := os.MkdirAll(path, 0o755); err != nil {
				out.Err = err.Error()
			}
		}
	case "/VolumeDriver.Remove":
		delete(p.options, in.Name)
	case "/VolumeDriver.Get":
		out.Volume = &volume{in.Name, path}
		if !exists {
			out.Volume, out.Err = nil, "no such volume"
		}
	case "/VolumeDriver.Path", "/VolumeDriver.Mount":
		out.Mountpoint = path
	}
	w.Header().Set("Content-Type", "application/vnd.docker.plugins.v1.2+json")
	_ = json.NewEncoder(w).Encode(out) // an engine that has ended needs no answer
}

// has reports whether the driver has made the volume, with exactly the options.
func (p *plugin) has(name string, options map[string]string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	given, exists := p.options[name]
	return exists && maps.Equal(given, options)
}

// whenMounting sets what is called from now on when the engine mounts a volume.
func (p *plugin) whenMounting(call func(name string) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mounting = call
}
