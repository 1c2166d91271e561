// Command standin does on a cluster what OpenSandbox would do there around pods and claims; package standin says what that is.
// With the kinds and accounts of test/standin/manifests applied:
//
//	standin [--agent-sandbox] create --id ID -f REQUEST.json   a sandbox as its server and its controllers make it
//	standin [--agent-sandbox] delete --id ID                   its end, as the server goes about it
//	standin controllers                                        the pods that sandboxes and pools of the namespace lack
//
// It uses the cluster of KUBECONFIG and the namespace "sandboxes", or --namespace, and acts as OpenSandbox's accounts, which
// the user of KUBECONFIG must be allowed to.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/test/standin"
)

func main() {
	// client-go's own words, such as of a watch that is given up, would stand among what the guide shows.
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("standin", flag.ContinueOnError)
	flags.SetOutput(stderr)
	namespace := flags.String("namespace", "sandboxes", "where the sandboxes are")
	agentSandbox := flags.Bool("agent-sandbox", false, "the server's workload_provider is agent-sandbox, not batchsandbox")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", getenv("KUBECONFIG"))
	if err != nil {
		return fmt.Errorf("loading KUBECONFIG: %w", err)
	}
	controllers, err := as(config, "opensandbox-controller")
	if err != nil {
		return err
	}
	account, err := as(config, "opensandbox-server")
	if err != nil {
		return err
	}
	c := standin.Controllers{Client: controllers}
	s := &standin.Server{
		Client: account, Namespace: *namespace, AgentSandbox: *agentSandbox,
		Log: func(text string) { fmt.Fprintln(stderr, "server's log:", text) },
	}
	verb := flags.Arg(0)
	own := flag.NewFlagSet("standin "+verb, flag.ContinueOnError)
	own.SetOutput(stderr)
	id := own.String("id", "", "the sandbox's id; the server makes up a UUID")
	file := own.String("f", "", "the request's body, `FILE` in JSON")
	timeout := own.Duration("timeout", time.Minute, "how long the server waits for the sandbox")
	if err := own.Parse(flags.Args()[min(1, flags.NArg()):]); err != nil {
		return err
	}
	switch {
	case verb == "create" && *id != "" && *file != "":
		s.Timeout = *timeout
		return create(ctx, s, c, *id, *file, stdout)
	case verb == "delete" && *id != "":
		if err := s.Delete(ctx, *id); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "sandbox %s deleted\n", *id)
		return nil
	case verb == "controllers":
		return c.Once(ctx, *namespace)
	}
	return errors.New("usage: standin [--namespace NAME] [--agent-sandbox] create --id ID -f FILE | delete --id ID | controllers")
}

// create is the server's part, with the controllers at work meanwhile.
func create(ctx context.Context, s *standin.Server, c standin.Controllers, id, file string, stdout io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	var request standin.Request
	if err := yaml.UnmarshalStrict(text, &request); err != nil {
		return fmt.Errorf("reading the request %s: %w", file, err)
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	go c.Run(working, s.Namespace, 200*time.Millisecond)
	cr, err := s.Create(ctx, id, &request)
	if refusal, ok := errors.AsType[*standin.Refusal](err); ok {
		return fmt.Errorf("the server answers %w", refusal)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "sandbox %s created: %s %s\n", id, cr.GetKind(), cr.GetName())
	return nil
}

// as is a client that acts as one of OpenSandbox's accounts.
func as(config *rest.Config, account string) (client.Client, error) {
	config = rest.CopyConfig(config)
	config.Impersonate.UserName = "system:serviceaccount:opensandbox-system:" + account
	config.WarningHandler = rest.NoWarnings{} // OpenSandbox has them in its logs at most
	c, err := client.New(config, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return c, nil
}
