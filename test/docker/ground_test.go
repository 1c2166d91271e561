package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/catalogue"
	"github.com/ensure-volumes/ensure-volumes/test/engine"
)

const (
	image  = engine.Image
	domain = "volumes.opensandbox.io/"
)

// The engine that all tests share; TestMain starts and ends it.
var shared *engine.Engine

// The rows of docs/errors.md that tests here have to see.
var faults *catalogue.Part

func TestMain(m *testing.M) {
	code, err := withEngine(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withEngine(run func() int) (code int, err error) {
	ctx := context.Background()
	if faults, err = catalogue.Open("Docker"); err != nil {
		return 1, err
	}
	if shared, err = engine.Start(ctx); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, shared.Stop()) }()
	if err := engine.Import(ctx, shared.Socket); err != nil {
		return 1, err
	}
	return run(), faults.Check()
}

// config is what the companion of a test is given: a default class, and one
// whose volumes are of the size that is asked for.
const config = `defaultClass: standard
classes:
  standard:
    driver: local
    labels: {class: standard}
  ram:
    driver: local
    options: {type: tmpfs, device: tmpfs, o: "size={bytes}"}
`

// companion is one for a test, in front of the shared engine.
type companion struct{ *engine.Companion }

func start(t *testing.T) *companion {
	t.Helper()
	return startBefore(t, shared.Socket, config)
}

// startBefore starts a companion in front of a socket; it ends with the test.
func startBefore(t *testing.T, socket, config string, flags ...string) *companion {
	t.Helper()
	c, err := engine.StartCompanion(t.Context(), socket, config, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.LastWords())
		}
		if err := c.Remove(); err != nil {
			t.Error(err)
		}
	})
	return &companion{c}
}

// up starts the companion again after Stop or Kill.
func (c *companion) up(t *testing.T) {
	t.Helper()
	if err := c.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (c *companion) stop(t *testing.T) {
	t.Helper()
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
}

// reconfigure returns once the companion has read the configuration.
func (c *companion) reconfigure(t *testing.T, config string) {
	t.Helper()
	const said = "the configuration was read again"
	before := strings.Count(c.log(t), said)
	if err := c.Configure(config); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the configuration is read", func() bool { return strings.Count(c.log(t), said) > before })
}

func (c *companion) log(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(c.LogPath)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// recorded are the names of the volumes of which the state file says that a
// container has used them.
func (c *companion) recorded(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(c.StateDir, "volumes.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var entries []struct {
		Name string
		Used bool
	}
	if err == nil {
		err = json.Unmarshal(content, &entries)
	}
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Used {
			names = append(names, e.Name)
		}
	}
	slices.Sort(names)
	return names
}

// docker runs the CLI against a socket.
func docker(t *testing.T, socket, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := engine.CLI(ctx, socket, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// direct is docker, past the companion, that ends well.
func direct(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	out, errs, code := docker(t, shared.Socket, "", args...)
	if code != 0 {
		t.Fatalf("docker %q: exit code %d\n%s%s", args, code, out, errs)
	}
	return out
}

// must is docker, through the companion, that ends well; it returns what was printed.
func (c *companion) must(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	out, errs, code := docker(t, c.Socket, "", args...)
	if code != 0 {
		t.Fatalf("docker %q: exit code %d\n%s%s", args, code, out, errs)
	}
	return out, errs
}

// create makes a container without a network and returns its id. It is removed
// with the test.
func (c *companion) create(t *testing.T, args ...string) (id, warnings string) {
	t.Helper()
	out, errs := c.must(t, append([]string{"create", "--network", "none"}, args...)...)
	id = strings.TrimSpace(out)
	t.Cleanup(func() {
		// Its test may have removed it.
		_ = engine.CLI(context.Background(), shared.Socket, "rm", "--force", id).Run()
	})
	return id, errs
}

// volume is a volume as the engine itself shows it.
type volume struct {
	Driver          string
	Options, Labels map[string]string
}

// inspect is nil where there is no such volume.
func inspect(t *testing.T, name string) *volume {
	t.Helper()
	out, errs, code := docker(t, shared.Socket, "", "volume", "inspect", name)
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

// waitFor gives what must come about half a minute: after ten seconds the companion
// looks again at what it has not seen come to its end.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 600 {
		if done() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("it did not come about that %s", what)
}
