package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram makes the test binary behave as the program itself.
const asProgram = "ENSURE_VOLUMES_TEST_AS_TRY"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// try runs the program with its state in dir and returns what it printed, in
// order, and its exit code.
func try(t *testing.T, ctx context.Context, dir string, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"--state", dir}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	said, err := cmd.CombinedOutput()
	t.Logf("try %s: %v\n%s", strings.Join(args, " "), err, said)
	return string(said), cmd.ProcessState.ExitCode()
}

// wantNothingRunning holds that no process has a command line that names dir.
func wantNothingRunning(t *testing.T, dir string) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		left = nil
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range lines {
			line, err := os.ReadFile(path)
			if err == nil && bytes.Contains(line, []byte(dir)) {
				left = append(left, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
			}
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("still running:\n%s", strings.Join(left, "\n"))
}

func TestDemo(t *testing.T) {
	dir := t.TempDir()
	output, code := try(t, t.Context(), dir, "demo")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for i, s := range stories() {
		if !strings.Contains(output, strconv.Itoa(i+1)+". "+s.title+"\n") {
			t.Errorf("story %d is not told", i+1)
		}
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, told, ok := strings.Cut(output, "\n1. ")
	if told = "1. " + told; !ok || !strings.Contains(alike(string(readme)), alike(told)) {
		t.Errorf("the README shows another output than\n%s", told)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	wantNothingRunning(t, dir)
}

// alike leaves out what differs from one demo to the next: a generated name, seconds.
func alike(output string) string {
	output = regexp.MustCompile(`pod/sandbox-\w{5} `).ReplaceAllString(output, "pod/sandbox-? ")
	return regexp.MustCompile(` in \d+ s\.`).ReplaceAllString(output, " in ? s.")
}

func TestAnInterruptedDemoLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // amid its start
	defer cancel()
	if _, code := try(t, ctx, dir, "demo"); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	wantNothingRunning(t, dir)
}

func TestUpAndDown(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { try(t, context.WithoutCancel(t.Context()), dir, "down") })

	output, code := try(t, t.Context(), dir, "up")
	if code != 0 {
		t.Fatalf("up: exit code %d", code)
	}
	holder := regexp.MustCompile(`held by process (\d+)`).FindStringSubmatch(output)
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if holder == nil || !strings.Contains(output, "export KUBECONFIG="+kubeconfig) {
		t.Fatalf("up does not say who holds what: %s", output)
	}
	pid, err := strconv.Atoi(holder[1])
	if err != nil {
		t.Fatal(err)
	}
	if session, err := syscall.Getpgid(pid); err != nil || session != pid {
		t.Errorf("the background process is in group %d (%v), within reach of this terminal", session, err)
	}
	pod, err := stories()[2].manifest()
	if err != nil {
		t.Fatal(err)
	}
	kubectl := exec.CommandContext(t.Context(), filepath.Join(dir, "up", "bin", "kubectl"), "--kubeconfig", kubeconfig, "--namespace", namespace, "create", "-f", "-", "-o", `jsonpath={.metadata.annotations.volumes\.opensandbox\.io/created}`)
	kubectl.Stdin = strings.NewReader(pod)
	kubectl.Env = append(os.Environ(), "HOME="+dir)
	if said, err := kubectl.CombinedOutput(); err != nil || string(said) != "carol-scratch" {
		t.Errorf("creating a pod: %v: %s", err, said)
	}

	if output, code := try(t, t.Context(), dir, "up"); code != 0 || !strings.Contains(output, "Up already, held by process "+holder[1]) {
		t.Errorf("up again: exit code %d: %s", code, output)
	}
	if output, code := try(t, t.Context(), dir, "--node", "up"); code != 1 || !strings.Contains(output, "process "+holder[1]+" holds the control plane with the webhook; end it first: make down") {
		t.Errorf("up with a node: exit code %d: %s", code, output)
	}
	if output, code := try(t, t.Context(), dir, "down"); code != 0 || output != "Down.\n" {
		t.Errorf("down: exit code %d: %s", code, output)
	}
	wantNothingRunning(t, dir)
	if _, err := os.Stat(kubeconfig); err == nil {
		t.Error("the kubeconfig outlives the control plane")
	}
	if output, code := try(t, t.Context(), dir, "down"); code != 0 || output != "Nothing is up.\n" {
		t.Errorf("down again: exit code %d: %s", code, output)
	}
}

func TestUpAfterACrash(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { try(t, context.WithoutCancel(t.Context()), dir, "down") })
	output, _ := try(t, t.Context(), dir, "up")
	holder := regexp.MustCompile(`held by process (\d+)`).FindStringSubmatch(output)
	if holder == nil {
		t.Fatal("up does not name its process")
	}
	pid, err := strconv.Atoi(holder[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wantNothingRunning(t, dir)
	if output, code := try(t, t.Context(), dir, "up"); code != 0 || !strings.Contains(output, "Up, held by process") {
		t.Errorf("up after a crash: exit code %d: %s", code, output)
	}
}

func TestAnInterruptedUpLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if output, code := try(t, ctx, dir, "up"); code != 1 || !strings.Contains(output, "given up") {
		t.Errorf("exit code %d: %s", code, output)
	}
	wantNothingRunning(t, dir)
	if output, _ := try(t, t.Context(), dir, "down"); output != "Nothing is up.\n" {
		t.Errorf("down: %s", output)
	}
}

// A pid in the lock is nobody's business unless its process holds this session.
func TestDownEndsOnlyTheHolder(t *testing.T) {
	s := session{dir: t.TempDir()}
	bystander := exec.CommandContext(t.Context(), "/bin/sleep", "60")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bystander.Process.Kill() }() // its end is not what is tested
	l, err := openLock(s.lockPath())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if taken, err := l.try(); !taken || err != nil {
		t.Fatalf("taken %t, %v", taken, err)
	}
	if _, err := l.file.WriteString(strconv.Itoa(bystander.Process.Pid) + "\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.down(ctx); err == nil {
		t.Error("down says that it has ended what still holds the lock")
	}
	if err := bystander.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the bystander: %v", err)
	}
}

func TestUsage(t *testing.T) {
	output, code := try(t, t.Context(), t.TempDir(), "sideways")
	if code != 1 || !strings.Contains(output, "usage:") {
		t.Errorf("exit code %d: %s", code, output)
	}
}
