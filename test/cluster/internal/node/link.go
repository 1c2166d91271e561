package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// connect gives the node a number and the link to the machine.
func (o Outside) connect(ctx context.Context, pid int) (number, error) {
	n, err := o.takeNumber(ctx, pid)
	if err != nil {
		return 0, err
	}
	for _, args := range [][]string{
		{"address", "add", n.outer().String() + "/30", "dev", n.link()},
		{"link", "set", n.link(), "up"},
		{"route", "add", n.all().String(), "via", n.inner().String(), "dev", n.link()},
	} {
		if err := command(ctx, "ip", args...); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// takeNumber takes the number of the state, or the first that is free. Who
// makes the link has the number.
func (o Outside) takeNumber(ctx context.Context, pid int) (number, error) {
	make := func(n number) error {
		return command(ctx, "ip", "link", "add", n.link(), "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(pid))
	}
	path := filepath.Join(o.Dir, "node", "number")
	if content, err := os.ReadFile(path); err == nil {
		kept, err := strconv.Atoi(strings.TrimSpace(string(content)))
		if err != nil {
			return 0, fmt.Errorf("reading the cluster's number: %w", err)
		}
		n := number(kept)
		// The kernel takes a link away some time after the last process.
		eventually(ctx, func() bool { return !n.linkUp() })
		if free, err := n.free(); err != nil || !free {
			return 0, errors.Join(fmt.Errorf("this cluster has the addresses %s, which the machine uses otherwise", n.all()), err)
		}
		return n, make(n)
	}
	var last error
	for n := lowest; n <= highest; n++ {
		free, err := n.free()
		if err != nil {
			return 0, err
		}
		if !free {
			continue
		}
		if last = make(n); last == nil {
			if err := os.WriteFile(path, fmt.Appendf(nil, "%d\n", n), 0o600); err != nil {
				return 0, fmt.Errorf("writing down the cluster's number: %w", err)
			}
			return n, nil
		}
		if ctx.Err() != nil || !n.linkUp() { // not for somebody else's having been faster
			return 0, last
		}
	}
	return 0, errors.Join(fmt.Errorf("finding addresses: from 10.%d.0.0/16 to 10.%d.0.0/16 all are in use", lowest, highest), last)
}

// command runs a program for what it does.
func command(ctx context.Context, name string, args ...string) error {
	if output, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("running %s %s: %w\n%s", name, strings.Join(args, " "), err, output)
	}
	return nil
}
