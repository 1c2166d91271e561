package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/process"
	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

// Names that ground.yaml uses.
const (
	namespace = "sandboxes"
	author    = "sandbox-author"
)

//go:embed ground.yaml
var groundManifest string

// ground is a control plane with the webhook installed and answering, and an
// enabled namespace; or a whole cluster with nothing installed.
type ground struct {
	controlPlane *stack.ControlPlane
	webhook      *process.Process // nil where none is installed
	version      string           // of Kubernetes
}

// prepareNode sets a whole cluster up with its state in dir.
func prepareNode(ctx context.Context, dir string, progress io.Writer) (*ground, error) {
	begin := time.Now()
	fmt.Fprintln(progress, "starting a Kubernetes cluster of one node")
	controlPlane, err := stack.StartNode(ctx, dir, progress)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(progress, "the node is ready after %.0f s in all\n", time.Since(begin).Seconds())
	return &ground{controlPlane: controlPlane}, nil
}

// prepare sets the ground up with its state in dir. Whatever it has started is
// stopped when it fails.
func prepare(ctx context.Context, dir string, progress io.Writer) (_ *ground, err error) {
	begin := time.Now()
	root, err := process.Root()
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(progress, "starting a Kubernetes control plane")
	g := &ground{}
	if g.controlPlane, err = stack.StartControlPlane(ctx, dir, progress); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.stop())
		}
	}()
	fmt.Fprintln(progress, "installing config/webhook and starting the webhook")
	installation, err := g.controlPlane.Install(ctx, root)
	if err != nil {
		return nil, err
	}
	if g.webhook, err = installation.Start(ctx); err != nil {
		return nil, err
	}
	if output, err := g.controlPlane.Kubectl(ctx, groundManifest, "apply", "-f", "-"); err != nil {
		return nil, fmt.Errorf("preparing the namespace: %w\n%s", err, output)
	}
	if err := installation.WaitAnswers(ctx, namespace); err != nil {
		return nil, err
	}
	if g.version, err = g.serverVersion(ctx); err != nil {
		return nil, err
	}
	fmt.Fprintf(progress, "the webhook answers after %.0f s in all\n", time.Since(begin).Seconds())
	return g, nil
}

func (g *ground) serverVersion(ctx context.Context) (string, error) {
	output, err := g.controlPlane.Kubectl(ctx, "", "version")
	if err != nil {
		return "", fmt.Errorf("asking for the version: %w\n%s", err, output)
	}
	_, version, _ := strings.Cut(output, "Server Version: ")
	return strings.TrimSpace(version), nil
}

// stop ends everything. The control plane goes first: a webhook drains for as
// long as an API server keeps a connection to it.
func (g *ground) stop() error {
	err := g.controlPlane.Stop()
	if g.webhook != nil {
		err = errors.Join(err, g.webhook.Stop())
	}
	return err
}
