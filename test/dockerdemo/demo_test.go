package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/engine"
)

// asProgram makes the test binary behave as the program itself.
const asProgram = "ENSURE_VOLUMES_TEST_AS_DOCKERDEMO"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// output is what a program says; when it says until, stop is called.
type output struct {
	mu    sync.Mutex
	said  bytes.Buffer
	until string
	stop  func()
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.said.Write(p)
	if o.until != "" && strings.Contains(o.said.String(), o.until) {
		o.stop()
	}
	return n, err
}

// demonstrate runs the program and returns what it printed, in order, and its
// exit code. It is interrupted once it says until, if that is not empty.
// Everything that it writes must be gone at its end.
func demonstrate(t *testing.T, host, until string, args ...string) (said string, code int) {
	t.Helper()
	dir, err := os.MkdirTemp("", "d") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "DOCKER_HOST="+host, "TMPDIR="+dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	out := &output{until: until, stop: cancel}
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	t.Logf("dockerdemo %q: %v\n%s", args, err, &out.said)
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return out.said.String(), cmd.ProcessState.ExitCode()
}

func wantStories(t *testing.T, said string, code int) {
	t.Helper()
	for i, s := range stories() {
		if !strings.Contains(said, "\n"+strconv.Itoa(i+1)+". "+s.title+"\n") {
			t.Errorf("story %d is not told", i+1)
		}
	}
	if code != 0 || !strings.Contains(said, "\nEvery story came out as it should, in ") || !strings.HasSuffix(said, " Nothing is left.\n") {
		t.Errorf("exit code %d", code)
	}
}

func TestEngineOfItsOwn(t *testing.T) {
	said, code := demonstrate(t, "tcp://192.0.2.1:2375", "", "--socket", filepath.Join(t.TempDir(), "none"))
	wantStories(t, said, code)
	if !strings.Contains(said, "DOCKER_HOST is tcp://192.0.2.1:2375, and the companion speaks to an engine on this machine.\nNo engine answers at ") {
		t.Error("it does not say which engine it uses")
	}
}

// TestEngineFound: an engine that is in use is afterwards as it was, also where the demo is interrupted.
func TestEngineFound(t *testing.T) {
	e, err := engine.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	docker := func(args ...string) string {
		t.Helper()
		out, err := engine.CLI(t.Context(), e.Socket, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("docker %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	everything := func() string {
		t.Helper()
		return docker("image", "ls", "--all", "--no-trunc", "--format", "{{.ID}} {{.Repository}}") + docker("ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}}") + docker("volume", "ls")
	}
	docker("volume", "create", "bystander")

	before := everything()
	said, code := demonstrate(t, "unix://"+e.Socket, "")
	wantStories(t, said, code)
	if !strings.HasPrefix(said, "The engine is the one at "+e.Socket+", version ") {
		t.Error("it does not say which engine it uses")
	}
	if after := everything(); after != before {
		t.Errorf("the engine had\n%s\nand now has\n%s", before, after)
	}

	if err := engine.Import(t.Context(), e.Socket); err != nil {
		t.Fatal(err)
	}
	before = everything()
	if _, code := demonstrate(t, "unix://"+e.Socket, "3. "); code != 1 {
		t.Errorf("interrupted, it ends with exit code %d", code)
	}
	if after := everything(); after != before {
		t.Errorf("the interrupted demo leaves things; the engine had\n%s\nand now has\n%s", before, after)
	}
}

// TestStepsAreHeld: what comes out in another way than it should is an error.
func TestStepsAreHeld(t *testing.T) {
	teller := &teller{companion: &engine.Companion{}, names: strings.NewReplacer("{x}", "y")}
	for name, c := range map[string]struct {
		step  step
		wrong string // "": nothing is
	}{
		"as it should":        {step{command: "echo a-y", says: []string{"a-{x}"}}, ""},
		"fails, as it should": {step{command: "echo oh >&2; false", fails: true, says: []string{"oh"}}, ""},
		"fails":               {step{command: "false"}, "failed: true, want false"},
		"does not fail":       {step{command: "true", fails: true}, "failed: false, want true"},
		"says too little":     {step{command: "echo a", says: []string{"a", "b-{x}"}}, "the output lacks b-y"},
		"says too much":       {step{command: "echo a", nothing: true}, "it says something"},
	} {
		_, err := teller.check(t.Context(), c.step, c.step.command)
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
