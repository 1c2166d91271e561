package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/engine"
	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// teller tells stories to out, holding each to what it promises. Their commands
// see the companion's socket as DOCKER_HOST.
type teller struct {
	ground    *ground
	companion *engine.Companion
	names     *strings.Replacer
	out       io.Writer
}

// newTeller starts a companion before the ground's engine, and says so.
func newTeller(ctx context.Context, g *ground, out io.Writer) (*teller, error) {
	c, err := engine.StartCompanion(ctx, g.socket, configuration)
	if err != nil {
		return nil, err
	}
	t := &teller{ground: g, companion: c, out: out, names: strings.NewReplacer(
		"{x}", strings.ToLower(rand.Text()[:6]), "{image}", engine.Image, "{pid}", strconv.Itoa(c.PID),
	)}
	fmt.Fprintf(out, "\nThe companion is in front of it, with the configuration companion.yaml:\n")
	t.paragraph(configuration)
	t.paragraph("$ export DOCKER_HOST=unix://" + c.Socket)
	return t, nil
}

func (t *teller) tell(ctx context.Context, s story) error {
	for _, step := range s.steps {
		command := t.names.Replace(step.command)
		t.paragraph("$ " + command)
		heard := t.heard(step.then)
		var output string
		check := func() (err error) {
			output, err = t.check(ctx, step, command)
			return err
		}
		var err error
		if step.patient {
			err = process.Poll(ctx, time.Minute, t.companion.Done(), check, "waiting for what must come")
		} else {
			err = check()
		}
		t.paragraph(output)
		if err == nil && step.then != "" {
			err = process.Poll(ctx, time.Minute, t.companion.Done(), func() error {
				if t.heard(step.then) > heard {
					return nil
				}
				return fmt.Errorf("the companion's log lacks %q", step.then)
			}, "waiting for the companion")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
	}
	return nil
}

// check runs a command and says what is wrong with how it came out.
func (t *teller) check(ctx context.Context, s step, command string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-c", command)
	cmd.Env = engine.CLI(ctx, t.companion.Socket).Env
	cmd.Dir = filepath.Dir(t.companion.ConfigFile)
	cmd.WaitDelay = time.Second
	said, err := cmd.CombinedOutput()
	output := string(said)
	if exit := (*exec.ExitError)(nil); ctx.Err() != nil {
		return output, context.Cause(ctx)
	} else if err != nil && !errors.As(err, &exit) {
		return output, err
	}
	if failed := err != nil; failed != s.fails {
		return output, fmt.Errorf("failed: %t, want %t", failed, s.fails)
	}
	if s.nothing && output != "" {
		return output, errors.New("it says something, and should not")
	}
	for _, want := range s.says {
		if want = t.names.Replace(want); !strings.Contains(output, want) {
			return output, fmt.Errorf("the output lacks %s", want)
		}
	}
	return output, nil
}

// heard is how often the companion's log has a text.
func (t *teller) heard(text string) int {
	content, err := os.ReadFile(t.companion.LogPath)
	if err != nil || text == "" {
		return 0
	}
	return bytes.Count(content, []byte(text))
}

// paragraph writes lines, indented.
func (t *teller) paragraph(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprintln(t.out, strings.TrimRight("   "+line, " \n"))
	}
}

// stop ends the companion and removes what the stories may have left, at the
// engine itself: containers that use their volumes, and these.
func (t *teller) stop(ctx context.Context) error {
	err := t.companion.Remove()
	for _, name := range volumeNames() {
		name = t.names.Replace(name)
		for _, clear := range []struct{ list, remove []string }{
			{[]string{"ps", "--all", "--quiet", "--no-trunc", "--filter", "volume=" + name}, []string{"rm", "--force"}},
			{[]string{"volume", "ls", "--quiet", "--filter", "name=" + name}, []string{"volume", "rm"}},
		} {
			found, listErr := engine.CLI(ctx, t.ground.socket, clear.list...).Output()
			err = errors.Join(err, listErr)
			if len(found) == 0 {
				continue
			}
			if said, removeErr := engine.CLI(ctx, t.ground.socket, append(clear.remove, strings.Fields(string(found))...)...).CombinedOutput(); removeErr != nil {
				err = errors.Join(err, fmt.Errorf("removing what the demo has left: %w\n%s", removeErr, said))
			}
		}
	}
	return err
}
