package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// What process 1 inherits.
const (
	gateFD = 3 // says the number once the link is there
	lockFD = 4
)

// Init is process 1 of the node's namespaces. It starts the program again as
// MainCommand, passes the end of ctx on to it as SIGTERM, and reaps whatever
// process loses its parent: each container has one that does. Its end, when
// that program ends, is the end of everything in the namespaces. The code is
// the program's.
func Init(ctx context.Context, dir string) (code int, err error) {
	syscall.CloseOnExec(lockFD)
	gate := os.NewFile(gateFD, "gate")
	line, err := bufio.NewReader(gate).ReadString('\n')
	gate.Close()
	if err != nil {
		return 0, errors.New("this is not started by hand, and who started it has given up")
	}
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("finding this program: %w", err)
	}
	cmd := exec.Command(self, MainCommand, "--dir", dir, "--number", strings.TrimSpace(line))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting the node: %w", err)
	}
	defer context.AfterFunc(ctx, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended by itself
	})()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("waiting for processes: %w", err)
		}
		if pid == cmd.Process.Pid {
			if status.Signaled() {
				return 128 + int(status.Signal()), nil
			}
			return status.ExitStatus(), nil
		}
	}
}
