package docker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/docs"
	"github.com/ensure-volumes/ensure-volumes/test/engine"
)

// TestGuide does what docs/opensandbox.md says in its section on Docker, with the companion in its place and the configuration that
// is shipped, and sees what it says. test/try runs the other sections.
func TestGuide(t *testing.T) {
	root := repository(t)
	markdown, err := os.ReadFile(filepath.Join(root, "docs", "opensandbox.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := docs.Parse(string(markdown))
	if err != nil {
		t.Fatalf("docs/opensandbox.md: %v", err)
	}
	shipped, err := os.ReadFile(filepath.Join(root, "config", "companion", "companion.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c := startBefore(t, shared.Socket, string(shipped))
	const sandboxes = "python:3.11" // the image of the guide's requests
	direct(t, "tag", image, sandboxes)
	home := t.TempDir()
	shell := docs.Shell{Dir: root, Env: []string{
		"PATH=" + filepath.Dir(withDockerPy(t)) + ":" + os.Getenv("PATH"), "HOME=" + home, "DOCKER_CONFIG=" + home, "DOCKER_HOST=unix://" + c.Socket,
	}}
	t.Cleanup(func() {
		for _, args := range [][]string{{"rm", "--force", "sandbox-9b04", "sandbox-5e7c"}, {"volume", "rm", "--force", "bob-home", "alice-home", "models"}, {"rmi", sandboxes}} {
			_ = engine.CLI(context.Background(), shared.Socket, args...).Run() // what the guide has not come to is not there
		}
	})
	run := 0
	for _, b := range blocks {
		if b.Section != "Docker" {
			continue
		}
		run++
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := shell.Run(ctx, b)
		cancel()
		if err != nil {
			t.Fatalf("docs/opensandbox.md, %q: %v", b.Section, err)
		}
	}
	if run == 0 {
		t.Fatal("the guide's section on Docker has no commands")
	}

	// The guide has removed the container and says that the volume stays. A volume that does go with its last container has gone
	// since, so the companion has been through.
	if left := direct(t, "ps", "--all", "--quiet", "--filter", "volume=bob-home"); left != "" {
		t.Errorf("containers still use the guide's volume: %s", left)
	}
	id, _ := c.create(t, "-v", "witness:/data", "--label", domain+"deleteOnSandboxTermination=true", image, "true")
	direct(t, "rm", strings.TrimSpace(id))
	waitFor(t, "the witness is gone", func() bool { return inspect(t, "witness") == nil })
	if inspect(t, "bob-home") == nil {
		t.Error("the guide's volume has gone with its container")
	}
}
