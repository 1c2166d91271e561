package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/ensure-volumes/ensure-volumes/test/engine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dockerbench:", err)
		os.Exit(1)
	}
}

// size is how much is measured.
type size struct {
	creates, starts, streams int   // rounds
	mib                      int64 // of each stream
}

func run(ctx context.Context, args []string, stdout, progress io.Writer) (err error) {
	if len(args) == 3 && proxies[args[0]] != nil {
		return proxy(ctx, args[0], args[1], args[2])
	}
	var s size
	var only, driver string
	flags := flag.NewFlagSet("dockerbench", flag.ContinueOnError)
	flags.IntVar(&s.creates, "creates", 1000, "rounds of requests that take milliseconds")
	flags.IntVar(&s.starts, "starts", 30, "rounds of container starts")
	flags.IntVar(&s.streams, "streams", 12, "rounds of streams")
	flags.Int64Var(&s.mib, "mib", 1024, "MiB of each stream")
	flags.StringVar(&only, "only", "", "measure only what has this in its name")
	flags.StringVar(&driver, "storage-driver", "overlay2", "the engine's; vfs works everywhere, and is slower")
	if err := flags.Parse(args); err != nil {
		return err
	}
	e, err := engine.Start(ctx, "--storage-driver="+driver)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Stop()) }()
	if err := engine.Import(ctx, e.Socket); err != nil {
		return err
	}
	c, err := engine.StartCompanion(ctx, e.Socket, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Remove()) }()
	b := &bench{direct: newArm("direct", e.Socket), companion: newArm("companion", c.Socket), pid: c.PID, only: only, progress: progress}
	for command, arm := range map[string]**arm{relayCommand: &b.relay, reverseCommand: &b.reverse} {
		p, socket, err := startProxy(ctx, command, e.Socket)
		if err != nil {
			return err
		}
		defer func() { p.Kill(); _ = os.RemoveAll(filepath.Dir(socket)) }()
		*arm = newArm(command, socket)
	}
	about, err := b.facts(ctx)
	if err != nil {
		return err
	}
	results, err := b.all(ctx, s)
	if err != nil {
		return err
	}
	return report(stdout, about, s, results)
}
