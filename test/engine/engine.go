package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// Engine is a running dockerd.
type Engine struct {
	Dir     string   // everything that it writes
	Socket  string   // path of its API's Unix socket
	Flags   []string // further ones for dockerd, which win, from the next Up on
	dockerd *process.Process
}

// Start runs an engine in a new folder below the system's for temporary files,
// whose path is short enough for sockets, and returns when it answers. It has
// no images. Further flags for dockerd win over ours: images and containers are
// kept with the storage driver vfs, which works on every file system.
func Start(ctx context.Context, flags ...string) (*Engine, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("starting an engine: this takes root")
	}
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		return nil, fmt.Errorf("making the engine's folder: %w", err)
	}
	e := &Engine{Dir: dir, Socket: filepath.Join(dir, "docker.sock"), Flags: flags}
	// Of its own, since the machine's would count otherwise.
	if err := os.WriteFile(e.path("daemon.json"), []byte("{}\n"), 0o600); err != nil {
		return nil, fmt.Errorf("writing the engine's configuration: %w", errors.Join(err, os.RemoveAll(dir)))
	}
	if err := e.Up(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return e, nil
}

func (e *Engine) path(name string) string { return filepath.Join(e.Dir, name) }

// Up starts dockerd again after [Engine.Down] or [Engine.Kill], on the same
// data, and returns when it answers.
func (e *Engine) Up(ctx context.Context) error {
	args := append([]string{"--config-file", e.path("daemon.json"), "--data-root", e.path("data"), "--exec-root", e.path("exec"),
		"--pidfile", e.path("pid"), "--host", "unix://" + e.Socket, "--bridge=none", "--iptables=false", "--storage-driver=vfs", "--shutdown-timeout=1"}, e.Flags...)
	dockerd, err := process.Start(exec.Command("dockerd", args...), e.path("log"), 30*time.Second)
	if err != nil {
		return fmt.Errorf("%w; `make engine-packages` installs what is missing", err)
	}
	e.dockerd = dockerd
	// It listens long before it answers.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", e.Socket)
	}}}
	err = process.Poll(ctx, time.Minute, dockerd.Done(), func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/_ping", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("%w; %s", err, dockerd.LastWords())
		}
		return response.Body.Close()
	}, "waiting for the engine to answer")
	if err != nil {
		dockerd.Kill()
	}
	return err
}

// Down ends dockerd and with it its containers' processes. The data stays.
func (e *Engine) Down() error { return e.dockerd.Stop() }

// Kill ends dockerd at once (SIGKILL), and its containerd, which may outlive it
// and then hold up the next. Processes of containers may stay.
func (e *Engine) Kill() error {
	e.dockerd.Kill()
	pidFile := e.path("exec/containerd/containerd.pid")
	content, err := os.ReadFile(pidFile)
	if err != nil {
		return fmt.Errorf("killing the engine's containerd: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return fmt.Errorf("killing the engine's containerd: %w", err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("killing the engine's containerd: %w", err)
	}
	return os.Remove(pidFile)
}

// Stop removes the engine's containers, ends it and removes its folder.
func (e *Engine) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	ids, err := CLI(ctx, e.Socket, "ps", "--all", "--quiet", "--no-trunc").Output()
	if errs = append(errs, err); len(ids) > 0 {
		if said, err := CLI(ctx, e.Socket, append([]string{"rm", "--force"}, strings.Fields(string(ids))...)...).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("removing containers: %w\n%s", err, said))
		}
	}
	errs = append(errs, e.dockerd.Stop(), e.unmount(), os.RemoveAll(e.Dir))
	return errors.Join(errs...)
}

// unmount takes away what a dockerd leaves mounted in its folder: the network's
// namespace, once a container has used the machine's, and when it was killed its
// data root and its containers' file systems.
func (e *Engine) unmount() error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("looking for mounts: %w", err)
	}
	var mounts []string
	for line := range strings.Lines(string(table)) {
		// ID parent major:minor root mountpoint …; proc(5)
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], e.Dir+"/") {
			mounts = append(mounts, fields[4])
		}
	}
	for _, path := range slices.Backward(mounts) { // what is mounted on another comes later
		if unmountErr := syscall.Unmount(path, syscall.MNT_DETACH); unmountErr != nil {
			err = errors.Join(err, fmt.Errorf("unmounting %s: %w", path, unmountErr))
		}
	}
	return err
}

// CLI is the docker CLI speaking to a socket, an engine's or a companion's. It
// sees neither the user's configuration nor the user's environment, PATH apart.
func CLI(ctx context.Context, socket string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = []string{"DOCKER_HOST=unix://" + socket, "DOCKER_CONFIG=" + filepath.Join(filepath.Dir(socket), "no-docker-config"), "DOCKER_BUILDKIT=0", "PATH=" + os.Getenv("PATH")}
	return cmd
}
