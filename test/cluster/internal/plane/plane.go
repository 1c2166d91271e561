// Package plane runs a Kubernetes control plane (etcd, kube-apiserver,
// kube-controller-manager) with its own certificates and all its state in one
// folder. By itself it listens on free ports of 127.0.0.1 and has no node: pods
// are admitted and stored but never run. Package node runs it with one.
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
	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/pki"
)

// startLimit bounds how long a component may take to become healthy.
const startLimit = 2 * time.Minute

// Plane is a control plane to run.
type Plane struct {
	Dir      string          // where its state goes; it holds none of an earlier run, unless that is continued
	Continue bool            // whether the state of an earlier run is taken up
	Network  Network         // where it is reached
	Bare     bool            // without kube-controller-manager: nothing but the API acts on what is stored
	Binaries string          // the folder of the programs
	Tools    []binaries.Tool // the programs in it that Dir gets links to
	Progress io.Writer       // what is happening, for people
	Ready    func() error    // called once, when everything answers
	// Beside, where it is not nil, returns what runs beside the control plane,
	// with certificates of its authority. It is called before anything starts.
	Beside func(authority *pki.Authority) ([]Program, error)
}

// Program is one that runs in order: started when what is before it is well,
// stopped before what is before it.
type Program struct {
	Path    string
	Args    []string
	Healthy []string                        // URLs that answer 200 once it is well
	Then    func(ctx context.Context) error // what is done once it is, or nil
	Grace   time.Duration                   // between SIGTERM and SIGKILL
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
	if _, err := os.Stat(p.path("etcd")); err == nil && !p.Continue {
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
	addresses, err := p.Network.pick()
	if err != nil {
		return err
	}
	// For whoever wants to store more than the API takes in a while.
	if err := os.WriteFile(p.path("etcd-address"), []byte(addresses.etcd), 0o600); err != nil {
		return fmt.Errorf("writing etcd's address: %w", err)
	}
	authority, err := p.authority()
	if err != nil {
		return err
	}
	credentials, err := p.writePKI(addresses, authority)
	if err != nil {
		return err
	}
	if err := p.writeAuditPolicy(); err != nil {
		return err
	}
	programs := p.programs(addresses)
	if p.Beside != nil {
		beside, err := p.Beside(authority)
		if err != nil {
			return err
		}
		programs = append(programs, beside...)
	}
	return p.supervise(ctx, programs, newProbe(credentials))
}

func (p Plane) path(parts ...string) string {
	return filepath.Join(append([]string{p.Dir}, parts...)...)
}

// linkPrograms gives the state folder a bin, so that whoever is given the
// folder also has the kubectl that fits.
func (p Plane) linkPrograms() error {
	for _, tool := range p.Tools {
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

func (p Plane) programs(at addresses) []Program {
	programs := []Program{{
		Path:    p.path("bin", binaries.Etcd),
		Args:    p.etcdArgs(at),
		Healthy: []string{"http://" + at.etcd + "/health"},
		Grace:   5 * time.Second,
	}, {
		Path:    p.path("bin", binaries.APIServer),
		Args:    p.apiServerArgs(at),
		Healthy: []string{"https://" + at.api + "/readyz"},
		Grace:   3 * time.Second, // it would wait for those who watch
	}}
	if p.Bare {
		return programs
	}
	return append(programs, Program{
		Path: p.path("bin", binaries.ControllerManager),
		Args: p.controllerManagerArgs(at),
		Healthy: []string{
			"https://" + at.controllers + "/healthz",
			"https://" + at.api + "/api/v1/namespaces/default/serviceaccounts/default",
		},
		Grace: 5 * time.Second,
	})
}

// garbage lets the programs collect theirs less often than by Go's default. What is
// tested shares the processors with them, and nobody measures their
// memory.
const garbage = "GOGC=400"

// supervise starts the programs one after the other, each when the one before
// answers, and stops them in the opposite order.
func (p Plane) supervise(ctx context.Context, programs []Program, probe *probe) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	for _, program := range programs {
		start, name := time.Now(), filepath.Base(program.Path)
		c, err := child.Start(program.Path, p.path("logs", name+".log"), []string{garbage}, program.Args...)
		if err != nil {
			return err
		}
		defer c.Stop(program.Grace)
		go func() {
			<-c.Done()
			fail(&died{c})
		}()
		for _, url := range program.Healthy {
			if err := probe.wait(ctx, url, startLimit); err != nil {
				return ended(ctx, fmt.Errorf("waiting for %s: %w", name, err))
			}
		}
		if program.Then != nil {
			if err := program.Then(ctx); err != nil {
				return ended(ctx, fmt.Errorf("starting %s: %w", name, err))
			}
		}
		fmt.Fprintf(p.Progress, "%s answers after %.1f s\n", name, time.Since(start).Seconds())
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
