package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/engine"
	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// ground is the engine that the stories happen on, with their image.
type ground struct {
	socket   string
	own      *engine.Engine // nil where the engine was found
	imported bool           // the image was not there before
}

// find takes the engine that answers at host or at socket, or starts one.
func find(ctx context.Context, host, socket string, stdout, stderr io.Writer) (*ground, error) {
	g := &ground{}
	for _, candidate := range []string{host, "unix://" + socket} {
		path, isSocket := strings.CutPrefix(candidate, "unix://")
		if !isSocket {
			if candidate != "" {
				fmt.Fprintf(stdout, "DOCKER_HOST is %s, and the companion speaks to an engine on this machine.\n", candidate)
			}
			continue
		}
		if version, err := version(ctx, path); err == nil {
			fmt.Fprintf(stdout, "The engine is the one at %s, %s. Everything of the demo's has names of its own.\n", path, version)
			g.socket = path
			break
		}
	}
	if g.socket == "" {
		fmt.Fprintf(stdout, "No engine answers at %s: one is started for the demo.\n", socket)
		if err := install(ctx, stderr); err != nil {
			return nil, err
		}
		var err error
		if g.own, err = engine.Start(ctx); err != nil {
			return nil, err
		}
		g.socket = g.own.Socket
	}
	if engine.CLI(ctx, g.socket, "image", "inspect", engine.Image).Run() != nil {
		if err := engine.Import(ctx, g.socket); err != nil {
			return nil, errors.Join(err, g.stop())
		}
		g.imported = true
	}
	return g, nil
}

// version asks the engine behind a socket who it is.
func version(ctx context.Context, socket string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := engine.CLI(ctx, socket, "version", "--format", "version {{.Server.Version}}").Output()
	return strings.TrimSpace(string(out)), err
}

// install has the Makefile install what an engine takes, where it is missing.
func install(ctx context.Context, stderr io.Writer) error {
	root, err := process.Root()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "make", "engine-packages")
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, stderr, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("installing an engine with make engine-packages: %w", err)
	}
	return nil
}

// stop removes the image that was not there before, and ends an engine of our own.
func (g *ground) stop() error {
	if g.own != nil {
		return g.own.Stop()
	}
	if !g.imported {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if said, err := engine.CLI(ctx, g.socket, "rmi", engine.Image).CombinedOutput(); err != nil {
		return fmt.Errorf("removing the demo's image: %w\n%s", err, said)
	}
	return nil
}
