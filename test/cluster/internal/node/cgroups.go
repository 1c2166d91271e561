package node

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const cgroupPrefix = "ensure-volumes-"

// hierarchies are the folders where control groups are mounted: one with
// version 2, several with version 1.
func hierarchies() ([]string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("reading the mounts: %w", err)
	}
	defer file.Close()
	var found []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		// id parent device root mountpoint options ... - type source options
		before, after, _ := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(before)
		if len(fields) > 4 && strings.HasPrefix(after, "cgroup") && !slices.Contains(found, fields[4]) {
			found = append(found, fields[4])
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the mounts: %w", err)
	}
	if len(found) == 0 {
		return nil, errors.New("finding control groups: none are mounted")
	}
	return found, nil
}

// makeCgroups makes the group below which kubelet puts every pod.
func makeCgroups(n number) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := os.Mkdir(filepath.Join(root, n.cgroup()), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("creating a control group: %w", err)
		}
		if err := delegate(root); err != nil {
			return err
		}
	}
	return nil
}

// delegate lets groups below a hierarchy of version 2 have the controllers that
// kubelet wants of its group. With version 1 there is nothing to do.
func delegate(root string) error {
	controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the controllers: %w", err)
	}
	for _, controller := range []string{"cpu", "cpuset", "memory", "hugetlb", "pids"} {
		if !slices.Contains(strings.Fields(string(controllers)), controller) {
			continue
		}
		if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+"+controller), 0o644); err != nil {
			return fmt.Errorf("delegating the controller %s: %w", controller, err)
		}
	}
	return nil
}

// removeCgroups removes the groups of a cluster whose processes have ended, or
// are about to.
func removeCgroups(n number) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	var all error
	for _, root := range roots {
		group := filepath.Join(root, n.cgroup())
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			err := removeTree(group)
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
				all = errors.Join(all, fmt.Errorf("removing a control group: %w", err))
				break
			}
		}
	}
	return all
}

// removeTree removes a group and those below it. Their files go with them and
// cannot be removed.
func removeTree(group string) error {
	entries, err := os.ReadDir(group)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(group, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "rmdir", Path: group, Err: err}
	}
	return nil
}

// sweep removes the groups of clusters that were killed: the link goes with
// the last process.
func sweep() error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	var all error
	for _, root := range roots {
		left, _ := filepath.Glob(filepath.Join(root, cgroupPrefix+"*")) // the pattern is well-formed
		for _, group := range left {
			n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(group), cgroupPrefix))
			if err == nil && !number(n).linkUp() {
				all = errors.Join(all, removeCgroups(number(n)))
			}
		}
	}
	return all
}
