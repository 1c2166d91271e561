package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/ensure-volumes/ensure-volumes/pkg/dockerproxy"
)

type options struct {
	listen, group, engine, config, stateDir, metricsListen, logLevel string
	drain                                                            time.Duration
	set                                                              *flag.FlagSet
}

func parseFlags(args []string, stderr io.Writer) (*options, error) {
	o := &options{set: flag.NewFlagSet("companion", flag.ContinueOnError)}
	o.set.SetOutput(stderr)
	o.set.StringVar(&o.listen, "listen", "/run/ensure-volumes/docker.sock", "`path` of the Unix socket for clients; whoever reaches it is root, as with the engine's own")
	o.set.StringVar(&o.group, "group", "", "`group` that may use the socket, by name or number; empty: the companion's own")
	o.set.StringVar(&o.engine, "engine", "/var/run/docker.sock", "`path` of the engine's Unix socket")
	o.set.StringVar(&o.config, "config", "", "`path` of the configuration (YAML); read again at SIGHUP; empty: no classes")
	o.set.StringVar(&o.stateDir, "state-dir", "/var/lib/ensure-volumes", "`folder` for what must outlive a restart: which volumes go with their last container")
	o.set.StringVar(&o.metricsListen, "metrics-listen", "127.0.0.1:9324", "`address` for /healthz and Prometheus' /metrics over HTTP; 0: none")
	o.set.DurationVar(&o.drain, "drain", 30*time.Second, "how long streams may go on at the end")
	o.set.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	if err := o.set.Parse(args); err != nil {
		return nil, err
	}
	if o.set.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; write flags as --name=value", o.set.Arg(0))
	}
	return o, nil
}

// loggable is every option by its flag's name. None is a secret.
func (o *options) loggable() map[string]string {
	m := map[string]string{}
	o.set.VisitAll(func(f *flag.Flag) { m[f.Name] = f.Value.String() })
	return m
}

// check tells what is wrong with a configuration, as FILE:LINE: text.
func check(args []string, stdout io.Writer) error {
	if len(args) != 1 || strings.HasPrefix(args[0], "-") {
		return errors.New("usage: companion check FILE")
	}
	c, err := readConfig(args[0])
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: well, with %d classes\n", args[0], len(c.Classes))
	return err
}

// readConfig reads the file; an empty path is the default configuration.
func readConfig(path string) (*dockerproxy.Config, error) {
	if path == "" {
		return dockerproxy.DefaultConfig(), nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := dockerproxy.ReadConfig(text)
	if err == nil {
		return c, nil
	}
	faults := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		faults = joined.Unwrap()
	}
	for i, fault := range faults {
		var at *dockerproxy.LineError
		if errors.As(fault, &at) {
			faults[i] = fmt.Errorf("%s:%d: %s", path, at.Line, at.Text)
		} else {
			faults[i] = fmt.Errorf("%s: %w", path, fault)
		}
	}
	return nil, errors.Join(faults...)
}
