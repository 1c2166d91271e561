// Command memorybench measures what the webhook has resident as the claims of
// the cluster grow: its binary on a real API server without
// kube-controller-manager, started anew for each figure. It prints a table in
// Markdown and a plot for docs/performance.md. `make bench-memory` runs it;
// `make test` runs the same code with few claims.
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
	"strconv"
	"strings"
	"syscall"

	"k8s.io/client-go/kubernetes"

	"github.com/ensure-volumes/ensure-volumes/test/about"
	"github.com/ensure-volumes/ensure-volumes/test/fill"
	"github.com/ensure-volumes/ensure-volumes/test/process"
	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "memorybench:", err)
		os.Exit(1)
	}
}

// counts are numbers of claims, growing.
type counts []int

// String is the flag's default.
func (c *counts) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(*c), " ", ","), "[]")
}

// Set reads the flag.
func (c *counts) Set(s string) error {
	*c = nil
	for word := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 0 || len(*c) > 0 && n <= (*c)[len(*c)-1] {
			return fmt.Errorf("invalid count %q; write growing numbers like 0,1000", word)
		}
		*c = append(*c, n)
	}
	return nil
}

func run(ctx context.Context, args []string, stdout, progress io.Writer) (err error) {
	claims := counts{0, 1000, 10000, 50000}
	b := &bench{progress: progress}
	flags := flag.NewFlagSet("memorybench", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.Var(&claims, "claims", "how many claims there are, for one row each")
	flags.IntVar(&b.running, "running", 0, "pods that run, each with a claim, in namespaces that are switched on")
	flags.IntVar(&b.pending, "pending", 0, "pods that are Pending, after those")
	flags.IntVar(&b.starts, "starts", 3, "how often the webhook is started for a row")
	if err := flags.Parse(args); err != nil {
		return err
	}
	facts, err := about.Run(ctx)
	if err != nil {
		return err
	}
	root, err := process.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ensure-volumes-memory-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cp, err := stack.StartBare(ctx, filepath.Join(dir, "cluster"), progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cp.Stop()) }()
	if b.webhook, err = cp.Install(ctx, root); err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(cp.Config)
	if err != nil {
		return err
	}
	b.filler = &fill.Filler{Clients: clients}
	rows, err := b.all(ctx, claims)
	if err != nil {
		return err
	}
	if b.running+b.pending > 0 {
		facts = append(facts, fmt.Sprintf("%d pods that run and %d that are Pending", b.running, b.pending))
	}
	return report(stdout, facts, rows)
}
