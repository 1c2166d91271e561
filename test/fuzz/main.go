// Command fuzz runs every fuzz target below pkg, one after the other, for a time
// each, and says what came of it. `make test` runs it with 20 s, `make soak
// PART=fuzz` with 15 minutes. What a target finds, Go writes to its package's
// testdata/fuzz, to be committed with the mend.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/about"
	"github.com/ensure-volumes/ensure-volumes/test/process"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("fuzz", flag.ContinueOnError)
	long := flags.Duration("time", 20*time.Second, "for each target")
	result := flags.String("result", "", "the file that the figures are written to")
	only := flags.String("only", "", "only targets with this in their name")
	if err := flags.Parse(args); err != nil {
		return err
	}
	root, err := process.Root()
	if err != nil {
		return err
	}
	facts, err := about.Run(ctx)
	if err != nil {
		return err
	}
	all, err := targets(root)
	if err != nil {
		return err
	}
	lines := append([]string{fmt.Sprintf("fuzz targets, %s each", *long)}, facts...)
	var failed error
	for _, t := range all {
		if !strings.Contains(t.String(), *only) {
			continue
		}
		line, err := t.run(ctx, root, *long, stdout)
		failed = errors.Join(failed, err)
		lines = append(lines, line)
	}
	text := strings.Join(lines, "\n- ") + "\n"
	fmt.Fprint(stdout, "\n", text)
	if *result != "" {
		failed = errors.Join(failed, os.WriteFile(*result, []byte(text), 0o644))
	}
	return failed
}

// target is a fuzz target.
type target struct{ folder, name string }

func (t target) String() string { return t.folder + " " + t.name }

// targets are all that there are in the folder pkg.
func targets(root string) (all []target, err error) {
	declared := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)
	err = filepath.WalkDir(filepath.Join(root, "pkg"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range declared.FindAllSubmatch(text, -1) {
			all = append(all, target{folder, string(m[1])})
		}
		return err
	})
	if err == nil && len(all) == 0 {
		err = errors.New("there are no fuzz targets in pkg")
	}
	return all, err
}

// run fuzzes and returns a line that says what came of it.
func (t target) run(ctx context.Context, root string, long time.Duration, progress io.Writer) (string, error) {
	fmt.Fprintln(progress, t)
	var out bytes.Buffer
	// By default each new input is made smaller for a minute, in which nothing new is tried.
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", long.String(), "-fuzzminimizetime", "100x", "./"+t.folder)
	cmd.Dir = root
	cmd.Stdout = io.MultiWriter(&out, progress)
	cmd.Stderr = cmd.Stdout
	// go test passes an interrupt on, and its workers end; killed, it would leave them behind.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		return t.String() + ": FAILED", fmt.Errorf("%s: %w", t, err)
	}
	counted := regexp.MustCompile(`execs: (\d+)`).FindAllSubmatch(out.Bytes(), -1)
	if counted == nil {
		return t.String() + ": FAILED", fmt.Errorf("%s ran nothing:\n%s", t, &out)
	}
	return fmt.Sprintf("%s: %s inputs, nothing found", t, counted[len(counted)-1][1]), nil
}
