package stack

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// sh writes a program that stands in for the webhook.
func sh(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "webhook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// One control plane for everything: it is the costly part.
func TestInstallation(t *testing.T) {
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	cp, err := StartControlPlane(t.Context(), filepath.Join(t.TempDir(), "cluster"), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	installation, err := cp.Install(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if output, err := cp.Kubectl(t.Context(), "", "create", "namespace", "on"); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if output, err := cp.Kubectl(t.Context(), "", "label", "namespace", "on", "volumes.opensandbox.io/auto-create=enabled"); err != nil {
		t.Fatalf("%v: %s", err, output)
	}

	t.Run("a webhook that fails is heard", func(t *testing.T) {
		broken := *installation
		broken.Binary = sh(t, `echo "no such flag" "$@"; exit 2`)
		_, err := broken.Start(t.Context(), "--nonsense")
		if err == nil || !strings.Contains(err.Error(), "exit status 2") || !strings.Contains(err.Error(), "no such flag --kubeconfig=") || !strings.Contains(err.Error(), "--nonsense") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a webhook that never gets ready is not waited for longer than asked", func(t *testing.T) {
		deaf := *installation
		deaf.Binary = sh(t, `exec sleep 60`)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := deaf.Start(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the webhook answers, one process after the other", func(t *testing.T) {
		first, err := installation.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := installation.WaitAnswers(t.Context(), "on"); err != nil {
			t.Error(err)
		}
		response, err := http.Get(first.MetricsURL)
		if err != nil {
			t.Fatal(err)
		}
		metrics, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.Contains(string(metrics), "go_goroutines") {
			t.Errorf("metrics: %v\n%.200s", err, metrics)
		}
		first.Kill()
		second, err := installation.Start(t.Context(), "--log-level=debug")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(second.Kill)
		if err := installation.WaitAnswers(t.Context(), "on"); err != nil {
			t.Error(err)
		}
	})
	t.Run("the webhook acts as the shipped account", func(t *testing.T) {
		for verb, want := range map[string]string{"create": "yes\n", "delete": "no\n"} {
			output, _ := kubectl(t.Context(), cp.BinDir, cp.Dir, "", "--kubeconfig", installation.Kubeconfig, "auth", "can-i", verb, "persistentvolumeclaims", "-n", "on")
			if output != want {
				t.Errorf("%s: %q, want %q", verb, output, want)
			}
		}
		output, err := kubectl(t.Context(), cp.BinDir, cp.Dir, "", "--kubeconfig", installation.Kubeconfig, "auth", "whoami")
		if err != nil || !strings.Contains(output, "system:serviceaccount:ensure-volumes:ensure-volumes") {
			t.Errorf("whoami: %v\n%s", err, output)
		}
	})
	t.Run("an impersonated user may do nothing by default", func(t *testing.T) {
		output, err := cp.Kubectl(t.Context(), "", "get", "pods", "--as", "alice")
		if err == nil || !strings.Contains(output, `User "alice" cannot list resource "pods"`) {
			t.Errorf("%v: %s", err, output)
		}
	})
}

func TestStartingIsGivenUpWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StartControlPlane(ctx, t.TempDir(), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestStateOfAnEarlierRunIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etcd"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := StartControlPlane(t.Context(), dir, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "earlier run") {
		t.Errorf("got %v", err)
	}
}
