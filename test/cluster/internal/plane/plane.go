// Package plane runs a Kubernetes control plane (etcd, kube-apiserver,
// kube-controller-manager) on free ports of 127.0.0.1, with its own
// certificates, all its state in one folder, and no node: pods are admitted
// and stored but never run.
package plane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/binaries"
	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/child"
)

// startLimit bounds how long a component may take to become healthy.
const startLimit = 2 * time.Minute

// Plane is a control plane to run.
type Plane struct {
	Dir      string       // where its state goes; it holds none of an earlier run
	Binaries string       // the folder of the programs
	Progress io.Writer    // what is happening, for people
	Ready    func() error // called once, when everything answers
}

// Run starts the control plane and returns when ctx has ended (nil) or when
// one of its programs has (an error that says which and what it said last). No
// program is left running in either case.
func (p Plane) Run(ctx context.Context) error {
	dir, err := filepath.Abs(p.Dir)
	if err != nil {
		return fmt.Errorf("resolving %s: %w", p.Dir, err)
	}
	p.Dir = dir
	if _, err := os.Stat(p.path("etcd")); err == nil {
		return fmt.Errorf("%s holds the state of an earlier run; remove it or name another folder", p.Dir)
	}
	for _, folder := range []string{"pki", "logs", "bin"} {
		if err := os.MkdirAll(p.path(folder), 0o700); err != nil {
			return fmt.Errorf("creating the state folder: %w", err)
		}
	}
	if err := p.linkPrograms(); err != nil {
		return err
	}
	addresses, err := pickAddresses()
	if err != nil {
		return err
	}
	credentials, err := p.writePKI(addresses)
	if err != nil {
		return err
	}
	if err := p.writeAuditPolicy(); err != nil {
		return err
	}
	return p.supervise(ctx, addresses, newProbe(credentials))
}

func (p Plane) path(parts ...string) string {
	return filepath.Join(append([]string{p.Dir}, parts...)...)
}

// linkPrograms gives the state folder a bin, so that whoever is given the
// folder also has the kubectl that fits.
func (p Plane) linkPrograms() error {
	for _, tool := range binaries.ControlPlane() {
		link := p.path("bin", tool.Name)
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("replacing the link to %s: %w", tool.Name, err)
		}
		if err := os.Symlink(filepath.Join(p.Binaries, tool.Name), link); err != nil {
			return fmt.Errorf("linking %s: %w", tool.Name, err)
		}
	}
	return nil
}

// supervise starts the programs one after the other, each when the one before
// answers, and stops them in the opposite order.
func (p Plane) supervise(ctx context.Context, at addresses, probe *probe) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	steps := []struct {
		program string
		args    []string
		healthy []string // what must answer 200
		grace   time.Duration
	}{
		{binaries.Etcd, p.etcdArgs(at), []string{"http://" + at.etcd + "/health"}, 5 * time.Second},
		{binaries.APIServer, p.apiServerArgs(at), []string{"https://" + at.api + "/readyz"}, 3 * time.Second}, // it would wait for those who watch
		{binaries.ControllerManager, p.controllerManagerArgs(at), []string{
			"https://" + at.controllers + "/healthz",
			"https://" + at.api + "/api/v1/namespaces/default/serviceaccounts/default",
		}, 5 * time.Second},
	}
	for _, step := range steps {
		start := time.Now()
		c, err := child.Start(p.path("bin", step.program), p.path("logs", step.program+".log"), step.args...)
		if err != nil {
			return err
		}
		defer c.Stop(step.grace)
		go func() {
			<-c.Done()
			fail(&died{c})
		}()
		for _, url := range step.healthy {
			if err := probe.wait(ctx, url, startLimit); err != nil {
				return ended(ctx, fmt.Errorf("waiting for %s: %w", step.program, err))
			}
		}
		fmt.Fprintf(p.Progress, "%s answers after %.1f s\n", step.program, time.Since(start).Seconds())
	}
	if err := p.Ready(); err != nil {
		return err
	}
	<-ctx.Done()
	return ended(ctx, nil)
}

// ended turns the end of ctx into Run's result: a program that died is an
// error, being told to stop is not, and otherwise err is what happened.
func ended(ctx context.Context, err error) error {
	if death := (*died)(nil); errors.As(context.Cause(ctx), &death) {
		return death.child.Err()
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// died is why a context ended: a program ended that nobody had stopped.
type died struct{ child *child.Child }

func (d *died) Error() string { return d.child.Name + " ended" }
