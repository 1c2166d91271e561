package node

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// requirement is something of the machine's that a node needs, and the Debian
// package that has it.
type requirement struct {
	what, pkg string
	there     func() bool
}

func requirements() []requirement {
	program := func(name, pkg string) requirement {
		return requirement{name, pkg, func() bool {
			_, err := exec.LookPath(name)
			return err == nil
		}}
	}
	return []requirement{
		program("containerd", "containerd"),
		program("ctr", "containerd"),
		program("runc", "runc"),
		program("nft", "nftables"),
		program("ip", "iproute2"),
		program("mount", "mount"),
		program("nsenter", "util-linux"),
		{"bridge, host-local and loopback of CNI", "containernetworking-plugins", func() bool { return cniPlugins() != "" }},
		{"a static busybox", "busybox-static", func() bool { return busybox() != "" }},
	}
}

// ensurePackages installs with apt-get what the machine lacks, and says so.
func ensurePackages(ctx context.Context, progress io.Writer) error {
	what, packages := missing()
	if len(packages) == 0 {
		return nil
	}
	said := strings.Join(what, ", ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("a node needs %s, which this machine lacks; there is no apt-get here to install them with", said)
	}
	fmt.Fprintf(progress, "a node needs %s; installing with apt-get: %s\n", said, strings.Join(packages, " "))
	for _, args := range [][]string{
		{"update", "--quiet"},
		append([]string{"install", "--quiet", "--yes", "--no-install-recommends", "--option=DPkg::Lock::Timeout=120"}, packages...),
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("running apt-get %s: %w\n%s", args[0], err, output)
		}
	}
	if what, _ := missing(); len(what) > 0 {
		return errors.New("the packages were installed, and still missing: " + strings.Join(what, ", "))
	}
	return nil
}

func missing() (what, packages []string) {
	for _, r := range requirements() {
		if r.there() {
			continue
		}
		what = append(what, r.what)
		if !slices.Contains(packages, r.pkg) {
			packages = append(packages, r.pkg)
		}
	}
	return what, packages
}

// cniPlugins is the folder of the network plugins, or empty.
func cniPlugins() string {
	for _, dir := range []string{"/usr/lib/cni", "/opt/cni/bin"} {
		if !slices.ContainsFunc([]string{"bridge", "host-local", "loopback"}, func(plugin string) bool {
			_, err := exec.LookPath(filepath.Join(dir, plugin))
			return err != nil
		}) {
			return dir
		}
	}
	return ""
}

// busybox is the path of a busybox that needs no libraries, or empty.
func busybox() string {
	for _, path := range []string{"/bin/busybox", "/usr/bin/busybox"} {
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		defer file.Close()
		program, err := elf.NewFile(file)
		if err == nil && !slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			return path
		}
	}
	return ""
}
