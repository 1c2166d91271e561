package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/docs"
	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// TestGuide does what docs/opensandbox.md says, on the control plane of `make up`, and sees what it says.
func TestGuide(t *testing.T) {
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "opensandbox.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := docs.Parse(string(text))
	if err != nil {
		t.Fatalf("docs/opensandbox.md: %v", err)
	}
	examples, err := os.ReadDir(filepath.Join(root, "examples", "opensandbox"))
	if err != nil || len(examples) == 0 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	for _, e := range examples {
		if !strings.Contains(string(text), "examples/opensandbox/"+e.Name()) {
			t.Errorf("the guide does not use examples/opensandbox/%s", e.Name())
		}
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, pkg := range map[string]string{"standin": "./test/opensandbox", "webhook": "./cmd/webhook"} {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, name), pkg)
		build.Dir = root
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", name, err, output)
		}
	}
	g, err := prepare(t.Context(), filepath.Join(dir, "up"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
	env := []string{"PATH=" + bin + ":" + g.controlPlane.BinDir + ":/usr/bin:/bin", "KUBECONFIG=" + g.controlPlane.Kubeconfig, "HOME=" + dir, "KUBERC=off"}
	for _, b := range blocks {
		// The longest thing that it waits for is the garbage collector, which looks for new kinds twice a minute.
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		err := docs.Run(ctx, root, env, b)
		cancel()
		if err != nil {
			t.Fatalf("docs/opensandbox.md, %q: %v", b.Section, err)
		}
	}
}
