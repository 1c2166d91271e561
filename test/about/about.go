// Package about says what the figures of a measurement depend on.
package about

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// Run is a line each about the commit that is measured, and about the machine.
func Run(ctx context.Context) ([]string, error) {
	root, err := process.Root()
	if err != nil {
		return nil, err
	}
	commit, err := exec.CommandContext(ctx, "git", "-C", root, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=, with changes that are in no commit").Output()
	if err != nil {
		commit = []byte("unknown")
	}
	processor := "processors of an unknown kind"
	if cpus, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(cpus); m != nil {
			processor = string(m[1])
		}
	}
	load := "unknown"
	if said, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(said))[:2], " and ")
	}
	return []string{
		"commit " + strings.TrimSpace(string(commit)),
		fmt.Sprintf("%d cores, %s; load of the last 1 and 5 minutes before the run: %s; built with %s", runtime.NumCPU(), processor, load, runtime.Version()),
	}, nil
}
