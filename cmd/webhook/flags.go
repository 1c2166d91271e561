package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
	"github.com/ensure-volumes/ensure-volumes/pkg/serve"
)

const defaultOwnerKinds = "BatchSandbox.sandbox.opensandbox.io/batchsandboxes,Sandbox.agents.x-k8s.io/sandboxes"

// Values of --certificates.
const (
	folderCertificates  = "folder"
	builtinCertificates = "builtin"
)

// minConnections has room for the kubelet's probes, the server's handshake with
// itself and the first reviews of a few API servers.
const minConnections = 10

type options struct {
	kubeconfig, listen, metricsListen, logLevel string
	certificates, certDir                       string
	caNamespace, caSecret, configuration        string
	caLifetime, leafLifetime                    time.Duration
	safetyNet, deleteOrphans                    bool
	orphanAfter, deleteAfter                    time.Duration
	leaseNamespace, lease                       string
	maxConnections                              int
	set                                         *flag.FlagSet
	provision.Config
}

func parseFlags(args []string, stderr io.Writer) (*options, error) {
	o := &options{set: flag.NewFlagSet("webhook", flag.ContinueOnError)}
	o.set.SetOutput(stderr)
	o.set.StringVar(&o.kubeconfig, "kubeconfig", "", "`path` of a kubeconfig; empty: the pod's service account")
	o.set.StringVar(&o.listen, "listen", ":8443", "`address` for HTTPS: /mutate, /healthz, /readyz")
	o.set.IntVar(&o.maxConnections, "max-connections", serve.DefaultMaxConnections, "how many connections to --listen may be open at once, those of probes included; others are refused")
	o.set.StringVar(&o.metricsListen, "metrics-listen", ":8080", "`address` for Prometheus' /metrics over HTTP; 0: none")
	o.set.StringVar(&o.certificates, "certificates", folderCertificates, "where the serving certificate comes from: folder (--cert-dir) or builtin, an authority of our own that also keeps the caBundle")
	o.set.StringVar(&o.certDir, "cert-dir", "/etc/ensure-volumes/certs", "`folder` with tls.crt and tls.key, and ca.crt where there is one; changes are followed")
	secret := o.set.String("ca-secret", "ensure-volumes/ensure-volumes-ca", "`namespace/name` of the Secret that holds the built-in authority; made where it is missing")
	o.set.StringVar(&o.configuration, "webhook-configuration", "ensure-volumes", "`name` of the MutatingWebhookConfiguration whose caBundle the built-in authority keeps and whose service or url its certificates are for")
	o.set.DurationVar(&o.caLifetime, "ca-lifetime", 365*24*time.Hour, "how long a built-in authority lives; it is succeeded in the last third")
	o.set.DurationVar(&o.leafLifetime, "leaf-lifetime", 10*24*time.Hour, "how long a certificate of the built-in authority lives; it is renewed in the last third")
	o.set.BoolVar(&o.safetyNet, "safety-net", true, "create the claims of pods that wait for them, too, and tell of what stands in the way in Events")
	lease := o.set.String("lease", "ensure-volumes/ensure-volumes", "`namespace/name` of the Lease by which the replicas agree on the one that acts as the safety net; made where it is missing")
	o.set.BoolVar(&o.deleteOrphans, "delete-orphaned-claims", false, "delete claims that were created here, were never bound, and that no pod refers to")
	o.set.DurationVar(&o.orphanAfter, "orphaned-after", time.Minute, "how old a claim is before it counts as orphaned")
	o.set.DurationVar(&o.deleteAfter, "orphans-deleted-after", 10*time.Minute, "how old an orphaned claim is before it is deleted, with --delete-orphaned-claims")
	config := configFlags(o.set, &o.Config)
	o.set.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	if err := o.set.Parse(args); err != nil {
		return nil, err
	}
	if o.set.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; write flags as --name=value", o.set.Arg(0))
	}
	switch o.certificates {
	case folderCertificates, builtinCertificates:
	default:
		return nil, fmt.Errorf("--certificates: invalid value %q; write folder or builtin", o.certificates)
	}
	if o.maxConnections < minConnections {
		return nil, fmt.Errorf("--max-connections: invalid value \"%d\"; write %d or more", o.maxConnections, minConnections)
	}
	if o.orphanAfter <= 0 || o.deleteAfter < o.orphanAfter {
		return nil, fmt.Errorf("--orphans-deleted-after: %s is less than --orphaned-after, %s, or that is none; a claim is orphaned first", o.deleteAfter, o.orphanAfter)
	}
	var err error
	if o.caNamespace, o.caSecret, err = object("--ca-secret", *secret); err != nil {
		return nil, err
	}
	if o.leaseNamespace, o.lease, err = object("--lease", *lease); err != nil {
		return nil, err
	}
	if err := config(); err != nil {
		return nil, err
	}
	return o, nil
}

// object takes a value of the form namespace/name apart.
func object(flag, value string) (namespace, name string, err error) {
	namespace, name, ok := strings.Cut(value, "/")
	if !ok || namespace == "" || name == "" {
		return "", "", fmt.Errorf("%s: invalid value %q; write it as namespace/name", flag, value)
	}
	return namespace, name, nil
}

// configFlags are the flags of what the operator decides, for the webhook and for
// explain alike. The function that it returns reads them once they are parsed.
func configFlags(set *flag.FlagSet, c *provision.Config) func() error {
	set.BoolVar(&c.AutoCreate, "volume-auto-create", true, "the safety switch: false never creates a claim, whatever the hints say")
	storage := set.String("default-storage", "1Gi", "`size` of a claim that no hint gives one")
	missing := set.String("missing-storage-class", string(provision.DenyMissingClass), "what becomes of a hint for a StorageClass that does not exist: deny, warn or off")
	set.BoolVar(&c.DeleteWithOwner, "delete-on-sandbox-termination", true, "false keeps every claim: the hint of that name then only warns")
	kinds := set.String("owner-kinds", defaultOwnerKinds, "`Kind.group/resource` of the controllers that hints are read from and that may own claims, comma separated")
	return func() error {
		var problem string
		if c.DefaultStorage, problem = claim.ParseStorage(*storage); problem != "" {
			return fmt.Errorf("--default-storage: %s", problem)
		}
		switch c.MissingClass = provision.ClassPolicy(*missing); c.MissingClass {
		case provision.DenyMissingClass, provision.WarnMissingClass, provision.IgnoreMissingClass:
		default:
			return fmt.Errorf("--missing-storage-class: invalid value %q; write deny, warn or off", *missing)
		}
		var err error
		if c.OwnerKinds, err = provision.ParseOwnerKinds(*kinds); err != nil {
			return fmt.Errorf("--owner-kinds: %w", err)
		}
		return nil
	}
}

// loggable is every option by its flag's name. None is a secret.
func (o *options) loggable() map[string]string {
	m := map[string]string{}
	o.set.VisitAll(func(f *flag.Flag) { m[f.Name] = f.Value.String() })
	return m
}
