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

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// createdAnnotation is what the webhook sets on a pod that it made a claim for.
const createdAnnotation = "volumes.opensandbox.io/created"

// Start starts the webhook with the ServiceAccount's kubeconfig and returns
// when it is ready. The flags come after ours, so they win. ctx bounds the
// start only: the process runs until it is stopped or this process has ended.
// At most one runs at a time: they share the address that the API server calls.
func (in *Installation) Start(ctx context.Context, flags ...string) (*process.Process, error) {
	return in.start(ctx, in.Address, flags)
}

// StartBeside starts a further replica as Start does, at an address of its own:
// the API server never calls it, so all that it does is the safety net's. Any
// number may run.
func (in *Installation) StartBeside(ctx context.Context, flags ...string) (*process.Process, error) {
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	return in.start(ctx, address, flags)
}

func (in *Installation) start(ctx context.Context, address string, flags []string) (*process.Process, error) {
	if in.Binary == "" {
		binary := filepath.Join(in.Dir, "webhook")
		if err := build(ctx, in.root, "./cmd/webhook", binary); err != nil {
			return nil, err
		}
		in.Binary = binary
	}
	metrics, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(in.Binary, append([]string{
		"--kubeconfig=" + in.Kubeconfig,
		"--listen=" + address,
		"--metrics-listen=" + metrics,
		"--cert-dir=" + in.CertDir,
	}, flags...)...)
	in.started++
	webhook, err := process.Start(cmd, filepath.Join(in.Dir, fmt.Sprintf("webhook-%d.log", in.started)), 100*time.Second)
	if err != nil {
		return nil, err
	}
	webhook.MetricsURL = "http://" + metrics + "/metrics"
	if err := in.waitReady(ctx, webhook, address); err != nil {
		webhook.Kill()
		return nil, err
	}
	return webhook, nil
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

func (in *Installation) waitReady(ctx context.Context, webhook *process.Process, address string) error {
	client := in.Client()
	return process.Poll(ctx, time.Minute, webhook.Done(), func() error {
		select {
		case <-webhook.Done():
			return webhook.Err()
		default:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("%w; %s", err, webhook.LastWords())
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
	return process.Poll(ctx, 30*time.Second, nil, func() error {
		got, err := clients.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && got.Annotations[createdAnnotation] != name {
			err = errors.New("the pod was admitted without " + createdAnnotation)
		}
		return err
	}, "waiting for the webhook to answer for namespace "+namespace)
}
