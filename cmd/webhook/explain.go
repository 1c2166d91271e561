package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"

	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/pkg/explain"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

const explainCommand = "explain"

// The exit codes of explain.
const (
	exitWell    = 0
	exitFaulty  = 1 // a pod would be refused, or a hint is faulty
	exitUnknown = 2 // the flags, the manifest or the cluster cannot be read
)

const explainUsage = `webhook explain -f FILE [-n NAMESPACE] [--kubeconfig PATH] [-o table|json|yaml]

Says what the webhook would do with the pods of a manifest, and with those that its BatchSandboxes, Sandboxes, Pools,
Deployments, StatefulSets, ReplicaSets, DaemonSets, Jobs and CronJobs stand for: which claims it would create, where each
of their values comes from, what it would refuse and what it would warn of. Nothing is created, and without --kubeconfig no cluster
is asked. Namespaces, StorageClasses and PersistentVolumeClaims in the manifest are taken into account. Give the flags
below that the webhook itself was started with.

Exit code: 0 where all is well; 1 where a pod would be refused or a hint is faulty; 2 where the flags, the manifest or
the cluster cannot be read.

`

type explainOptions struct {
	files                         []string
	namespace, kubeconfig, output string
	provision.Config
}

// runExplain is the command: it returns the program's exit code.
func runExplain(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	report, o, err := explainManifest(ctx, args, stdin, stderr)
	if err == nil {
		err = o.write(report, stdout)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitWell // it was shown
	case err != nil:
		fmt.Fprintln(stderr, "webhook explain:", explain.Printable(err.Error()))
		return exitUnknown
	case report.Failed():
		return exitFaulty
	}
	return exitWell
}

func explainManifest(ctx context.Context, args []string, stdin io.Reader, stderr io.Writer) (*explain.Report, *explainOptions, error) {
	o, err := parseExplainFlags(args, stderr)
	if err != nil {
		return nil, nil, err
	}
	var manifest []explain.Object
	for _, file := range o.files {
		objects, err := readManifest(file, stdin)
		if err != nil {
			return nil, nil, err
		}
		manifest = append(manifest, objects...)
	}
	if len(manifest) == 0 {
		return nil, nil, errors.New("the manifest is empty")
	}
	e := &explain.Explainer{Config: o.Config, Namespace: o.namespace}
	if o.kubeconfig != "" {
		if e.Cluster, e.DefaultNamespace, err = readingClient(o.kubeconfig, o.OwnerKinds); err != nil {
			return nil, nil, err
		}
	}
	report, err := e.Explain(ctx, manifest)
	return report, o, err
}

func parseExplainFlags(args []string, stderr io.Writer) (*explainOptions, error) {
	o := &explainOptions{}
	set := flag.NewFlagSet(explainCommand, flag.ContinueOnError)
	set.SetOutput(io.Discard) // what it says of an argument is the error as well
	set.Usage = func() {}
	set.Func("f", "`file` with the manifest, YAML or JSON; \"-\" is standard input; may be given several times", func(file string) error {
		o.files = append(o.files, file)
		return nil
	})
	set.StringVar(&o.namespace, "n", "", "`namespace` that everything is created in; empty: where the manifest says, or else the kubeconfig's, or else \"default\"")
	set.StringVar(&o.kubeconfig, "kubeconfig", "", "`path` of a kubeconfig: what exists in its cluster is taken into account; only read, as the user that it names")
	set.StringVar(&o.output, "o", "table", "`format`: table, json or yaml")
	config := configFlags(set, &o.Config)
	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stderr, explainUsage)
		set.SetOutput(stderr)
		set.PrintDefaults()
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w; webhook explain --help shows the flags", err)
	}
	switch {
	case set.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q; name files with -f", set.Arg(0))
	case len(o.files) == 0:
		return nil, errors.New("no manifest; name its file with -f, or write -f - for standard input")
	}
	switch o.output {
	case "table", "json", "yaml":
	default:
		return nil, fmt.Errorf("-o: invalid value %q; write table, json or yaml", o.output)
	}
	return o, config()
}

func readManifest(file string, stdin io.Reader) ([]explain.Object, error) {
	name, in := "standard input", stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		name, in = file, f
	}
	return explain.Read(name, in)
}

// readingClient reads the cluster of a kubeconfig, whose namespace it returns too.
func readingClient(path string, kinds provision.OwnerKinds) (client.Reader, string, error) {
	config := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: path}, &clientcmd.ConfigOverrides{})
	cfg, err := config.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("reading the API server's address and credentials: %w", err)
	}
	namespace, _, err := config.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("reading the kubeconfig's namespace: %w", err)
	}
	cfg.QPS, cfg.RateLimiter = -1, nil
	cfg.UserAgent = "ensure-volumes-explain"
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return readOnly{next} })
	transport, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, "", fmt.Errorf("preparing the client: %w", err)
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme.Scheme, Mapper: kinds.Mapper(), HTTPClient: transport})
	if err != nil {
		return nil, "", fmt.Errorf("preparing the client: %w", err)
	}
	return c, namespace, nil
}

// readOnly lets only reads through, whatever a mistake of ours would send.
type readOnly struct{ next http.RoundTripper }

func (r readOnly) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Method != http.MethodGet {
		return nil, fmt.Errorf("explain only reads and sends no %s", q.Method)
	}
	return r.next.RoundTrip(q)
}

func (o *explainOptions) write(report *explain.Report, out io.Writer) error {
	var text []byte
	var err error
	switch o.output {
	case "json":
		text, err = json.MarshalIndent(report, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(report)
	default:
		return report.Table(out)
	}
	if err == nil {
		_, err = out.Write(text)
	}
	return err
}
