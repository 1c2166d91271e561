package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/binaries"
	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/pki"
	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/plane"
)

// startLimit bounds how long a program may take to do its first task.
const startLimit = 2 * time.Minute

// programs are what runs beside the control plane, in the order in which they
// need each other.
func (i Inside) programs(authority *pki.Authority) ([]plane.Program, error) {
	if err := i.writePKI(authority); err != nil {
		return nil, err
	}
	containerd, err := exec.LookPath("containerd")
	if err != nil {
		return nil, fmt.Errorf("finding containerd: %w", err)
	}
	inner := number(i.Number).inner().String()
	return []plane.Program{{
		Path: i.program(binaries.Scheduler),
		Args: []string{
			"--config=" + i.path("kube-scheduler.yaml"),
			"--bind-address=127.0.0.1",
			"--tls-cert-file=" + filepath.Join(i.Dir, "pki", "serving.crt"),
			"--tls-private-key-file=" + filepath.Join(i.Dir, "pki", "serving.key"),
			"--authentication-kubeconfig=" + i.path("pki", "kube-scheduler.kubeconfig"),
			"--authorization-kubeconfig=" + i.path("pki", "kube-scheduler.kubeconfig"),
		},
		Healthy: []string{"https://127.0.0.1:10259/healthz"},
		Grace:   3 * time.Second,
	}, {
		Path: containerd,
		Args: []string{"--config", i.path("containerd.toml")},
		Then: func(ctx context.Context) error {
			version := ctr("version")
			err := insist(ctx, func() error { return command(ctx, version[0], version[1:]...) })
			if err != nil {
				return err
			}
			return loadImages(ctx)
		},
		Grace: 5 * time.Second,
	}, {
		Path: i.program(binaries.Kubelet),
		Args: []string{
			"--config=" + i.path("kubelet.yaml"),
			"--kubeconfig=" + i.path("pki", "kubelet.kubeconfig"),
			"--root-dir=" + i.path("kubelet"),
			"--hostname-override=" + name,
			"--node-ip=" + inner,
		},
		Healthy: []string{"http://127.0.0.1:10248/healthz"},
		Then: func(ctx context.Context) error {
			return errors.Join(
				i.kubectl(ctx, "apply", "--filename", i.path("cluster.yaml")),
				insist(ctx, func() error {
					return i.kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=5s", "node/"+name)
				}))
		},
		Grace: 5 * time.Second,
	}, {
		Path:    i.program(binaries.Proxy), // after kubelet: it asks for the node's address
		Args:    []string{"--config=" + i.path("kube-proxy.yaml")},
		Healthy: []string{"http://127.0.0.1:10256/livez"},
		Grace:   3 * time.Second,
	}, {
		Path: i.program(binaries.HostFolders),
		Args: []string{
			"--kubeconfig=" + i.path("pki", provisioner+".kubeconfig"),
			"--folder=" + i.path("volumes"),
			"--node=" + name,
		},
		Healthy: []string{"http://127.0.0.1:9810/metrics"},
		Grace:   3 * time.Second,
	}}, nil
}

// program is the path of the tool whose name begins so.
func (i Inside) program(prefix string) string {
	for _, tool := range i.Tools {
		if strings.HasPrefix(tool.Name, prefix) {
			return filepath.Join(i.Dir, "bin", tool.Name)
		}
	}
	return prefix // starting it will say that there is none
}

// writePKI makes the certificates and kubeconfigs of the node's programs.
func (i Inside) writePKI(authority *pki.Authority) error {
	inner := number(i.Number).inner()
	serving, err := authority.Serving("kubelet", []string{name}, []net.IP{inner.AsSlice()})
	if err != nil {
		return err
	}
	files := map[string][]byte{"kubelet.crt": serving.CertPEM, "kubelet.key": serving.KeyPEM}
	for file, user := range map[string][]string{
		"kubelet":        {"system:node:" + name, "system:nodes"},
		"kube-proxy":     {"system:kube-proxy"},
		"kube-scheduler": {"system:kube-scheduler"},
		provisioner:      {provisioner},
	} {
		pair, err := authority.Client(user[0], user[1:]...)
		if err != nil {
			return err
		}
		files[file+".kubeconfig"] = plane.Kubeconfig(inner.String()+":6443", authority, pair)
	}
	for file, content := range files {
		if err := os.WriteFile(i.path("pki", file), content, 0o600); err != nil {
			return fmt.Errorf("writing the node's credentials: %w", err)
		}
	}
	return nil
}

func (i Inside) kubectl(ctx context.Context, args ...string) error {
	args = append([]string{"--kubeconfig", filepath.Join(i.Dir, "kubeconfig"), "--cache-dir", i.path("tmp", "kubectl")}, args...)
	return command(ctx, filepath.Join(i.Dir, "bin", binaries.Kubectl), args...)
}

// insist calls do until it succeeds; the error is the last one.
func insist(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
