package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/docs"
	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// onDocker is the guide's section whose blocks need an engine: test/docker runs them.
const onDocker = "Docker"

// guide is docs/opensandbox.md, and its blocks that are run.
func guide(t *testing.T) (root, text string, blocks []docs.Block) {
	t.Helper()
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, "docs", "opensandbox.md"))
	if err != nil {
		t.Fatal(err)
	}
	if blocks, err = docs.Parse(string(content)); err != nil {
		t.Fatalf("docs/opensandbox.md: %v", err)
	}
	return root, string(content), blocks
}

// TestGuideIsRunWhole: the guide has no command and no manifest that TestGuide, or test/docker, does not come to.
func TestGuideIsRunWhole(t *testing.T) {
	root, text, blocks := guide(t)
	shown, err := docs.Illustrations(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range shown {
		t.Errorf("docs/opensandbox.md, %q: nobody runs the block at line %d", b.Section, b.Line)
	}
	examples, err := os.ReadDir(filepath.Join(root, "examples", "opensandbox"))
	if err != nil || len(examples) == 0 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	for _, e := range examples {
		if !uses(blocks, "examples/opensandbox/"+e.Name()) {
			t.Errorf("no command of the guide uses examples/opensandbox/%s", e.Name())
		}
	}
	programs := map[string]bool{}
	for _, b := range blocks {
		for _, s := range b.Steps {
			for line := range strings.Lines(s.Command) {
				program, _, _ := strings.Cut(strings.TrimSpace(line), " ")
				programs[program] = true
			}
		}
	}
	named := 0
	for _, m := range regexp.MustCompile("`(([a-z0-9]+) [^`\n]+)`").FindAllStringSubmatch(text, -1) {
		if programs[m[2]] {
			named++
			if !uses(blocks, m[1]) {
				t.Errorf("no block of the guide runs `%s`, which its text names", m[1])
			}
		}
	}
	if named == 0 {
		t.Error("the guide's text names no command at all")
	}
}

// TestGuide does what docs/opensandbox.md says, from `make up` to `make down`, and sees what it says. It does so in a copy of the
// repository, since what a person has up in this one is not a test's to play with.
func TestGuide(t *testing.T) {
	root, _, blocks := guide(t)
	dir := t.TempDir()
	shell := docs.Shell{Dir: filepath.Join(dir, "repository"), Env: reader(t, dir)}
	if err := copyTree(root, shell.Dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(shell.Dir, ".run", "up.log"))
			t.Logf("%s", log[max(0, len(log)-4096):])
		}
		down := exec.Command("make", "down") // by now nothing is up, unless the guide could not be followed to its end
		down.Dir, down.Env = shell.Dir, shell.Env
		if output, err := down.CombinedOutput(); err != nil || !t.Failed() && !bytes.HasSuffix(output, []byte("Nothing is up.\n")) {
			t.Errorf("make down: %v\n%s", err, output)
		}
	})
	for _, b := range blocks {
		if b.Section == onDocker {
			continue
		}
		// The longest thing that it waits for, once everything is built, is the garbage collector, which looks for new kinds twice a
		// minute.
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		err := shell.Run(ctx, b)
		cancel()
		if err != nil {
			t.Fatalf("docs/opensandbox.md, %q: %v", b.Section, err)
		}
	}
	wantNothingRunning(t, shell.Dir)
}

// uses tells whether a command of the blocks has a text in it.
func uses(blocks []docs.Block, text string) bool {
	return slices.ContainsFunc(blocks, func(b docs.Block) bool {
		return slices.ContainsFunc(b.Steps, func(s docs.Step) bool { return strings.Contains(s.Command, text) })
	})
}

// reader is the environment of somebody who follows the guide: this test's own, with a home that nobody else uses, what Go and the
// cluster's build keep in the real one, and nothing of a make that runs this test.
func reader(t *testing.T, home string) []string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains([]string{"KUBECONFIG", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}, name)
	})
	for _, name := range []string{"GOCACHE", "GOENV", "GOMODCACHE"} {
		value, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
		if err != nil {
			t.Fatalf("go env %s: %v", name, err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(value)))
	}
	return append(env, "XDG_CACHE_HOME="+cache, "HOME="+home, "KUBERC=off")
}

// copyTree copies a repository, without what is built, what runs and what git keeps.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case slices.Contains([]string{".git", ".run", "bin"}, name):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), content, info.Mode().Perm())
	})
}
