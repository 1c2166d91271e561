package stack

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// createdAnnotation is what the webhook sets on a pod that it made a claim for.
const createdAnnotation = "volumes.opensandbox.io/created"

// Start starts the webhook with the ServiceAccount's kubeconfig and returns
// when it is ready. The flags come after ours, so they win. ctx bounds the
// start only: the process runs until it is stopped or this process has ended.
// At most one runs at a time: they share the address.
func (in *Installation) Start(ctx context.Context, flags ...string) (*Process, error) {
	if in.Binary == "" {
		binary := filepath.Join(in.Dir, "webhook")
		if err := build(ctx, in.root, "./cmd/webhook", binary); err != nil {
			return nil, err
		}
		in.Binary = binary
	}
	metrics, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(in.Binary, append([]string{
		"--kubeconfig=" + in.Kubeconfig,
		"--listen=" + in.Address,
		"--metrics-listen=" + metrics,
		"--cert-dir=" + in.CertDir,
	}, flags...)...)
	in.started++
	process, err := start(cmd, filepath.Join(in.Dir, fmt.Sprintf("webhook-%d.log", in.started)), 100*time.Second)
	if err != nil {
		return nil, err
	}
	process.MetricsURL = "http://" + metrics + "/metrics"
	if err := in.waitReady(ctx, process); err != nil {
		process.Kill()
		return nil, err
	}
	return process, nil
}

// Client is an HTTP client that trusts the webhook's authority. It keeps no
// connection open, so that it does not hold up a webhook that drains.
func (in *Installation) Client() *http.Client {
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: in.CAPool, MinVersion: tls.VersionTLS12, InsecureSkipVerify: in.CAPool == nil},
			DisableKeepAlives: true,
		},
	}
}

func (in *Installation) waitReady(ctx context.Context, process *Process) error {
	client := in.Client()
	return poll(ctx, time.Minute, process.done, func() error {
		select {
		case <-process.done:
			return process.Err()
		default:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, in.URL+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("%w; %s", err, process.lastWords())
		}
		defer response.Body.Close()
		body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("GET /readyz: %s: %s", response.Status, strings.TrimSpace(string(body)))
		}
		return nil
	}, "waiting for the webhook to be ready")
}

// WaitAnswers returns when the webhook answers for the namespace, which it does
// once it knows of the namespace's label: a pod with a missing claim, created
// as a dry run, then carries its annotation.
func (in *Installation) WaitAnswers(ctx context.Context, namespace string) error {
	clients, err := kubernetes.NewForConfig(in.controlPlane.Config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	const name = "does-the-webhook-answer"
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: name, Image: "none"}},
			Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
			}}},
		},
	}
	return poll(ctx, 30*time.Second, nil, func() error {
		got, err := clients.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && got.Annotations[createdAnnotation] != name {
			err = errors.New("the pod was admitted without " + createdAnnotation)
		}
		return err
	}, "waiting for the webhook to answer for namespace "+namespace)
}

// poll calls try until it succeeds. It gives up when the limit has passed, ctx
// or over has ended, with the last error of a try that had its time: one that
// the end of ctx has cut short says nothing about what was waited for.
func poll(ctx context.Context, limit time.Duration, over <-chan struct{}, try func() error, what string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := try()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-over:
			return fmt.Errorf("%s: %w", what, try())
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", what, context.Cause(ctx), last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
