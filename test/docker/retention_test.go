//go:build engine

package docker

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const last = domain + "deleteOnSandboxTermination=true"

// retaining runs the retention until the test ends, or until stop.
func (c *companion) retaining(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); c.proxy.Retain(ctx) }()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

func gone(t *testing.T, name string) bool {
	t.Helper()
	for range 50 {
		if inspect(t, name) == nil {
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	return false
}

func remove(t *testing.T, id string) {
	t.Helper()
	if _, errs, code := docker(t, engineSocket, "", "rm", "--force", id); code != 0 {
		t.Fatal(errs)
	}
}

func TestGoesWithItsLastContainer(t *testing.T) {
	c := start(t)
	c.retaining(t)
	first, _ := c.create(t, "-v", "with:/data", "--label", last, image, "sh")
	second, _ := c.create(t, "-v", "with:/data", image, "sh")
	kept, _ := c.create(t, "-v", "without:/data", image, "sh")
	remove(t, first)
	remove(t, kept)
	time.Sleep(300 * time.Millisecond)
	if inspect(t, "with") == nil || inspect(t, "without") == nil {
		t.Fatal("a volume with a container, or without the hint, is gone")
	}
	remove(t, second)
	if !gone(t, "with") {
		t.Error("the volume outlived its last container")
	}
	if inspect(t, "without") == nil {
		t.Error("a volume without the hint is gone")
	}
	if len(c.state.All()) != 0 {
		t.Errorf("the state still has %v", c.state.All())
	}
	c.must(t, "run", "--rm", "--network", "none", "-v", "auto:/data", "--label", last, image, "busybox", "touch", "/data/file")
	if !gone(t, "auto") {
		t.Error("the volume outlived docker run --rm")
	}
}

func TestCatchesUp(t *testing.T) {
	c := start(t)
	stop := c.retaining(t)
	id, _ := c.create(t, "-v", "meanwhile:/data", "--label", last, image, "sh")
	again, _ := c.create(t, "-v", "remade:/data", "--label", last, image, "sh")
	stop()
	remove(t, id)
	remove(t, again)
	// Another volume of the same name, that no container of ours has used.
	args := []string{"--host", "unix://" + engineSocket, "volume", "create"}
	for key, value := range inspect(t, "remade").Labels {
		if !strings.HasSuffix(key, "/created") {
			args = append(args, "--label", key+"="+value)
		}
	}
	if out, err := exec.Command("docker", "--host", "unix://"+engineSocket, "volume", "rm", "remade").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("docker", append(args, "--label", domain+"created=2026-01-01T00:00:00Z", "remade")...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.retaining(t)
	if !gone(t, "meanwhile") {
		t.Error("the volume outlived a container that was removed meanwhile")
	}
	if inspect(t, "remade") == nil {
		t.Error("a volume that had no container yet is gone")
	}
}

// TestUnrecorded: the companion ended between the engine's create and its record.
func TestUnrecorded(t *testing.T) {
	c := start(t)
	id, _ := c.create(t, "-v", "unrecorded:/data", "--label", last, image, "sh")
	created := inspect(t, "unrecorded").Labels[domain+"created"]
	if c.state.All()["unrecorded"] != created || created == "" {
		t.Fatalf("the state has %v, the volume %q", c.state.All(), created)
	}
	if err := c.state.Forget("unrecorded", created); err != nil {
		t.Fatal(err)
	}
	c.retaining(t)
	waitFor(t, "the use is recorded", func() bool { return c.state.All()["unrecorded"] == created })
	remove(t, id)
	if !gone(t, "unrecorded") {
		t.Error("the volume outlived its last container")
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 100 {
		if done() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("it did not come about that %s", what)
}
