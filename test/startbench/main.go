// Command startbench measures a cold start: the webhook's binary on a real API
// server without kube-controller-manager that holds tens of thousands of claims
// and pods, some of which wait for claims that nobody has made. It prints how
// long it takes until the webhook is ready, until the last missing claim is
// there, and what was resident at the most, in Markdown, for docs/performance.md.
// `make bench-start` runs it; `make test` runs the same code with few objects.
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

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
		fmt.Fprintln(os.Stderr, "startbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, progress io.Writer) (err error) {
	b := &bench{progress: progress}
	flags := flag.NewFlagSet("startbench", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.IntVar(&b.claims, "claims", 50_000, "how many claims there are")
	flags.IntVar(&b.running, "running", 49_000, "how many pods run, each with one of them")
	flags.IntVar(&b.pending, "pending", 1000, "how many pods wait, each for a claim that is missing")
	flags.IntVar(&b.starts, "starts", 3, "how often the webhook is started")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b.running > b.claims || b.pending < 1 || b.starts < 1 {
		return errors.New("want at least one start, one pod that waits, and no more pods that run than claims")
	}
	facts, err := about.Run(ctx)
	if err != nil {
		return err
	}
	root, err := process.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ensure-volumes-start-")
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
	if b.clients, err = kubernetes.NewForConfig(cp.Config); err != nil {
		return err
	}
	class := &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: "standard", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner: "disks.example.com",
	}
	if _, err := b.clients.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil {
		return err
	}
	etcd, err := cp.Etcd()
	if err != nil {
		return err
	}
	b.filler = &fill.Filler{Clients: b.clients, Etcd: etcd}
	starts, err := b.all(ctx)
	if err != nil {
		return err
	}
	facts = append(facts, fmt.Sprintf("%d claims, %d pods that run, %d that wait for a claim that is missing", b.claims, b.running, b.pending))
	return report(stdout, facts, starts)
}
