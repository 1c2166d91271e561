package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// Two thousand slow connections and ten thousand idle ones are attempted: they never are more than the cap, the slow are
// ended, and pods are created as ever. Not parallel: it is everybody's webhook.
func TestConnectionsByTheThousand(t *testing.T) {
	const slow, idle = 2000, 10_000
	wantFiles(t, slow+idle+2000)
	memory, limit := shippedMemory(t)
	t.Setenv("GOMEMLIMIT", memory)
	world.restart(t)
	ns, person := world.namespace(t), world.author(t)
	a := &assailant{
		address: world.in.Address, pool: &tls.Config{RootCAs: world.in.CAPool, MinVersion: tls.VersionTLS12},
		body: bytes.Repeat([]byte(" "), 512<<10), turns: make(chan struct{}, 200),
	}
	passed, err := world.failOpen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Three at a time, on connections of twenty: the API server need not open one meanwhile.
	var pods, answered sync.WaitGroup
	for i := range 20 {
		answered.Go(func() { world.dryPod(t, person, ns, fmt.Sprintf("first-%d", i)) })
	}
	answered.Wait()
	// The safety net is work for some more goroutines; its lease is that of the one before until it expires.
	wait(t, "the webhook leads", func(context.Context) error {
		if world.metrics(t)["ensure_volumes_safety_net_leader"] != 1 {
			return errors.New("it does not")
		}
		return nil
	})
	before := world.metrics(t)
	world.watchPeak(t)

	over, end := context.WithCancel(t.Context())
	defer end()
	var made atomic.Int64
	for i := range 3 {
		pods.Go(func() {
			for n := 0; over.Err() == nil; n++ {
				world.dryPod(t, person, ns, fmt.Sprintf("during-%d-%d", i, n))
				made.Add(1)
			}
		})
	}
	var slowOnes sync.WaitGroup
	for i := range slow {
		slowOnes.Go(func() { a.slow(t.Context(), i) })
	}
	a.tried.Add(idle)
	for i := range idle {
		a.open.Go(func() { a.idle(over, i) })
	}
	began := time.Now()
	var most float64
	ended := make(chan struct{})
	go func() { slowOnes.Wait(); a.tried.Wait(); close(ended) }()
	for waiting, limit := true, time.After(2*time.Minute); waiting; {
		now := world.metrics(t)
		most = max(most, now["ensure_volumes_connections"])
		select {
		case <-ended:
			waiting = false
		case <-limit:
			t.Fatal("slow connections are not ended")
		case <-time.After(200 * time.Millisecond):
		}
	}
	during := world.metrics(t)
	end()
	pods.Wait()
	a.open.Wait()

	refused := during["ensure_volumes_connections_refused_total"] - before["ensure_volumes_connections_refused_total"]
	t.Logf("%.0f s; %d slow and %d idle connections attempted, %d handshakes made, %.0f refused or ended for others; at most %.0f open; %d pods meanwhile",
		time.Since(began).Seconds(), slow, idle, a.let.Load(), refused, most, made.Load())
	if most > 1000 || most < 900 || refused < idle-1000 { // a cap of 1000, and the slow ones come and go
		t.Errorf("at most %.0f connections were open, and %.0f were refused", most, refused)
	}
	world.wantPeak(t, int64(limit))
	if made.Load() < 10 {
		t.Errorf("only %d pods were created meanwhile", made.Load())
	}
	world.faults.Saw(t, "too-many-connections", world.logged(t, "as many connections"))
	if now, err := world.failOpen(t.Context()); err != nil || now != passed {
		t.Errorf("%d pods passed without our answer (%v)", now-passed, err)
	}
	wait(t, "the connections are gone", func(context.Context) error {
		if now := world.metrics(t)["ensure_volumes_connections"]; now > 50 {
			return fmt.Errorf("%.0f are open", now)
		}
		return nil
	})
	world.dryPod(t, person, ns, "after") // on a connection that is new
	world.wantNothingHeld(t, before)
}

// dryPod creates a pod with a missing claim as a dry run and holds that the webhook has answered for it.
func (g *ground) dryPod(t *testing.T, person *person, ns, name string) {
	t.Helper()
	p := pod(ns, name, name)
	err := person.Create(t.Context(), p, client.DryRunAll)
	if err == nil && p.Annotations[domain+"/created"] != name {
		err = errors.New("it was admitted without our answer")
	}
	if err != nil {
		t.Errorf("pod %s: %v", name, err)
	}
}

// logged is the message of the webhook that begins so; "" where there is none.
func (g *ground) logged(t *testing.T, begin string) string {
	t.Helper()
	content, err := os.ReadFile(g.webhook.LogPath)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(content), `"msg":"`+begin)
	if !found {
		return ""
	}
	message, _, _ := strings.Cut(rest, `"`)
	return begin + message
}

// wantFiles lets this process have that many open files.
func wantFiles(t *testing.T, n uint64) {
	t.Helper()
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		t.Fatal(err)
	}
	if now.Cur >= n {
		return
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: max(n, now.Max)}); err != nil {
		t.Fatalf("%d files may be open, and %d are needed; raise the hard limit with `ulimit -Hn`: %v", now.Cur, n, err)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now) }) // higher does no harm
}

// shippedMemory are the chart's values of what a replica is told that it may use, and of what it may use.
func shippedMemory(t *testing.T) (goMemLimit string, limit float64) {
	t.Helper()
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "charts", "ensure-volumes", "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values struct {
		GoMemLimit string `json:"goMemLimit"`
		Resources  struct {
			Limits struct {
				Memory resource.Quantity `json:"memory"`
			} `json:"limits"`
		} `json:"resources"`
	}
	if err := yaml.Unmarshal(text, &values); err != nil || values.GoMemLimit == "" || values.Resources.Limits.Memory.IsZero() {
		t.Fatalf("the chart's values %+v: %v", values, err)
	}
	return values.GoMemLimit, values.Resources.Limits.Memory.AsApproximateFloat64()
}
