package process

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
)

// Memory is what a process has resident, in bytes.
type Memory struct {
	Now  int64
	Peak int64 // since it was started, or since ResetPeak
}

// Memory asks the kernel.
func (p *Process) Memory() (Memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return Memory{}, fmt.Errorf("reading the memory of %s: %w", p.name, err)
	}
	var m Memory
	for name, into := range map[string]*int64{"VmRSS": &m.Now, "VmHWM": &m.Peak} {
		found := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+) kB$`).FindSubmatch(status)
		if found == nil {
			return Memory{}, fmt.Errorf("reading the memory of %s: its status has no %s; has it ended?", p.name, name)
		}
		kib, err := strconv.ParseInt(string(found[1]), 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("reading the memory of %s: %w", p.name, err)
		}
		*into = kib << 10
	}
	return m, nil
}

// ResetPeak makes what the process has resident now its peak; proc_pid_clear_refs(5).
func (p *Process) ResetPeak() error {
	const peak = "5"
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.PID), []byte(peak), 0); err != nil {
		return fmt.Errorf("resetting the peak of the memory of %s: %w", p.name, err)
	}
	return nil
}
