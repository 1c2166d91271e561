package docs

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// stragglers is how long what a command has left running may hold its output open.
const stragglers = 5 * time.Second

// Run runs one block in the folder dir with the environment env, which should have HOME and PATH. Each of its steps is a shell of its
// own, `bash -euo pipefail`. It ends at the first step that fails or says something else than the document; the error
// has the line, the command and the whole output.
func Run(ctx context.Context, dir string, env []string, b Block) error {
	for _, s := range b.Steps {
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", s.Command)
		cmd.Dir, cmd.Env, cmd.WaitDelay = dir, env, stragglers
		output, err := cmd.CombinedOutput()
		if wrong := s.judge(string(output), err); wrong != nil {
			return fmt.Errorf("line %d: %w\n$ %s\n%s", s.Line, wrong, s.Command, output)
		}
	}
	return nil
}

// judge says what is wrong with how a step has ended.
func (s Step) judge(output string, failure error) error {
	if !s.Console {
		return failure
	}
	if failure != nil {
		told := len(s.Output) > 0 && strings.TrimSpace(s.Output[len(s.Output)-1]) != anything
		if _, exited := errors.AsType[*exec.ExitError](failure); !exited || !told {
			return failure
		}
	}
	return Match(s.Output, output)
}
