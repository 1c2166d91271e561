package docker

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const last = domain + "deleteOnSandboxTermination=true"

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

func TestGoesWithItsLastContainer(t *testing.T) {
	c := start(t)
	first, _ := c.create(t, "-v", "with:/data", "--label", last, image, "sh")
	second, _ := c.create(t, "-v", "with:/data", image, "sh")
	kept, _ := c.create(t, "-v", "without:/data", image, "sh")
	direct(t, "rm", first, kept)
	time.Sleep(300 * time.Millisecond)
	if inspect(t, "with") == nil || inspect(t, "without") == nil {
		t.Fatal("a volume with a container, or without the hint, is gone")
	}
	direct(t, "rm", second)
	if !gone(t, "with") {
		t.Error("the volume outlived its last container")
	}
	if inspect(t, "without") == nil {
		t.Error("a volume without the hint is gone")
	}
	waitFor(t, "the state forgets the volume", func() bool { return len(c.recorded(t)) == 0 })
	c.must(t, "run", "--rm", "--network", "none", "-v", "auto:/data", "--label", last, image, "touch", "/data/file")
	if !gone(t, "auto") {
		t.Error("the volume outlived docker run --rm")
	}
}

func TestCatchesUp(t *testing.T) {
	c := start(t)
	id, _ := c.create(t, "-v", "meanwhile:/data", "--label", last, image, "sh")
	again, _ := c.create(t, "-v", "remade:/data", "--label", last, image, "sh")
	c.stop(t)
	direct(t, "rm", id, again)
	// Another volume of the same name, that no container of ours has used.
	args := []string{"volume", "create", "--label", domain + "created=2026-01-01T00:00:00Z"}
	for key, value := range inspect(t, "remade").Labels {
		if !strings.HasSuffix(key, "/created") {
			args = append(args, "--label", key+"="+value)
		}
	}
	direct(t, "volume", "rm", "remade")
	direct(t, append(args, "remade")...)
	c.up(t)
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
	if !slices.Contains(c.recorded(t), "unrecorded") {
		t.Fatal("the use is not recorded by the time the client knows")
	}
	c.stop(t)
	if err := os.Remove(filepath.Join(c.StateDir, "volumes.json")); err != nil {
		t.Fatal(err)
	}
	c.up(t)
	waitFor(t, "the use is recorded", func() bool { return slices.Contains(c.recorded(t), "unrecorded") })
	direct(t, "rm", id)
	if !gone(t, "unrecorded") {
		t.Error("the volume outlived its last container")
	}
}
