// Command companion is the Docker side of ensure-volumes: a proxy on a Unix
// socket in front of the engine's, through which named volumes exist, as their
// hints ask, before the containers that use them.
//
//	companion [flags]
//	companion check FILE    says what is wrong with a configuration, line by line
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/ensure-volumes/ensure-volumes/pkg/logging"
)

func main() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(share(runtime.GOMAXPROCS(0)))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], reload, os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "companion:", err)
		os.Exit(1)
	}
}

// share is how many of the processors the companion works on at once: half of them,
// since the other half is the engine's. For each further one Go wakes a thread to see
// whether there is work, on a processor that the engine could have had;
// docs/adr/0009-one-goroutine.md has what that costs. GOMAXPROCS in the environment is
// another number.
func share(processors int) int { return max(1, processors/2) }

// run is the program: it returns when ctx has ended and the last stream is done
// or has had its time, or when it cannot go on. The configuration is read again
// whenever reload has something.
func run(ctx context.Context, args []string, reload <-chan os.Signal, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "check" {
		return check(args[1:], stdout)
	}
	o, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	log, err := logging.New(o.logLevel, stderr)
	if err != nil {
		return fmt.Errorf("--log-level: %w", err)
	}
	log.Info("starting", "options", o.loggable())
	return serve(ctx, o, reload, log)
}
