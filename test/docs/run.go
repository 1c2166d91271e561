package docs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// stragglers is how long what a command has left running may hold its output open.
const stragglers = 5 * time.Second

// Shell runs the blocks of a document, as a person would who goes through it in one shell.
type Shell struct {
	// Dir is the folder in which every command begins.
	Dir string
	// Env should have HOME and PATH. What a script exports is added to it.
	Env []string
}

// Run runs one block. Each of its steps is a process of its own, `bash -euo pipefail`; what a script exports holds for all that comes
// after it, where a console block's exports and every cd end with the step. It ends at the first step that fails or says
// something else than the document; the error has the line, the command and the whole output.
func (s *Shell) Run(ctx context.Context, b Block) error {
	for _, step := range b.Steps {
		command, exports := step.Command, ""
		if !step.Console {
			file, err := os.CreateTemp("", "exports-")
			if err != nil {
				return fmt.Errorf("running line %d: %w", step.Line, err)
			}
			exports = file.Name()
			defer os.Remove(exports)
			file.Close()
			command += "\nenv -0 >'" + exports + "'"
		}
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", command)
		cmd.Dir, cmd.Env, cmd.WaitDelay = s.Dir, s.Env, stragglers
		output, err := cmd.CombinedOutput()
		if wrong := step.judge(string(output), err); wrong != nil {
			return fmt.Errorf("line %d: %w\n$ %s\n%s", step.Line, wrong, step.Command, output)
		}
		if exports != "" {
			if err := s.export(exports); err != nil {
				return fmt.Errorf("running line %d: %w", step.Line, err)
			}
		}
	}
	return nil
}

// export takes over an environment that a script has left in a file.
func (s *Shell) export(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for variable := range strings.SplitSeq(strings.TrimSuffix(string(text), "\x00"), "\x00") {
		// Of bash's own making, and of its folder.
		if name, _, _ := strings.Cut(variable, "="); !slices.Contains([]string{"_", "SHLVL", "PWD", "OLDPWD"}, name) {
			s.Env = append(slices.Clip(s.Env), variable) // of a name that is there twice the last counts
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
