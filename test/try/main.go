// Command try shows ensure-volumes at work on a real Kubernetes control plane
// on this machine, with nothing but Go.
//
//	try demo         seven stories, told and checked; leaves nothing running
//	try up           a control plane with the webhook, left running
//	try --node up    a whole cluster of one node without the webhook, left running; needs root
//	try down         ends what is left running, of either kind
//
// State goes into the folder .run of the repository, or the one that --state
// names.
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

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A second signal ends us at once; the kernel then ends what we started.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "try:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root, err := process.Root()
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("try", flag.ContinueOnError)
	flags.SetOutput(stderr)
	state := flags.String("state", filepath.Join(root, ".run"), "`folder` for everything that is written")
	node := flags.Bool("node", false, "with a node, on which pods run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := filepath.Abs(*state)
	if err != nil {
		return fmt.Errorf("resolving the state folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("creating the state folder: %w", err)
	}
	session := session{dir: dir, node: *node, stdout: stdout, stderr: stderr}
	switch flags.Arg(0) {
	case "demo":
		return demo(ctx, dir, stdout, stderr)
	case "up":
		return session.up(ctx)
	case "down":
		return session.down(ctx)
	case holdCommand:
		return session.hold(ctx, os.NewFile(lockFD, "lock"), os.NewFile(progressFD, "progress"))
	}
	return errors.New("usage: try [--state FOLDER] demo | [--node] up | down")
}
