//go:build engine

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/ensure-volumes/ensure-volumes/pkg/dockerproxy"
)

const image = "ensure-volumes.test/busybox:1"

// The engine that all tests share; TestMain starts and ends it.
var engineSocket string

func TestMain(m *testing.M) {
	code, err := withEngine(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// withEngine runs a private engine without a network around run.
func withEngine(run func() int) (int, error) {
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	engineSocket = filepath.Join(dir, "docker.sock")
	config := filepath.Join(dir, "daemon.json")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	if err := os.WriteFile(config, []byte("{}"), 0o600); err != nil {
		return 0, err
	}
	cmd := exec.Command("dockerd", "--config-file", config, "--data-root", dir+"/data", "--exec-root", dir+"/exec", "--pidfile", dir+"/pid",
		"--host", "unix://"+engineSocket, "--bridge=none", "--iptables=false", "--storage-driver=vfs")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting an engine: %w", err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // an engine that has ended needs none
		_ = cmd.Wait()
	}()
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("unix", engineSocket); err == nil {
			conn.Close()
			break
		}
		if time.Since(start) > time.Minute {
			said, _ := os.ReadFile(log.Name())
			return 0, fmt.Errorf("the engine did not start:\n%s", said)
		}
	}
	load := exec.Command("docker", "--host", "unix://"+engineSocket, "import", "-", image)
	if load.Stdin, err = busybox(); err != nil {
		return 0, err
	}
	if out, err := load.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("making the image: %w\n%s", err, out)
	}
	return run(), nil
}

// busybox is a root file system with one program, also called sh.
func busybox() (io.Reader, error) {
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, fmt.Errorf("%w; install busybox-static", err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"bin/busybox", "bin/sh"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(program))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(program); err != nil {
			return nil, err
		}
	}
	return &b, w.Close()
}

// companion is a proxy in front of the engine, in this process.
type companion struct {
	socket string
	proxy  *dockerproxy.Proxy
	state  *dockerproxy.State
}

func config() *dockerproxy.Config {
	return &dockerproxy.Config{
		AutoCreate: true, DefaultStorage: resource.MustParse("1Gi"), DefaultClass: "standard",
		Classes: map[string]dockerproxy.Class{
			"standard": {Driver: "local", Labels: map[string]string{"class": "standard"}},
			"ram":      {Driver: "local", Options: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size={bytes}"}},
		},
	}
}

func start(t *testing.T) *companion {
	t.Helper()
	dir := t.TempDir()
	state, err := dockerproxy.OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	// A path below TempDir may be too long for a socket.
	short, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	c := &companion{socket: filepath.Join(short, "s"), state: state, proxy: dockerproxy.New(engineSocket, config(), state, logr.Discard())}
	listener, err := net.Listen("unix", c.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: c.proxy}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		<-ended
		os.RemoveAll(short)
	})
	return c
}

// docker runs the CLI against a socket.
func docker(t *testing.T, socket, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", append([]string{"--host", "unix://" + socket}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is docker, through the companion, that ends well; it returns what was printed.
func (c *companion) must(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	out, errs, code := docker(t, c.socket, "", args...)
	if code != 0 {
		t.Fatalf("docker %q: exit code %d\n%s%s", args, code, out, errs)
	}
	return out, errs
}

// create makes a container without a network and returns its id.
func (c *companion) create(t *testing.T, args ...string) (id, warnings string) {
	t.Helper()
	out, errs := c.must(t, append([]string{"create", "--network", "none"}, args...)...)
	id = strings.TrimSpace(out)
	t.Cleanup(func() { exec.Command("docker", "--host", "unix://"+engineSocket, "rm", "--force", id).Run() })
	return id, errs
}

type volume struct {
	Driver          string
	Options, Labels map[string]string
}

// volume is the volume as the engine itself shows it, nil where there is none.
func inspect(t *testing.T, name string) *volume {
	t.Helper()
	out, errs, code := docker(t, engineSocket, "", "volume", "inspect", name)
	if code != 0 {
		if strings.Contains(strings.ToLower(errs), "no such volume") {
			return nil
		}
		t.Fatalf("volume inspect: %s", errs)
	}
	var volumes []volume
	if err := json.Unmarshal([]byte(out), &volumes); err != nil || len(volumes) != 1 {
		t.Fatalf("volume inspect: %v: %s", err, out)
	}
	return &volumes[0]
}
