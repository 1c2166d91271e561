// Package node holds what `cluster run --node` promises, on a real node. It is
// apart from the other tests of this module, and run by `make node-test`: it
// needs root, and it installs Debian packages.
package node

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program is the program under test, built once.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "node-test-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "cluster")
		build := exec.Command("go", "build", "-o", program, "..")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// cluster is `cluster run --node` as a process.
type cluster struct {
	dir    string
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *bytes.Buffer
}

// start returns once it has said that it is ready.
func start(t *testing.T, dir string) *cluster {
	t.Helper()
	begin := time.Now()
	c := &cluster{dir: dir, stderr: new(bytes.Buffer)}
	c.cmd = exec.Command(program, "run", "--node", "--until-stdin-closes", "--dir", dir)
	c.cmd.Stderr = c.stderr
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stdin = stdin
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // an error means that it has ended, as it should
		c.stdin.Close()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "ready\n" {
		_ = c.cmd.Wait() // what it said is of more interest
		t.Fatalf("first line %q, %v; want ready; it said:\n%s", line, err, c.stderr)
	}
	t.Logf("ready after %.1f s", time.Since(begin).Seconds())
	return c
}

// stop ends the cluster in order.
func (c *cluster) stop(t *testing.T) {
	t.Helper()
	begin := time.Now()
	c.stdin.Close()
	timer := time.AfterFunc(time.Minute, func() { _ = c.cmd.Process.Kill() })
	if err := c.cmd.Wait(); err != nil || !timer.Stop() {
		t.Errorf("stopping: %v after %.1f s; it said:\n%s", err, time.Since(begin).Seconds(), c.stderr)
	}
	t.Logf("stopped after %.1f s", time.Since(begin).Seconds())
}

func (c *cluster) try(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(c.dir, "bin", "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(c.dir, "kubeconfig"), "HOME="+c.dir, "KUBERC=off")
	cmd.Stdin = strings.NewReader(stdin)
	output, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(output)), err
}

// kubectl fails the test where kubectl does.
func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	output, err := c.try(t, "", args...)
	if err != nil {
		t.Fatalf("kubectl %q: %v\n%s", args, err, output)
	}
	return output
}

func (c *cluster) apply(t *testing.T, manifest string) {
	t.Helper()
	if output, err := c.try(t, manifest, "apply", "--filename", "-"); err != nil {
		t.Fatalf("kubectl apply: %v\n%s\n%s", err, output, manifest)
	}
}

// wait waits until an object is as it should be, and tells of it where it is not.
func (c *cluster) wait(t *testing.T, object, condition string) {
	t.Helper()
	if output, err := c.try(t, "", "wait", object, "--for="+condition, "--timeout=60s"); err != nil {
		described, _ := c.try(t, "", "describe", object)
		t.Fatalf("waiting for %s of %s: %v\n%s\n%s", condition, object, err, output, described)
	}
}

// number is what the names of everything outside the folder end in.
func (c *cluster) number(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(c.dir, "node", "number"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(content))
}

// outside is what else of a machine a cluster might touch, as it is now.
func outside(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, path := range []string{
		"/etc/cni", "/opt/cni", "/opt/containerd", "/run/containerd", "/run/netns", "/usr/libexec/kubernetes",
		"/var/lib/cni", "/var/lib/containerd", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods",
	} {
		_, err := os.Stat(path)
		all.WriteString(path + ": " + map[bool]string{true: "there\n", false: "not there\n"}[err == nil])
	}
	for _, setting := range []string{"kernel/hostname", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward", "vm/overcommit_memory", "vm/panic_on_oom"} {
		content, err := os.ReadFile("/proc/sys/" + setting)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(setting + ": " + string(content))
	}
	return all.String()
}

// wantNothingLeft holds that of a cluster that has ended only files are left.
// The kernel needs a moment where it was killed.
func wantNothingLeft(t *testing.T, dir, number string, cgroupsToo bool) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if left = remains(t, dir, number, cgroupsToo); len(left) == 0 {
			return
		}
	}
	t.Errorf("left:\n%s", strings.Join(left, "\n"))
}

func remains(t *testing.T, dir, number string, cgroupsToo bool) (left []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		if line, err := os.ReadFile(path); err == nil && bytes.Contains(line, []byte(dir)) {
			left = append(left, "process "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(mounts, []byte(dir)) {
		left = append(left, "a mount of "+dir)
	}
	for _, link := range []string{"ensurevol" + number, "pods0"} {
		if _, err := net.InterfaceByName(link); err == nil {
			left = append(left, "the link "+link)
		}
	}
	tables, err := exec.CommandContext(t.Context(), "nft", "list", "tables").CombinedOutput()
	if err != nil || bytes.Contains(tables, []byte("kube-proxy")) {
		left = append(left, "tables "+string(tables))
	}
	if cgroupsToo {
		for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} { // version 2, version 1
			groups, err := filepath.Glob(root + "/ensure-volumes-" + number)
			if err != nil {
				t.Fatal(err)
			}
			left = append(left, groups...)
		}
	}
	return left
}
