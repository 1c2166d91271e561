// Command cluster builds and runs a real Kubernetes on this machine, from the
// sources that go.mod pins: a control plane (etcd, kube-apiserver and
// kube-controller-manager) with nothing but Go, or a whole cluster of one node
// with the help of some Debian packages, as root.
//
//	cluster build [--node]              build the programs into the user's cache folder; print the folder
//	cluster run --dir DIR [--node]      run them in the foreground until a signal ends it; --bare: without kube-controller-manager
//	cluster exec --dir DIR COMMAND...   run a command in the node
//	cluster load --dir DIR < ARCHIVE    load an archive of images into the node
//	cluster pack --reference REFERENCE /PATH=FILE... > ARCHIVE
//	                                    make such an archive of static programs; the first is run
//
// A folder named by KUBEBUILDER_ASSETS is used for the programs that it holds.
// Package node says what a node is made of and where it lives.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/binaries"
	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/node"
	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/plane"
)

// The module pins what is built; carried along, so that the program works from
// any folder.
var (
	//go:embed go.mod
	goMod []byte
	//go:embed go.sum
	goSum []byte
	//go:embed host-folders/main.go
	hostFolders []byte
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// A second signal ends us at once; the kernel then ends the children.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if code := exited(0); errors.As(err, &code) {
		os.Exit(int(code)) // what ended so has said why
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// exited is the exit code, other than 0, of a process that we stand for.
type exited int

func (e exited) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// options are the command line.
type options struct {
	command          string
	args             []string // what follows the flags
	dir              string
	node, bare       bool
	untilStdinCloses bool
	number           int
	reference, user  string
}

func parse(args []string, stderr io.Writer) (options, error) {
	usage := errors.New("usage: cluster build [--node] | run --dir DIR [--node | --bare] [--until-stdin-closes] | exec --dir DIR COMMAND... | load --dir DIR < ARCHIVE | pack --reference REFERENCE [--user UID] /PATH=FILE... > ARCHIVE")
	if len(args) == 0 {
		return options{}, usage
	}
	o := options{command: args[0]}
	flags := flag.NewFlagSet("cluster "+o.command, flag.ContinueOnError)
	flags.SetOutput(stderr)
	dirUsage := "folder for the state, the logs and the kubeconfig; it holds none of an earlier run, unless with --node, which continues that"
	switch o.command {
	case "build":
		flags.BoolVar(&o.node, "node", false, "those of a node too")
	case "run":
		flags.StringVar(&o.dir, "dir", "", dirUsage)
		flags.BoolVar(&o.node, "node", false, "with a node, on which pods run; needs root, and installs the Debian packages that are missing")
		flags.BoolVar(&o.bare, "bare", false, "without kube-controller-manager: nothing but the API acts on what is stored")
		flags.BoolVar(&o.untilStdinCloses, "until-stdin-closes", false, "end when standard input ends, so that no caller can leave us behind")
	case "exec", "load", node.InitCommand:
		flags.StringVar(&o.dir, "dir", "", "folder of a running cluster")
	case node.MainCommand:
		flags.StringVar(&o.dir, "dir", "", dirUsage)
		flags.IntVar(&o.number, "number", 0, "what the addresses are made of")
	case "pack":
		flags.StringVar(&o.reference, "reference", "", "the image's name, such as example.test/name:1")
		flags.StringVar(&o.user, "user", "", "whom the program is run as, where the pod does not say")
	default:
		return options{}, usage
	}
	if err := flags.Parse(args[1:]); err != nil {
		return options{}, err
	}
	o.args = flags.Args()
	withDir := o.command != "build" && o.command != "pack"
	withArgs := o.command == "exec" || o.command == "pack"
	if o.node && o.bare || withDir != (o.dir != "") || withArgs != (len(o.args) > 0) || (o.command == "pack") != (o.reference != "") {
		return options{}, usage
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	ready := func() error {
		_, err := fmt.Fprintln(stdout, "ready")
		return err
	}
	switch o.command {
	case "build":
		dir, err := ensureBinaries(ctx, tools(o.node), stderr)
		if err == nil {
			fmt.Fprintln(stdout, dir)
		}
		return err
	case "run":
		if o.untilStdinCloses {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			defer cancel()
			go func() {
				_, _ = io.Copy(io.Discard, stdin) // its end is all we want to know
				cancel()
			}()
		}
		if o.node {
			return runNode(ctx, o.dir, stdout, stderr)
		}
		programs, err := ensureBinaries(ctx, tools(false), stderr)
		if err != nil {
			return err
		}
		return plane.Plane{Dir: o.dir, Bare: o.bare, Binaries: programs, Tools: tools(false), Progress: stderr, Ready: ready}.Run(ctx)
	case "exec":
		err := node.Enter(ctx, o.dir, stdin, stdout, stderr, o.args...)
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return exited(exit.ExitCode())
		}
		return err
	case "load":
		return node.Load(ctx, o.dir, stdin, stdout)
	case "pack":
		return pack(o.reference, o.user, o.args, stdout)
	case node.InitCommand:
		code, err := node.Init(ctx, o.dir)
		if err == nil && code != 0 {
			return exited(code)
		}
		return err
	}
	// node.MainCommand: parse knows no other.
	programs, err := ensureBinaries(ctx, tools(true), stderr)
	if err != nil {
		return err
	}
	return node.Inside{Dir: o.dir, Number: o.number, Binaries: programs, Tools: tools(true), Progress: stderr, Ready: ready}.Run(ctx)
}

func runNode(ctx context.Context, dir string, stdout, stderr io.Writer) error {
	if err := node.Allowed(); err != nil {
		return err
	}
	// Built before anything is changed; the node finds them in the cache.
	if _, err := ensureBinaries(ctx, tools(true), stderr); err != nil {
		return err
	}
	return node.Outside{Dir: dir, Progress: stderr, Stdout: stdout}.Run(ctx)
}

func tools(withNode bool) []binaries.Tool {
	all := binaries.ControlPlane()
	if withNode {
		all = append(all, binaries.Node(hostFolders)...)
	}
	return all
}

func ensureBinaries(ctx context.Context, tools []binaries.Tool, progress io.Writer) (string, error) {
	version, err := binaries.Version(goMod)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the user's cache folder: %w", err)
	}
	return binaries.Builder{
		Tools:   tools,
		GoMod:   goMod,
		GoSum:   goSum,
		Version: version,
		Cache:   filepath.Join(cache, "ensure-volumes"),
		Assets:  os.Getenv("KUBEBUILDER_ASSETS"),
		Out:     progress,
	}.Ensure(ctx)
}
