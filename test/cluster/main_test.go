package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram makes the test binary behave as the program itself.
const asProgram = "ENSURE_VOLUMES_TEST_AS_CLUSTER"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// cluster is `cluster run` as a process.
type cluster struct {
	dir    string
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *bytes.Buffer
}

// startCluster returns once it has said that it is ready.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{dir: filepath.Join(t.TempDir(), "cluster"), stderr: new(bytes.Buffer)}
	c.cmd = exec.Command(os.Args[0], "run", "--until-stdin-closes", "--dir", c.dir)
	c.cmd.Env = append(os.Environ(), asProgram+"=1")
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
		c.stdin.Close() // ends it in order: what is killed may still write while its folder is removed
		c.wait(t)
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("first line %q, %v; want ready; it said:\n%s", line, err, c.stderr)
	}
	return c
}

// wait returns the process's exit code, failing the test when it does not end.
func (c *cluster) wait(t *testing.T) int {
	t.Helper()
	timer := time.AfterFunc(30*time.Second, func() { _ = c.cmd.Process.Kill() })
	_ = c.cmd.Wait() // the exit code says the same
	if !timer.Stop() {
		t.Error("did not end within 30 s")
	}
	return c.cmd.ProcessState.ExitCode()
}

func TestRunAnswersAndStopsWhenStdinCloses(t *testing.T) {
	c := startCluster(t)
	children := c.children(t)
	kubectl := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(c.dir, "bin", "kubectl"), append(args, "--kubeconfig", filepath.Join(c.dir, "kubeconfig"))...)
		cmd.Env = append(os.Environ(), "HOME="+c.dir)
		output, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %q: %v\n%s", args, err, output)
		}
		return string(output)
	}
	if got := kubectl("version"); !strings.Contains(got, "Server Version: v1.37.2") {
		t.Errorf("kubectl version: %s", got)
	}
	kubectl("create", "quota", "few", "--hard=pods=1")
	// Without a working kube-controller-manager a quota never gets a status.
	kubectl("wait", "--for=jsonpath={.status.hard.pods}=1", "quota/few", "--timeout=20s")
	kubectl("run", "one", "--image=none")
	audit, err := os.ReadFile(filepath.Join(c.dir, "audit.log"))
	if err != nil || !bytes.Contains(audit, []byte(`"resource":"pods"`)) {
		t.Errorf("the audit log does not tell of the pod: %v\n%s", err, audit)
	}

	c.stdin.Close()
	if code := c.wait(t); code != 0 {
		t.Errorf("exit code %d, want 0:\n%s", code, c.stderr)
	}
	c.wantGone(t, children)
}

func TestInterruptStopsEverything(t *testing.T) {
	c := startCluster(t)
	children := c.children(t)
	for _, pid := range children {
		if group, err := syscall.Getpgid(pid); err != nil || group != pid {
			t.Errorf("process %d is in group %d (%v), where Ctrl-C would reach it", pid, group, err)
		}
	}
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := c.wait(t); code != 0 {
		t.Errorf("exit code %d, want 0:\n%s", code, c.stderr)
	}
	c.wantGone(t, children)
}

func TestBeingKilledLeavesNothing(t *testing.T) {
	c := startCluster(t)
	children := c.children(t)
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait() // it was killed
	c.wantGone(t, children)
}

func TestAProgramThatDiesIsNamed(t *testing.T) {
	c := startCluster(t)
	children := c.children(t)
	if err := syscall.Kill(c.pidOf(t, children, "etcd"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := c.wait(t); code == 0 {
		t.Error("exit code 0")
	}
	said := c.stderr.String()
	for _, want := range []string{"etcd ended by itself: signal: killed", filepath.Join("logs", "etcd.log")} {
		if !strings.Contains(said, want) {
			t.Errorf("it said %q, which lacks %q", said, want)
		}
	}
	c.wantGone(t, children)
}

// The endpoints that readiness is judged by are not open to everybody else.
func TestStrangersMayNotRead(t *testing.T) {
	c := startCluster(t)
	kubeconfig, err := os.ReadFile(filepath.Join(c.dir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	server := regexp.MustCompile(`https://127\.0\.0\.1:\d+`).FindString(string(kubeconfig))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := client.Get(server + "/api/v1/namespaces/default/serviceaccounts/default")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("anonymous read: %s, want 403", response.Status)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		nil, {"walk"}, {"run"}, {"run", "--node"}, {"run", "--dir", "x", "--node", "--bare"}, {"build", "more"}, {"exec", "--dir", "x"}, {"exec", "ls"}, {"load"}, {"pack", "--reference", "x"}, {"pack", "/a=b"},
	} {
		err := run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "usage:") {
			t.Errorf("%q: got %v", args, err)
		}
	}
}

func TestPackWritesAnArchive(t *testing.T) {
	var archive bytes.Buffer
	err := run(t.Context(), []string{"pack", "--reference=example.test/a:1", "/bin/cluster=go.mod"}, nil, &archive, io.Discard)
	if err != nil || !bytes.Contains(archive.Bytes(), goMod) {
		t.Errorf("%v, %d bytes", err, archive.Len())
	}
	for _, pair := range []string{"go.mod", "/=go.mod", "/a=", "/a=there-is-none"} {
		err := run(t.Context(), []string{"pack", "--reference=example.test/a:1", pair}, nil, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), strconv.Quote(pair)) {
			t.Errorf("%q: got %v", pair, err)
		}
	}
}

func TestAStrangerHasNoNode(t *testing.T) {
	for _, args := range [][]string{{"exec", "--dir", t.TempDir(), "true"}, {"load", "--dir", t.TempDir()}} {
		err := run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "no cluster with a node runs in") {
			t.Errorf("%q: got %v", args, err)
		}
	}
}

// children returns the three programs that the process has started.
func (c *cluster) children(t *testing.T) []int {
	t.Helper()
	pids := childrenOf(t, c.cmd.Process.Pid)
	if len(pids) != 3 {
		t.Fatalf("%d children, want 3", len(pids))
	}
	return pids
}

func (c *cluster) pidOf(t *testing.T, pids []int, program string) int {
	t.Helper()
	i := slices.IndexFunc(pids, func(pid int) bool {
		line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		return strings.HasPrefix(string(line), filepath.Join(c.dir, "bin", program)+"\x00")
	})
	if i < 0 {
		t.Fatalf("%s is not among the processes %v", program, pids)
	}
	return pids[i]
}

// wantGone holds that the processes end within a moment: the kernel's signal
// needs one.
func (c *cluster) wantGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		gone := func() bool {
			line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
			return !strings.Contains(string(line), c.dir)
		}
		for deadline := time.Now().Add(5 * time.Second); !gone(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("process %d is still running", pid)
				break
			}
		}
	}
}

func childrenOf(t *testing.T, parent int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var result []int
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		// pid (name) state ppid ...; a name may hold blanks.
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				t.Fatal(err)
			}
			result = append(result, pid)
		}
	}
	return result
}
