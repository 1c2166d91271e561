package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/binaries"
	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/plane"
)

// name is the node's, in Kubernetes and as a host.
const name = "node"

// Inside is the node's side of a cluster: what runs in the namespaces.
type Inside struct {
	Dir      string // the state folder, absolute
	Number   int    // what the link was made for
	Binaries string // the folder of the programs
	Tools    []binaries.Tool
	Progress io.Writer
	Ready    func() error // called once, when pods can run
}

// Run prepares the namespaces and runs the cluster until ctx ends (nil) or one
// of its programs does (an error).
func (i Inside) Run(ctx context.Context) error {
	if os.Getppid() != 1 {
		return errors.New("this is not started by hand: it changes mounts and the network of where it runs")
	}
	if err := i.mounts(); err != nil {
		return err
	}
	if err := i.network(ctx); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("setting the host's name: %w", err)
	}
	if err := i.writeConfigs(); err != nil {
		return err
	}
	n := number(i.Number)
	return plane.Plane{
		Dir:      i.Dir,
		Continue: true,
		Network:  plane.Network{Address: n.inner(), Services: n.services()},
		Binaries: i.Binaries,
		Tools:    i.Tools,
		Progress: i.Progress,
		Ready:    i.Ready,
		Beside:   i.programs,
	}.Run(ctx)
}

func (i Inside) path(parts ...string) string {
	return filepath.Join(append([]string{i.Dir, "node"}, parts...)...)
}

// mounts gives the programs the folders that they insist on. Nothing of it can
// be seen outside.
func (i Inside) mounts() error {
	for _, folder := range []string{"log", "lib/upper", "lib/work", "settings"} {
		if err := os.MkdirAll(i.path(folder), 0o755); err != nil {
			return fmt.Errorf("creating the node's folders: %w", err)
		}
	}
	overlay := fmt.Sprintf("lowerdir=/var/lib,upperdir=%s,workdir=%s", i.path("lib", "upper"), i.path("lib", "work"))
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", 0, ""},                     // of these processes
		{"tmpfs", "/run", "tmpfs", 0, "mode=755"},            // empty at each start, as after a boot
		{i.path("log"), "/var/log", "", syscall.MS_BIND, ""}, // kubelet's, of pods
		{"overlay", "/var/lib", "overlay", 0, overlay},       // written by kubelet and CNI, whatever they are told
	} {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			if m.kind == "overlay" {
				return fmt.Errorf("mounting an overlay over %s: %w; the state folder must be on a file system that can be the upper layer of one, such as ext4", m.target, err)
			}
			return fmt.Errorf("mounting %s: %w", m.target, err)
		}
	}
	return i.settings()
}

// settings shows kubelet the settings that it would otherwise make: they are
// the whole machine's.
func (i Inside) settings() error {
	for setting, value := range map[string]string{
		"vm/overcommit_memory":      "1",
		"vm/panic_on_oom":           "0",
		"kernel/panic":              "10",
		"kernel/panic_on_oops":      "1",
		"kernel/keys/root_maxkeys":  "1000000",
		"kernel/keys/root_maxbytes": "25000000",
	} {
		shown := i.path("settings", filepath.Base(setting))
		if err := os.WriteFile(shown, []byte(value+"\n"), 0o444); err != nil {
			return fmt.Errorf("writing a setting: %w", err)
		}
		target := filepath.Join("/proc/sys", setting)
		err := syscall.Mount(shown, target, "", syscall.MS_BIND, "")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("mounting %s: %w", target, err)
		}
	}
	return nil
}

func (i Inside) network(ctx context.Context) error {
	n := number(i.Number)
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"address", "add", n.inner().String() + "/30", "dev", "eth0"},
		{"link", "set", "eth0", "up"},
		// kube-proxy rewrites a ClusterIP only on its way somewhere. No other way
		// leads out: a machine that forwards packets would let them go far.
		{"route", "add", n.services().String(), "via", n.outer().String()},
	} {
		if err := command(ctx, "ip", args...); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1\n"), 0o644); err != nil {
		return fmt.Errorf("letting packets pass to pods: %w", err)
	}
	return nil
}
