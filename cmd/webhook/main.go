// Command webhook is the admission webhook of ensure-volumes: it creates the
// PersistentVolumeClaims that sandbox pods refer to before the pods are admitted.
// `webhook explain` says what it would do with a manifest, and does nothing.
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

	"github.com/ensure-volumes/ensure-volumes/pkg/logging"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if len(os.Args) > 1 && os.Args[1] == explainCommand {
		code := runExplain(ctx, os.Args[2:], os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "webhook:", err)
		os.Exit(1)
	}
}

// run is the program: it returns when ctx has ended and the last request is
// answered, or when it cannot go on.
func run(ctx context.Context, args []string, stderr io.Writer) error {
	o, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	log, err := logging.New(o.logLevel, stderr)
	if err != nil {
		return fmt.Errorf("--log-level: %w", err)
	}
	log.Info("starting", "options", o.loggable())
	return serveWebhook(ctx, o, log)
}
