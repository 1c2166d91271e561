// Package binaries builds the programs of a Kubernetes cluster into a cache
// folder, once, and says where they are.
package binaries

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Names of the programs, as KUBEBUILDER_ASSETS spells them too.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Kubectl           = "kubectl"
	Kubelet           = "kubelet"
	Proxy             = "kube-proxy"
	Scheduler         = "kube-scheduler"
)

// Tool is one program: its file name and the Go package it is built from.
type Tool struct {
	Name    string
	Package string
	// Source is the one file of a package of ours, which the module that is
	// built does not hold otherwise; Package is then ./ and its folder.
	Source []byte
}

// ControlPlane lists the programs of a control plane, the largest first.
func ControlPlane() []Tool {
	return []Tool{
		{Name: APIServer, Package: "k8s.io/kubernetes/cmd/kube-apiserver"},
		{Name: ControllerManager, Package: "k8s.io/kubernetes/cmd/kube-controller-manager"},
		{Name: Kubectl, Package: "k8s.io/kubernetes/cmd/kubectl"},
		{Name: Etcd, Package: "go.etcd.io/etcd/server/v3"},
	}
}

// Node lists the programs that a node needs beside a control plane. The source
// is that of the provisioner.
func Node(hostFolders []byte) []Tool {
	sum := sha256.Sum256(hostFolders)
	return []Tool{
		{Name: Kubelet, Package: "k8s.io/kubernetes/cmd/kubelet"},
		{Name: Proxy, Package: "k8s.io/kubernetes/cmd/kube-proxy"},
		{Name: Scheduler, Package: "k8s.io/kubernetes/cmd/kube-scheduler"},
		// Named by its content: another source is another program, and the
		// others need not be built again for it.
		{Name: HostFolders + "-" + hex.EncodeToString(sum[:])[:8], Package: "./" + HostFolders, Source: hostFolders},
	}
}

// HostFolders is how the name of the provisioner begins.
const HostFolders = "host-folders"

// Builder says what to build and where to keep it. Several builders, of one
// process or of many, may work on one cache at once: the second waits for the
// first and finds its work done.
type Builder struct {
	Tools   []Tool
	GoMod   []byte        // the module that pins every version
	GoSum   []byte        // its checksums
	Version string        // the version that the Kubernetes programs report, such as v1.37.2
	Cache   string        // the folder that holds the folders of binaries
	Assets  string        // a folder of ready binaries (KUBEBUILDER_ASSETS), or empty
	Tick    time.Duration // how often progress is reported; 15 s when zero
	Out     io.Writer     // progress, one line at a time
}

// Version returns the version of k8s.io/kubernetes that a go.mod file requires.
func Version(goMod []byte) (string, error) {
	for line := range strings.Lines(string(goMod)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == "k8s.io/kubernetes" {
			return fields[1], nil
		}
	}
	return "", errors.New("go.mod requires no version of k8s.io/kubernetes")
}

// Ensure returns a folder that holds every tool, building those that neither
// the cache nor Assets has.
func (b Builder) Ensure(ctx context.Context) (string, error) {
	dir := filepath.Join(b.Cache, "kubernetes-"+b.key())
	var missing []Tool
	for _, tool := range b.Tools {
		if !executable(b.asset(tool)) {
			missing = append(missing, tool)
		}
	}
	if err := b.build(ctx, dir, missing); err != nil {
		return "", err
	}
	if b.Assets == "" {
		return dir, nil
	}
	return b.link(dir)
}

// key identifies what the built programs depend on, so that a cache folder
// never holds two versions.
func (b Builder) key() string {
	sum := sha256.New()
	for _, part := range [][]byte{
		b.GoMod, b.GoSum,
		[]byte(strings.Join(b.flags(), " ")), []byte(runtime.GOOS + "/" + runtime.GOARCH),
	} {
		fmt.Fprintf(sum, "%d\n", len(part))
		sum.Write(part)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

func (b Builder) flags() []string {
	return []string{
		"-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -X k8s.io/component-base/version.gitVersion=" + b.Version,
	}
}

// asset is the ready binary of a tool, or empty without a folder of them.
func (b Builder) asset(tool Tool) string {
	if b.Assets == "" {
		return ""
	}
	return filepath.Join(b.Assets, tool.Name)
}

// link makes a folder of links to the ready binaries and, for the rest, to
// those built into dir.
func (b Builder) link(dir string) (string, error) {
	assets, err := filepath.Abs(b.Assets)
	if err != nil {
		return "", fmt.Errorf("resolving KUBEBUILDER_ASSETS: %w", err)
	}
	sum := sha256.Sum256([]byte(assets + "\n" + dir))
	links := filepath.Join(b.Cache, "assets-"+hex.EncodeToString(sum[:])[:16])
	if err := os.MkdirAll(links, 0o755); err != nil {
		return "", fmt.Errorf("creating the folder of links: %w", err)
	}
	for _, tool := range b.Tools {
		target := filepath.Join(assets, tool.Name)
		if !executable(target) {
			target = filepath.Join(dir, tool.Name)
		}
		link := filepath.Join(links, tool.Name)
		if now, err := os.Readlink(link); err == nil && now == target {
			continue
		}
		// Renamed into place: another process may be starting the program.
		fresh := fmt.Sprintf("%s.%d", link, os.Getpid())
		if err := os.Symlink(target, fresh); err != nil {
			return "", fmt.Errorf("linking %s: %w", tool.Name, err)
		}
		if err := os.Rename(fresh, link); err != nil {
			return "", fmt.Errorf("linking %s: %w", tool.Name, err)
		}
	}
	return links, nil
}

func executable(path string) bool {
	if path == "" {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
