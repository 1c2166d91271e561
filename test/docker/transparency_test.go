package docker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/engine"
)

// scenario is what somebody does with the CLI. It runs twice, in the same state:
// with the engine itself and through a companion, which must not be told apart.
type scenario struct {
	name string
	// A script for sh, in a folder of its own. `d` is docker, its exit code
	// recorded; $IMAGE is the image. It names its containers, volumes and
	// images, and leaves none behind.
	script string
	// What the script prints must have all of these lines, and the exit codes
	// too, "run 7" for each call of d: a script that did nothing compares well.
	lines, codes []string
}

// outcome is everything that a person sees of a scenario.
type outcome struct {
	stdout, stderr string
	codes          []string // sorted: the parts of a pipe end in any order
}

// prelude records exit codes beside the output, so that d can stand in a pipe.
const prelude = `d() { docker "$@"; code=$?; echo "$1 $code" >&3; return $code; }
# until_there FILE TEXT: a program that runs beside has written so far.
until_there() { until grep -q "$2" "$1" 2>/dev/null; do sleep 0.05; done; }
`

// transparent runs a scenario on both sides and compares.
func transparent(t *testing.T, c *companion, s scenario) {
	t.Helper()
	theirs, ours := play(t, shared.Socket, s.script), play(t, c.Socket, s.script)
	for _, line := range s.lines {
		if !slices.Contains(strings.Split(theirs.stdout, "\n"), line) {
			t.Errorf("with the engine itself the line %q is missing in\n%s\nstderr: %s", line, theirs.stdout, theirs.stderr)
		}
	}
	for _, code := range s.codes {
		if !slices.Contains(theirs.codes, code) {
			t.Errorf("with the engine itself the exit code %q is missing in %q", code, theirs.codes)
		}
	}
	if ours.stdout != theirs.stdout {
		t.Errorf("stdout is\n%s\nwith the engine itself\n%s", ours.stdout, theirs.stdout)
	}
	if ours.stderr != theirs.stderr {
		t.Errorf("stderr is\n%s\nwith the engine itself\n%s", ours.stderr, theirs.stderr)
	}
	if !slices.Equal(ours.codes, theirs.codes) {
		t.Errorf("the exit codes are %q, with the engine itself %q", ours.codes, theirs.codes)
	}
}

func transparentAll(t *testing.T, scenarios []scenario) {
	t.Parallel()
	c := start(t)
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			transparent(t, c, s)
		})
	}
}

// play runs a script against a socket.
func play(t *testing.T, socket, script string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	cmd := exec.CommandContext(ctx, "sh", "-u", "-c", prelude+script)
	cmd.Dir = dir
	cmd.Env = append(engine.CLI(ctx, socket).Env, "IMAGE="+image, "HOME="+dir)
	// What a script leaves running in the background ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	codes, err := os.Create(filepath.Join(t.TempDir(), "codes"))
	if err != nil {
		t.Fatal(err)
	}
	defer codes.Close()
	cmd.ExtraFiles = []*os.File{codes}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	runErr := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("the script did not end: %v\n%s%s", runErr, out.String(), errs.String())
	}
	if _, err := codes.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(codes)
	if err != nil {
		t.Fatal(err)
	}
	o := outcome{codes: strings.Split(strings.TrimSpace(string(content)), "\n")}
	slices.Sort(o.codes)
	n := normaliser{}
	o.stdout, o.stderr = n.text(out.String()), n.text(errs.String())
	return o
}

// normaliser replaces what two runs cannot have in common, and nothing else:
//
//   - ids of containers, images and networks, of 64 or 12 hexadecimal digits, by
//     their order of appearance: the same id must come again at the same places;
//   - points in time.
type normaliser map[string]string

var (
	ids   = regexp.MustCompile(`\b([0-9a-f]{64}|[0-9a-f]{12})\b`)
	times = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)
)

func (n normaliser) text(s string) string {
	s = times.ReplaceAllString(s, "TIME")
	return ids.ReplaceAllStringFunc(s, func(id string) string {
		short := id[:12]
		if n[short] == "" {
			n[short] = fmt.Sprintf("ID%d", len(n)+1)
		}
		return n[short]
	})
}
