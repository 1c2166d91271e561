// Command cluster builds and runs a real Kubernetes control plane on this
// machine, with nothing but Go: etcd, kube-apiserver and
// kube-controller-manager, from the sources that go.mod pins.
//
//	cluster build            build the programs into the user's cache folder; print the folder
//	cluster run --dir DIR    run them in the foreground until a signal ends it
//
// A folder named by KUBEBUILDER_ASSETS is used for the programs that it holds.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/binaries"
	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/plane"
)

// The module pins what is built; carried along, so that the program works from
// any folder.
var (
	//go:embed go.mod
	goMod []byte
	//go:embed go.sum
	goSum []byte
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// A second signal ends us at once; the kernel then ends the children.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	usage := errors.New("usage: cluster build | cluster run --dir DIR [--until-stdin-closes]")
	if len(args) == 0 {
		return usage
	}
	flags := flag.NewFlagSet("cluster "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	switch args[0] {
	case "build":
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		dir, err := ensureBinaries(ctx, stderr)
		if err == nil {
			fmt.Fprintln(stdout, dir)
		}
		return err
	case "run":
		dir := flags.String("dir", "", "folder for the state, the logs and the kubeconfig; it holds none of an earlier run")
		untilStdinCloses := flags.Bool("until-stdin-closes", false, "end when standard input ends, so that no caller can leave us behind")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if *dir == "" {
			return usage
		}
		if *untilStdinCloses {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			defer cancel()
			go func() {
				_, _ = io.Copy(io.Discard, stdin) // its end is all we want to know
				cancel()
			}()
		}
		return runPlane(ctx, *dir, stdout, stderr)
	}
	return usage
}

func runPlane(ctx context.Context, dir string, stdout, stderr io.Writer) error {
	programs, err := ensureBinaries(ctx, stderr)
	if err != nil {
		return err
	}
	control := plane.Plane{
		Dir:      dir,
		Binaries: programs,
		Progress: stderr,
		Ready: func() error {
			_, err := fmt.Fprintln(stdout, "ready")
			return err
		},
	}
	return control.Run(ctx)
}

func ensureBinaries(ctx context.Context, progress io.Writer) (string, error) {
	version, err := binaries.Version(goMod)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the user's cache folder: %w", err)
	}
	return binaries.Builder{
		Tools:   binaries.ControlPlane(),
		GoMod:   goMod,
		GoSum:   goSum,
		Version: version,
		Cache:   filepath.Join(cache, "ensure-volumes"),
		Assets:  os.Getenv("KUBEBUILDER_ASSETS"),
		Out:     progress,
	}.Ensure(ctx)
}
