package standin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Server stands for OpenSandbox's server on Kubernetes.
type Server struct {
	// Client acts as the server's account.
	Client client.Client
	// Namespace is where its sandboxes are: the server's own, or that of the tenant who asks.
	Namespace string
	// AgentSandbox makes Sandboxes of agent-sandbox instead of BatchSandboxes: the server's workload_provider.
	AgentSandbox bool
	// Timeout is how long a create waits for its sandbox, sandbox_create_timeout_seconds; 0: 60 s, as there.
	Timeout time.Duration
	// Log is told what the server writes to its log; nil: nobody.
	Log func(text string)
}

const (
	defaultTimeout = time.Minute
	poll           = 100 * time.Millisecond // the server's is 1 s
)

// Create does what the server does for POST /v1/sandboxes and returns the custom resource once its pod is admitted: [Server.Begin],
// and then it waits. Where that comes to nothing it deletes the custom resource, and of the claims those that the server
// itself had made to go with it. The error is a *Refusal where the caller gets an answer of his own.
func (s *Server) Create(ctx context.Context, id string, r *Request) (*unstructured.Unstructured, error) {
	cr, err := s.Begin(ctx, id, r)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, cr); err != nil {
		ctx = context.WithoutCancel(ctx)
		rollback := s.Client.Delete(ctx, cr)
		return nil, errors.Join(err, client.IgnoreNotFound(rollback), s.sweep(ctx, id))
	}
	return cr, nil
}

// Begin makes the missing claims, then the custom resource, then the latter the owner of those claims that shall go with it.
func (s *Server) Begin(ctx context.Context, id string, r *Request) (*unstructured.Unstructured, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	managed, err := s.ensureClaims(ctx, id, r.Volumes)
	if err != nil {
		return nil, errors.Join(err, s.sweep(ctx, id))
	}
	cr := s.workload(id, r)
	if err := s.Client.Create(ctx, cr); err != nil {
		if apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota") {
			err = exceeded(err.Error())
		} else {
			err = refuse(http.StatusInternalServerError, "KUBERNETES::API_ERROR", "Failed to create sandbox: %v", err)
		}
		return nil, errors.Join(err, s.sweep(ctx, id))
	}
	for _, name := range managed {
		s.own(ctx, cr, name)
	}
	return cr, nil
}

// Delete does what the server does for DELETE /v1/sandboxes/{id}: the custom resource goes, then the claims that the server itself
// had made to go with it.
func (s *Server) Delete(ctx context.Context, id string) error {
	cr := s.workload(id, &Request{})
	err := s.Client.Delete(ctx, cr)
	if err == nil || apierrors.IsNotFound(err) {
		err = errors.Join(err, s.sweep(ctx, id))
	}
	if err != nil {
		return fmt.Errorf("deleting sandbox %s: %w", id, err)
	}
	return nil
}

// await returns once the sandbox has its pod, or is known not to get it.
func (s *Server) await(ctx context.Context, cr *unstructured.Unstructured) error {
	limit := s.Timeout
	if limit == 0 {
		limit = defaultTimeout
	}
	pod := client.ObjectKey{Namespace: s.Namespace, Name: cr.GetName() + "-0"}
	if s.AgentSandbox {
		pod.Name = cr.GetName()
	}
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		if pooled, _, _ := unstructured.NestedString(cr.Object, "spec", "poolRef"); pooled != "" {
			return nil // its pod is there already
		}
		err := s.Client.Get(ctx, pod, &corev1.Pod{})
		if err == nil {
			return nil
		}
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading Pod %s: %w", pod, err)
		}
		now := cr.DeepCopy()
		if err := s.Client.Get(ctx, client.ObjectKeyFromObject(cr), now); err != nil {
			return fmt.Errorf("reading %s %s: %w", cr.GetKind(), cr.GetName(), err)
		}
		// Only these words end the wait; whatever else a condition says may pass.
		ready := readyCondition(now)
		if message, _ := ready["message"].(string); ready["reason"] == reasonRefused && strings.Contains(strings.ToLower(message), "exceeded quota") {
			return exceeded(message)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for sandbox %s: %w", cr.GetName(), context.Cause(ctx))
		case <-time.After(poll):
		}
	}
	return refuse(http.StatusGatewayTimeout, "KUBERNETES::POD_READY_TIMEOUT", "Timeout waiting for sandbox %s to be Running with IP. Last state: Pending", cr.GetLabels()[labelID])
}

func exceeded(message string) error {
	return refuse(http.StatusForbidden, "KUBERNETES::QUOTA_EXCEEDED", "%s", message)
}

func (s *Server) log(format string, args ...any) {
	if s.Log != nil {
		s.Log(fmt.Sprintf(format, args...))
	}
}
