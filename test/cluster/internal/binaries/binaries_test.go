package binaries

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestVersionComesFromGoMod(t *testing.T) {
	for name, goMod := range map[string]string{
		"block": "module m\n\nrequire (\n\tk8s.io/kubernetes v1.37.2 // indirect\n)\n",
		"line":  "module m\n\nrequire k8s.io/kubernetes v1.37.2\n",
	} {
		if version, err := Version([]byte(goMod)); err != nil || version != "v1.37.2" {
			t.Errorf("%s: got %q, %v", name, version, err)
		}
	}
	if version, err := Version([]byte("replace k8s.io/api => k8s.io/api v0.37.2\n")); err == nil {
		t.Errorf("without a requirement: got %q, want an error", version)
	}
}

// small builds a program of the Go distribution: true builds in a second.
func small(t *testing.T, out *bytes.Buffer) Builder {
	t.Helper()
	return Builder{
		Tools: []Tool{{Name: "addr2line", Package: "cmd/addr2line"}},
		GoMod: []byte("module small\n\ngo 1.26\n"),
		Cache: t.TempDir(),
		Tick:  10 * time.Millisecond,
		Out:   out,
	}
}

func TestTwoAtOnceBuildOnce(t *testing.T) {
	var outputs [2]bytes.Buffer
	builder := small(t, nil)
	dirs := make([]string, 2)
	var both sync.WaitGroup
	for i := range outputs {
		both.Go(func() {
			mine := builder
			mine.Out = &outputs[i]
			dir, err := mine.Ensure(t.Context())
			if err != nil {
				t.Error(err)
			}
			dirs[i] = dir
		})
	}
	both.Wait()
	if dirs[0] != dirs[1] || !executable(filepath.Join(dirs[0], "addr2line")) {
		t.Fatalf("folders %q: want one, with the program", dirs)
	}
	said := outputs[0].String() + outputs[1].String()
	if n := strings.Count(said, "addr2line (1 of 1): done"); n != 1 {
		t.Errorf("built %d times, want once:\n%s", n, said)
	}
	for _, want := range []string{"waiting", "addr2line (1 of 1): 0 s"} {
		if !strings.Contains(said, want) {
			t.Errorf("the progress lacks %q:\n%s", want, said)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dirs[0], "*.new")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestBuiltProgramsAreKept(t *testing.T) {
	var out bytes.Buffer
	builder := small(t, &out)
	if _, err := builder.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if _, err := builder.Ensure(t.Context()); err != nil || out.Len() > 0 {
		t.Errorf("the second time: %v, and said %q; want silence", err, &out)
	}
	before := builder.key()
	builder.Version = "v9.9.9"
	if builder.key() == before {
		t.Error("another version shares the folder")
	}
}

func TestAFailedBuildSaysWhyAndLeavesNothing(t *testing.T) {
	var out bytes.Buffer
	builder := small(t, &out)
	builder.Tools = []Tool{{Name: "nothing", Package: "cmd/there-is-no-such-program"}}
	_, err := builder.Ensure(t.Context())
	if err == nil || !strings.Contains(err.Error(), "building nothing") || !strings.Contains(err.Error(), "there-is-no-such-program") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := builder.Ensure(ctx); err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("cancelled: got %v", err)
	}
	if files, _ := filepath.Glob(filepath.Join(builder.Cache, "*", "*")); len(files) > 0 {
		t.Errorf("left behind: %q", files)
	}
}

func TestAssetsComeFirst(t *testing.T) {
	var out bytes.Buffer
	builder := small(t, &out)
	builder.Assets = t.TempDir()
	builder.Tools = append(builder.Tools, Tool{Name: "ready", Package: "cmd/there-is-no-such-program"})
	ready := filepath.Join(builder.Assets, "ready")
	if err := os.WriteFile(ready, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds its links
		dir, err := builder.Ensure(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if target, _ := os.Readlink(filepath.Join(dir, "ready")); target != ready {
			t.Errorf("ready is %q, want the asset %q", target, ready)
		}
		if !executable(filepath.Join(dir, "addr2line")) {
			t.Error("the program that the assets lack is not there")
		}
	}
}
