package binaries

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// build puts the tools that dir lacks into dir. A lock file beside it makes
// sure that one process builds.
func (b Builder) build(ctx context.Context, dir string, tools []Tool) error {
	if len(absent(dir, tools)) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("creating the cache folder: %w", err)
	}
	unlock, err := b.lock(ctx, dir+".lock")
	if err != nil {
		return err
	}
	defer unlock()

	tools = absent(dir, tools) // whoever had the lock before us may have built them
	if len(tools) == 0 {
		return nil
	}
	fmt.Fprintf(b.Out, "building %d programs into %s; kept for later, 7 to 15 minutes on 2 cores with an empty build cache\n", len(tools), dir)
	module, err := os.MkdirTemp("", "ensure-volumes-build-")
	if err != nil {
		return fmt.Errorf("creating the build folder: %w", err)
	}
	defer os.RemoveAll(module)
	for name, content := range map[string][]byte{"go.mod": b.GoMod, "go.sum": b.GoSum} {
		if err := os.WriteFile(filepath.Join(module, name), content, 0o644); err != nil {
			return fmt.Errorf("writing the module to build: %w", err)
		}
	}
	for i, tool := range tools {
		if tool.Source != nil {
			folder := filepath.Join(module, tool.Package)
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return fmt.Errorf("creating the build folder: %w", err)
			}
			if err := os.WriteFile(filepath.Join(folder, "main.go"), tool.Source, 0o644); err != nil {
				return fmt.Errorf("writing the package to build: %w", err)
			}
		}
		label := fmt.Sprintf("building %s (%d of %d)", tool.Name, i+1, len(tools))
		if err := b.buildOne(ctx, module, dir, tool, label); err != nil {
			return err
		}
	}
	return nil
}

func absent(dir string, tools []Tool) []Tool {
	var result []Tool
	for _, tool := range tools {
		if !executable(filepath.Join(dir, tool.Name)) {
			result = append(result, tool)
		}
	}
	return result
}

func (b Builder) buildOne(ctx context.Context, module, dir string, tool Tool, label string) error {
	target := filepath.Join(dir, tool.Name)
	// Built beside the target and renamed: an interrupted build leaves nothing
	// that looks like a program.
	fresh := target + ".new"
	defer os.Remove(fresh)

	args := append([]string{"build"}, b.flags()...)
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", fresh, tool.Package)...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	output := new(lastLine)
	cmd.Stdout, cmd.Stderr = output, output

	start := time.Now()
	stop := b.report(label, start, output)
	err := cmd.Run()
	stop()
	if ctx.Err() != nil {
		return fmt.Errorf("building %s: %w", tool.Name, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("building %s: %w\n%s", tool.Name, err, output.all())
	}
	if err := os.Rename(fresh, target); err != nil {
		return fmt.Errorf("keeping %s: %w", tool.Name, err)
	}
	fmt.Fprintf(b.Out, "%s: done after %.0f s\n", label, time.Since(start).Seconds())
	return nil
}

// report writes a line at once and then one a tick until stop is called.
func (b Builder) report(label string, start time.Time, output *lastLine) (stop func()) {
	tick := b.Tick
	if tick == 0 {
		tick = 15 * time.Second
	}
	fmt.Fprintln(b.Out, label)
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case now := <-ticker.C:
				line := fmt.Sprintf("%s: %.0f s", label, now.Sub(start).Seconds())
				if news := output.news(); news != "" {
					line += ", " + news
				}
				fmt.Fprintln(b.Out, line)
			}
		}
	})
	return func() { close(done); ended.Wait() }
}

// lock takes an exclusive lock on the file, saying so when it has to wait.
func (b Builder) lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock file: %w", err)
	}
	start, said := time.Now(), time.Time{}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			file.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		if now := time.Now(); now.Sub(said) > 15*time.Second {
			said = now
			fmt.Fprintf(b.Out, "another process builds the same programs; waiting, %.0f s\n", now.Sub(start).Seconds())
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("waiting for %s: %w", path, context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// lastLine keeps what the go command says and hands out its last line once.
type lastLine struct {
	mu     sync.Mutex
	buffer bytes.Buffer
	told   string
}

var _ io.Writer = (*lastLine)(nil)

func (l *lastLine) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *lastLine) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(l.buffer.String())
}

func (l *lastLine) news() string {
	all := l.all()
	line := all[strings.LastIndexByte(all, '\n')+1:]
	if line == l.told {
		return ""
	}
	l.told = line
	return line
}
