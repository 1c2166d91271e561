package docker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/docs"
)

// TestDocument does what docs/docker.md says and sees what it says: with the
// engine for a client until the companion is installed, then with the companion.
func TestDocument(t *testing.T) {
	root := repository(t)
	markdown, err := os.ReadFile(filepath.Join(root, "docs", "docker.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := docs.Parse(string(markdown))
	if err != nil {
		t.Fatalf("docs/docker.md: %v", err)
	}
	direct(t, "tag", image, "busybox")
	c := newComposed(t)
	// What the document has not run, since it is below /etc.
	config, err := os.ReadFile(filepath.Join(root, "config", "companion", "companion.yaml"))
	if err == nil {
		err = os.Mkdir(filepath.Join(c.dir, "etc"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(c.dir, "etc", "companion.yaml"), config, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.compose(t, "down") })
	before := direct(t, "ps", "--all", "--quiet")

	// The system's own python3 is the one that has docker-py.
	shell := docs.Shell{Dir: root, Env: append(c.environment, "PATH="+filepath.Join(root, "bin")+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"DOCKER_CONFIG="+filepath.Join(c.dir, "none"))}
	installed := false
	for _, b := range blocks {
		if install := b.Section == "As a container"; !install && !installed {
			c.wait(t)
			installed = true
			shell.Env = append(shell.Env, "DOCKER_HOST=unix://"+c.socket())
		} else if install && installed {
			t.Fatalf("line %d: the companion is installed by now", b.Line)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := shell.Run(ctx, b)
		cancel()
		if err != nil {
			t.Fatalf("docs/docker.md, %q: %v", b.Section, err)
		}
	}
	if !installed {
		t.Error("the document does not use the companion")
	}
	c.compose(t, "down")
	if after := direct(t, "ps", "--all", "--quiet"); after != before {
		t.Errorf("the document leaves containers behind: %s", after)
	}
	names := strings.Fields("alice-home carol-home dave-home")
	for _, name := range names {
		direct(t, "volume", "rm", name)
	}
	direct(t, "rmi", "busybox")
}
