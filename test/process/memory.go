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
	Peak int64 // since it was started
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
