package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func startScript(t *testing.T, script string, grace time.Duration) *Process {
	t.Helper()
	p, err := Start(exec.Command("/bin/sh", "-c", script), filepath.Join(t.TempDir(), "log"), grace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	for range 500 {
		if log, _ := os.ReadFile(p.LogPath); strings.Contains(string(log), "up") {
			return p
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the script never said that it is up")
	return nil
}

func TestStopIsPolite(t *testing.T) {
	p := startScript(t, `trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.05; done`, 10*time.Second)
	if group, err := syscall.Getpgid(p.PID); err != nil || group != p.PID {
		t.Errorf("in group %d (%v), where Ctrl-C would reach it", group, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if !strings.HasSuffix(p.LastWords(), "up\nasked") {
		t.Errorf("last words: %s", p.LastWords())
	}
	if err := p.Stop(); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

func TestStopTellsWhatWentWrong(t *testing.T) {
	stubborn := startScript(t, `trap '' TERM; echo up; while :; do sleep 0.05; done`, 100*time.Millisecond)
	if err := stubborn.Stop(); err == nil || !strings.Contains(err.Error(), "killed, since it had not ended after 100ms") {
		t.Errorf("a process that does not end: %v", err)
	}
	failing := startScript(t, `trap 'echo because; exit 3' TERM; echo up; while :; do sleep 0.05; done`, 10*time.Second)
	if err := failing.Stop(); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "because") {
		t.Errorf("a process that fails: %v", err)
	}
}

func TestRootIsFoundFromBelow(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(root, "test", "cluster", "internal")) // a module of its own on the way
	if again, err := Root(); err != nil || again != root {
		t.Errorf("got %q, %v; want %q", again, err, root)
	}
	t.Chdir(t.TempDir())
	if _, err := Root(); err == nil {
		t.Error("outside of the repository: want an error")
	}
}
