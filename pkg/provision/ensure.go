package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// Ensurer makes the claims of pods exist. It may be used by many goroutines at
// once, and is not copied once it is used.
type Ensurer struct {
	// Live talks to the API server, without a cache and without client-side limits.
	Live client.Client
	// Cached reads Namespaces (as PartialObjectMetadata, the enabled ones) and
	// StorageClasses from informers.
	Cached client.Reader
	// Claims are the claims of the cluster.
	Claims *Claims
	// Log gets what the operator has to see to. The zero value logs nothing.
	Log logr.Logger

	Config

	waiting recentClasses
}

// Config is what the operator decides.
type Config struct {
	// AutoCreate is the safety switch: false never creates anything.
	AutoCreate bool
	// DefaultStorage is the size of a claim that no hint gives one.
	DefaultStorage resource.Quantity
	// MissingClass says what becomes of a hint for a StorageClass that does not exist.
	MissingClass ClassPolicy
	// DeleteWithOwner false keeps every claim, whatever deleteOnSandboxTermination asks.
	DeleteWithOwner bool
	// OwnerKinds are the kinds of controllers that hints are read from.
	OwnerKinds OwnerKinds
}

// Request is a pod that is about to be created, or waits.
type Request struct {
	// Namespace is where claims are looked for and created, and nowhere else.
	Namespace string
	// PodName is the pod's name, or its generateName followed by "*".
	PodName string
	// Annotations and Labels are the pod's.
	Annotations, Labels map[string]string
	// Controller is the pod's controller owner; nil where it has none.
	Controller *metav1.OwnerReference
	// Claims are the claims that the pod refers to, each once. Of many more than
	// [claim.MaxClaims] some may be left out, and counted as More.
	Claims []Use
	More   int
	// User is who asks for the pod; empty where nobody knows any more.
	User string
	// Waiting says that the pod exists already, and that whoever asks comes back.
	// Where the pod's controller is gone, or being deleted, it then gets no claim: it
	// is about to be deleted too, and a claim made now would stay behind. And what
	// many such requests would ask for again and again is asked for once.
	Waiting bool
	// DryRun judges and asks the API server as usual and writes nothing.
	DryRun bool
}

// Use is one claim of a pod.
type Use struct {
	Name string
	// Path is where the pod names it first, for messages.
	Path string
}

// Result is what became of a request, also of one that failed.
type Result struct {
	// Created are the names of the claims created, in the order of the request.
	Created []string
	// Warnings are for the caller.
	Warnings []string
	// Drift are those of them that say how a claim that exists does not satisfy its hints.
	Drift []string
	// Wants are what the hints say of each claim, in the order of the request;
	// empty where they were not put together. Where every claim exists the
	// controller's hints are not among them: it was not read.
	Wants []claim.Want
}

// Ensure makes the claims of a pod exist, or says why not: the error is a
// *[Denial] or a *[Retryable]. It is idempotent, and may run at once for pods
// that share claims. Everything is judged before anything is created; where the
// API server then refuses one claim of several, the others are created all the
// same and kept. It returns at the latest when ctx ends.
func (e *Ensurer) Ensure(ctx context.Context, req Request) (Result, error) {
	if len(req.Claims) == 0 {
		return Result{}, nil
	}
	if !e.Claims.Synced() {
		return Result{}, &Retryable{errors.New("the claims of the cluster are not known yet; try again")}
	}
	namespace, err := e.namespace(ctx, req.Namespace)
	if namespace == nil {
		return Result{}, err // nobody asked us to; a real API server would not have called
	}
	if n := len(req.Claims) + req.More; e.AutoCreate && n > claim.MaxClaims {
		return Result{}, invalid([]metav1.StatusCause{cause("spec.volumes", fmt.Sprintf(
			"the pod has %d different claims; the limit is %d, use fewer", n, claim.MaxClaims))})
	}
	t := newTask(e, req, namespace.Annotations)
	if !e.AutoCreate {
		return t.switchedOff(), nil
	}
	err = t.run(ctx)
	return Result{Created: t.created, Warnings: t.warnings, Drift: t.drift, Wants: t.wants}, err
}

// Enabled reports whether a namespace is switched on. The error is a *[Retryable].
func (e *Ensurer) Enabled(ctx context.Context, name string) (bool, error) {
	namespace, err := e.namespace(ctx, name)
	return namespace != nil, err
}

// namespace is a namespace that is switched on, or nil.
func (e *Ensurer) namespace(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := e.Cached.Get(ctx, client.ObjectKey{Name: name}, namespace)
	switch {
	case err != nil && !apierrors.IsNotFound(err):
		return nil, &Retryable{fmt.Errorf("reading Namespace %s: %w", name, err)}
	case namespace.Labels[claim.KeyAutoCreate] != claim.Enabled: // nor is what was not found
		return nil, nil
	}
	return namespace, nil
}

// switchedOff leaves everything as it would be without us, and says so.
func (t *task) switchedOff() Result {
	var warnings []string
	if t.req.More > 0 { // first: of very many, the last are not passed on
		warnings = append(warnings, fmt.Sprintf("the pod has %d more claims than are looked for; the operator has switched creation off", t.req.More))
	}
	for i, u := range t.req.Claims {
		if t.records[i] == nil {
			warnings = append(warnings, claim.Warning("claim ", u.Name, " does not exist and the operator has switched creation off"))
		}
	}
	return Result{Warnings: warnings}
}
