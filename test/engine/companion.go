package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// Companion is the companion's binary, bin/companion, in front of an engine.
type Companion struct {
	*process.Process        // nil only before the first Up
	Socket           string // for clients
	StateDir         string
	ConfigFile       string

	dir, metricsURL string
	args            []string
}

// StartCompanion runs bin/companion, which `make build` makes, in front of the
// engine's socket, with the configuration and further flags, which win over
// ours. Everything it writes is in a new folder; it returns when it answers.
func StartCompanion(ctx context.Context, engineSocket, config string, flags ...string) (*Companion, error) {
	root, err := process.Root()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "companion") // short enough for a socket
	if err != nil {
		return nil, fmt.Errorf("making the companion's folder: %w", err)
	}
	c := &Companion{dir: dir, Socket: filepath.Join(dir, "docker.sock"), StateDir: filepath.Join(dir, "state"), ConfigFile: filepath.Join(dir, "companion.yaml")}
	if err := os.WriteFile(c.ConfigFile, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("writing the companion's configuration: %w", errors.Join(err, os.RemoveAll(dir)))
	}
	metrics, err := process.FreeAddress()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	c.args = append([]string{filepath.Join(root, "bin", "companion"), "--listen=" + c.Socket, "--engine=" + engineSocket, "--config=" + c.ConfigFile,
		"--state-dir=" + c.StateDir, "--metrics-listen=" + metrics}, flags...)
	c.metricsURL = "http://" + metrics + "/metrics"
	if err := c.Up(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return c, nil
}

// Up starts the companion again after [process.Process.Stop] or
// [process.Process.Kill], with what it left, and returns when it answers.
func (c *Companion) Up(ctx context.Context) error {
	running, err := process.Start(exec.Command(c.args[0], c.args[1:]...), filepath.Join(c.dir, "log"), time.Minute)
	if err != nil {
		return fmt.Errorf("%w; `make build` makes it", err)
	}
	c.Process = running
	c.MetricsURL = c.metricsURL
	err = process.Poll(ctx, 30*time.Second, running.Done(), func() error {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", c.Socket)
		if err != nil {
			return fmt.Errorf("%w; %s", err, running.LastWords())
		}
		return conn.Close()
	}, "waiting for the companion to answer")
	if err != nil {
		running.Kill()
	}
	return err
}

// Configure writes another configuration and tells the companion to read it
// (SIGHUP). It returns before the companion has.
func (c *Companion) Configure(config string) error {
	if err := os.WriteFile(c.ConfigFile, []byte(config), 0o600); err != nil {
		return fmt.Errorf("writing the companion's configuration: %w", err)
	}
	c.Signal(syscall.SIGHUP)
	return nil
}

// Remove ends the companion if it runs and removes its folder.
func (c *Companion) Remove() error {
	var err error
	select {
	case <-c.Done(): // killed, or stopped: how, its caller knows
	default:
		err = c.Stop()
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}
