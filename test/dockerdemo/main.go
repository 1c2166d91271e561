// Command dockerdemo shows the Docker companion at work, with the plain docker
// CLI: stories on an engine, told and checked. It uses the engine that answers at
// DOCKER_HOST or at --socket, with names of its own, and removes what it made;
// where none answers it installs Debian's packages (`make engine-packages`) and
// starts one for itself, which takes root.
//
// It needs bin/companion, which `make build` makes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A second signal ends us at once; the kernel then ends what we started.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dockerdemo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("dockerdemo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	socket := flags.String("socket", "/var/run/docker.sock", "`path` of the engine's socket, where DOCKER_HOST names none that answers")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return errors.New("usage: dockerdemo [--socket PATH]")
	}
	begin := time.Now()
	if err := demo(ctx, getenv("DOCKER_HOST"), *socket, stdout, stderr); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nEvery story came out as it should, in %.0f s. Nothing is left.\n", time.Since(begin).Seconds())
	return nil
}

// demo tells the stories and ends what it started, in whatever way they come out.
func demo(ctx context.Context, host, socket string, stdout, stderr io.Writer) (err error) {
	g, err := find(ctx, host, socket, stdout, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	t, err := newTeller(ctx, g, stdout)
	if err != nil {
		return err
	}
	// Also where the stories were interrupted, so without their context.
	defer func() { err = errors.Join(err, t.stop(context.WithoutCancel(ctx))) }()
	for i, s := range stories() {
		fmt.Fprintf(stdout, "\n%d. %s\n", i+1, s.title)
		if err := t.tell(ctx, s); err != nil {
			return fmt.Errorf("story %d: %w", i+1, err)
		}
	}
	return nil
}
