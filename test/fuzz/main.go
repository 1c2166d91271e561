// Command fuzz runs every fuzz target below pkg for a time each, as many at once
// as there are cores and each on one of them, and says what came of it. `make test`
// runs it with 20 s, `make soak PART=fuzz` with 15 minutes. Each begins with what is
// committed, never with what earlier runs came upon: Go keeps that in its cache, and
// tries it all before anything new. What a target finds, Go writes to its package's
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
	"runtime"
	"slices"
	"strings"
	"sync"
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
	all = slices.DeleteFunc(all, func(t target) bool { return !strings.Contains(t.String(), *only) })
	if len(all) == 0 {
		return fmt.Errorf("no fuzz target has %q in its name", *only)
	}
	atOnce := runtime.GOMAXPROCS(0)
	said, errs := make([]string, len(all)), make([]error, len(all))
	free := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	progress := &whole{to: stdout}
	for i, t := range all {
		free <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			said[i], errs[i] = t.run(ctx, root, *long, progress)
			<-free
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("interrupted: %w", err)
	}
	failed := errors.Join(errs...)
	about := fmt.Sprintf("fuzz targets, %s each on one core, %d at once", *long, atOnce)
	text := strings.Join(slices.Concat([]string{about}, facts, said), "\n- ") + "\n"
	fmt.Fprint(stdout, "\n", text)
	if *result != "" {
		failed = errors.Join(failed, os.WriteFile(*result, []byte(text), 0o644))
	}
	return failed
}

// whole lets several write, one at a time.
type whole struct {
	mu sync.Mutex
	to io.Writer
}

func (w *whole) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
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
	fmt.Fprintln(progress, t, "begins")
	found, err := os.MkdirTemp("", "fuzz")
	if err != nil {
		return t.String() + ": FAILED", err
	}
	defer os.RemoveAll(found)
	var out bytes.Buffer
	// By default each new input is made smaller for a minute, in which nothing new is tried.
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", long.String(), "-fuzzminimizetime", "100x", "-parallel", "1", "./"+t.folder, "-test.fuzzcachedir="+found)
	cmd.Dir = root
	cmd.Stdout, cmd.Stderr = &out, &out
	// An interrupt ends the fuzzer and its workers, which clean up; go test does not pass one on.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	err = cmd.Run()
	fmt.Fprintf(progress, "%s ends\n%s", t, &out)
	if err != nil {
		return t.String() + ": FAILED", fmt.Errorf("%s: %w", t, err)
	}
	counted := regexp.MustCompile(`execs: (\d+)`).FindAllSubmatch(out.Bytes(), -1)
	if counted == nil {
		return t.String() + ": FAILED", fmt.Errorf("%s ran nothing:\n%s", t, &out)
	}
	return fmt.Sprintf("%s: %s inputs, nothing found", t, counted[len(counted)-1][1]), nil
}
