package docker

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/engine"
	"github.com/ensure-volumes/ensure-volumes/test/process"
)

const companionImage = "ensure-volumes-companion:dev"

func repository(t *testing.T) string {
	t.Helper()
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// load brings an image of `make image` into the shared engine until the test ends.
func load(t *testing.T, tarball, name string) {
	t.Helper()
	path := filepath.Join(repository(t), "bin", tarball)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; `make image` makes it", err)
	}
	if out := direct(t, "load", "--input", path); !strings.Contains(out, "Loaded image: "+name) {
		t.Fatalf("docker load: %s", out)
	}
	t.Cleanup(func() { _ = engine.CLI(context.Background(), shared.Socket, "rmi", "--force", name).Run() })
}

// composed is the companion as config/companion/compose.yaml runs it, in front
// of the shared engine, with places of its own.
type composed struct {
	dir, metrics string
	environment  []string // of docker-compose, and of a shell with the same places
}

// newComposed prepares what the file's variables name; it ends with the test.
func newComposed(t *testing.T) *composed {
	t.Helper()
	load(t, "ensure-volumes-companion-image.tar", companionImage)
	dir, err := os.MkdirTemp("", "composed") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	metrics, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return &composed{dir: dir, metrics: metrics, environment: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "DOCKER_HOST=unix://" + shared.Socket, "COMPOSE_PROJECT_NAME=composed",
		"ENSURE_VOLUMES_ENGINE=" + shared.Socket, "ENSURE_VOLUMES_RUN=" + filepath.Join(dir, "run"), "ENSURE_VOLUMES_STATE=" + filepath.Join(dir, "state"),
		"ENSURE_VOLUMES_CONFIG=" + filepath.Join(dir, "etc"), "ENSURE_VOLUMES_METRICS=" + metrics,
	}}
}

func (c *composed) socket() string { return filepath.Join(c.dir, "run", "docker.sock") }

func (c *composed) compose(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute) // also in a cleanup
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-compose", append([]string{"-f", filepath.Join(repository(t), "config", "companion", "compose.yaml")}, args...)...)
	cmd.Env = c.environment
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("docker-compose %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// wait returns once the companion's /healthz is well.
func (c *composed) wait(t *testing.T) {
	t.Helper()
	waitFor(t, "the companion answers", func() bool { return strings.HasPrefix(c.get(t, "/healthz"), "ok") })
}

// get is empty where nobody answers.
func (c *composed) get(t *testing.T, path string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.metrics+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body) // half an answer is not what is looked for
	return string(body)
}

// TestComposeFile: the image and the compose file as they are, but for the places.
func TestComposeFile(t *testing.T) {
	c := newComposed(t)
	example, err := os.ReadFile(filepath.Join(repository(t), "config", "companion", "companion.yaml"))
	if err == nil {
		err = os.Mkdir(filepath.Join(c.dir, "etc"), 0o755)
	}
	config := filepath.Join(c.dir, "etc", "companion.yaml")
	if err == nil {
		err = os.WriteFile(config, example, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.compose(t, "logs"))
		}
		c.compose(t, "down")
	})
	c.compose(t, "up", "-d")
	c.wait(t)
	run := func(args ...string) (string, string) {
		t.Helper()
		out, errs, code := docker(t, c.socket(), "", append([]string{"run", "--rm", "--pull", "never", "--network", "none"}, args...)...)
		if code != 0 {
			return "", errs
		}
		return out, errs
	}
	out, errs := run("-v", "boxed:/data", "--label", domain+"storageClass=ram", "--label", domain+"storage=2Mi", image, "busybox", "df", "-k", "/data")
	if v := inspect(t, "boxed"); !strings.Contains(out, "2048") || v == nil || v.Labels["medium"] != "memory" || v.Labels[domain+"storageClass"] != "ram" {
		t.Errorf("got %q, %q and the volume %+v", out, errs, v)
	}
	waitFor(t, "the volume is counted", func() bool {
		return strings.Contains(c.get(t, "/metrics"), "\nensure_volumes_volumes_created_total 1\n")
	})
	if _, err := os.Stat(filepath.Join(c.dir, "state")); err != nil {
		t.Error(err)
	}

	// An editor replaces the file: the folder is mounted, not the file.
	err = os.WriteFile(config+".new", []byte("volumeAutoCreate: false\n"), 0o644)
	if err == nil {
		err = os.Rename(config+".new", config)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.compose(t, "kill", "-s", "HUP")
	waitFor(t, "the configuration is read", func() bool { return strings.Contains(c.compose(t, "logs"), "was read again") })
	if _, errs := run("-v", "unboxed:/data", image, "true"); !strings.Contains(errs, "switched off") {
		t.Errorf("switched off, it says %q", errs)
	}
	// The signal is no stop: the engine starts it again with itself.
	if err := shared.Down(); err != nil {
		t.Fatal(err)
	}
	if err := shared.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.wait(t)
	if out, errs := run("-v", "boxed:/data", image, "echo", "again"); out != "again\n" {
		t.Errorf("after the engine's restart: %q, %q", out, errs)
	}
	c.compose(t, "down")
	if _, err := os.Stat(c.socket()); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
	if ids := direct(t, "ps", "--all", "--quiet", "--filter", "ancestor="+companionImage); ids != "" {
		t.Errorf("containers are left: %s", ids)
	}
}

// TestImageAsBuilt: what `make image` makes is what docker build makes of the Dockerfile.
func TestImageAsBuilt(t *testing.T) {
	for name, image := range map[string]struct {
		tarball string
		target  []string
	}{
		"ensure-volumes:dev": {"ensure-volumes-image.tar", nil},
		companionImage:       {"ensure-volumes-companion-image.tar", []string{"--target", "companion"}},
	} {
		load(t, image.tarball, name)
		const tag = "ensure-volumes.test/built:1"
		args := append([]string{"build", "--quiet", "--tag", tag, "--build-arg", "TARGETARCH=" + runtime.GOARCH}, image.target...)
		direct(t, append(args, repository(t))...)
		look := func(name string) string {
			return direct(t, "image", "inspect", "--format", "{{json .Config.Entrypoint}} {{json .Config.User}} {{json .Config.ExposedPorts}} {{.Os}} {{.Architecture}} {{.Size}}", name)
		}
		if got, want := look(name), look(tag); got != want {
			t.Errorf("%s is %s, docker build makes %s", name, got, want)
		}
		direct(t, "rmi", tag)
	}
}
