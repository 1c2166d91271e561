package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// checked returns the absolute path of the state folder, which must not be
// where the node sees something else.
func checked(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", dir, err)
	}
	if strings.ContainsAny(dir, ",:") {
		return "", fmt.Errorf("a node's state cannot be in %q: overlayfs takes no path with a comma or a colon", dir)
	}
	for _, hidden := range []string{"/run", "/var/run", "/var/log", "/var/lib", "/proc", "/sys", "/dev"} {
		if strings.HasPrefix(dir+"/", hidden+"/") {
			return "", fmt.Errorf("a node has a %s of its own; its state cannot be in %s", hidden, dir)
		}
	}
	return dir, nil
}

// lockState makes sure that one cluster has the folder. One that was killed a
// moment ago may still have it.
func lockState(ctx context.Context, dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "node", "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the state folder: %w", err)
	}
	if !eventually(ctx, func() bool {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		return !errors.Is(err, syscall.EWOULDBLOCK)
	}) || err != nil {
		file.Close()
		return nil, fmt.Errorf("another cluster runs, or is ending, in %s: %w", dir, err)
	}
	return file, nil
}

// eventually calls done until it is, for at most 5 s or until ctx ends.
func eventually(ctx context.Context, done func() bool) bool {
	for deadline := time.Now().Add(5 * time.Second); ; {
		if done() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}
