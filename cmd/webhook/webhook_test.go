package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// TestNoThrottling: a client that limits its own rate does not get as far as serving.
func TestNoThrottling(t *testing.T) {
	for qps, refused := range map[float32]bool{-1: false, 0: true, 5: true} {
		_, _, err := newClients(&rest.Config{Host: "127.0.0.1:1", QPS: qps}, http.DefaultClient, provision.OwnerKinds{}.Mapper())
		if got := err != nil && strings.Contains(err.Error(), "limits its own rate"); got != refused {
			t.Errorf("at %v queries a second: %v", qps, err)
		}
	}
}

// TestStopsWithoutAnAPIServer: a program that is stopped before it has heard of the API server ends all the same.
func TestStopsWithoutAnAPIServer(t *testing.T) {
	registry := metrics.Registry
	defer func() { metrics.Registry = registry }()
	metrics.Registry = prometheus.NewRegistry()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte(`
clusters: [{name: here, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: here, context: {cluster: here}}]
current-context: here
`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{
			"--kubeconfig=" + kubeconfig, "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--cert-dir=" + t.TempDir(),
		}, io.Discard)
	}()
	time.Sleep(200 * time.Millisecond) // its caches wait for a list by now
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("still running 20 s after it was stopped")
	}
}
