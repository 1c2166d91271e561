package provision

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// ClassPolicy says what becomes of a hint for a StorageClass that neither exists
// nor is carried by a PersistentVolume: nothing could ever bind the claim.
type ClassPolicy string

// The policies.
const (
	DenyMissingClass   ClassPolicy = "deny"
	WarnMissingClass   ClassPolicy = "warn"
	IgnoreMissingClass ClassPolicy = "off"
)

// The annotations that make a StorageClass the cluster's default.
const (
	annotationDefaultClass     = "storageclass.kubernetes.io/is-default-class"
	annotationDefaultClassBeta = "storageclass.beta.kubernetes.io/is-default-class"
)

// maxClassesNamed bounds the list of classes in a message.
const maxClassesNamed = 20

// classes are the names of classes, read live.
type classes struct {
	exist   map[string]bool // StorageClasses
	carried map[string]bool // named by PersistentVolumes
}

// recentFor is how long pods that wait for a class are told what was found out for
// another one. A StorageClass that is made meanwhile is known at once by its informer.
const recentFor = 20 * time.Second

// recentClasses are what was read last, or why it could not be. With one misspelt
// class in a thousand pods that wait, all PersistentVolumes would be listed for each,
// again and again.
type recentClasses struct {
	mu      sync.Mutex
	at      time.Time
	classes *classes
	err     error
}

func (r *recentClasses) get(read func() (*classes, error)) (*classes, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() || time.Since(r.at) > recentFor {
		r.classes, r.err = read()
		r.at = time.Now()
	}
	return r.classes, r.err
}

// checkClass gives the cause of a refusal, or else a warning, where a missing
// claim would wait for its class for ever.
func (t *task) checkClass(ctx context.Context, w claim.Want) (refused *metav1.StatusCause, warning string, err error) {
	name := w.StorageClass.Value
	switch {
	case !w.StorageClass.Hinted():
		warning, err = t.withoutDefault(ctx, w)
		return nil, warning, err
	case name == "", t.MissingClass == IgnoreMissingClass:
		return nil, "", nil
	}
	err = t.Cached.Get(ctx, client.ObjectKey{Name: name}, &storagev1.StorageClass{})
	if err == nil {
		return nil, "", nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, "", &Retryable{fmt.Errorf("reading StorageClass %s: %w", name, err)}
	}
	if t.classes == nil {
		read := t.readClasses
		if t.req.Waiting {
			read = func(ctx context.Context) (*classes, error) {
				return t.waiting.get(func() (*classes, error) { return t.readClasses(ctx) })
			}
		}
		if t.classes, err = read(ctx); err != nil {
			return nil, "", err
		}
	}
	switch {
	case t.classes.exist[name] || t.classes.carried[name]:
		return nil, "", nil
	case t.MissingClass == WarnMissingClass:
		return nil, claim.Warning("StorageClass "+claim.Quote(name, classInWarning)+" does not exist; claim ", w.Name, " waits for it"), nil
	}
	c := cause(w.StorageClass.From.String(), "StorageClass "+claim.Quote(name, 253)+" does not exist; "+t.classes.text())
	return &c, "", nil
}

func (c *classes) text() string {
	names := slices.Sorted(maps.Keys(c.exist))
	switch n := len(names); {
	case n == 0:
		return "the cluster has no StorageClass"
	case n > maxClassesNamed:
		return fmt.Sprintf("write one of %s or %d others", strings.Join(names[:maxClassesNamed], ", "), n-maxClassesNamed)
	}
	return "write one of " + strings.Join(names, ", ")
}

// withoutDefault is the warning where a claim asks for the default class and there is none.
func (t *task) withoutDefault(ctx context.Context, w claim.Want) (string, error) {
	var list storagev1.StorageClassList
	if err := t.Cached.List(ctx, &list); err != nil {
		return "", &Retryable{fmt.Errorf("reading StorageClasses: %w", err)}
	}
	for i := range list.Items {
		if IsDefaultClass(&list.Items[i]) {
			return "", nil
		}
	}
	return claim.Warning("claim ", w.Name, " asks for no class and the cluster has no default; it waits for one"), nil
}

// IsDefaultClass reports whether a claim that asks for no class may get this one.
func IsDefaultClass(class *storagev1.StorageClass) bool {
	return class.Annotations[annotationDefaultClass] == "true" || class.Annotations[annotationDefaultClassBeta] == "true"
}

// readClasses reads them from the API server: the informer may not have seen a
// class that was made a moment ago, and classes that only PersistentVolumes
// carry are rare enough not to be watched. They come in pages, so that many
// volumes cost time, which the request's deadline bounds, and not memory.
func (t *task) readClasses(ctx context.Context) (*classes, error) {
	c := &classes{exist: map[string]bool{}, carried: map[string]bool{}}
	var list storagev1.StorageClassList
	if err := t.Live.List(ctx, &list); err != nil {
		return nil, t.refusal(ctx, err, call{verb: "list", resource: "storageclasses.storage.k8s.io", object: "StorageClasses"})
	}
	for i := range list.Items {
		c.exist[list.Items[i].Name] = true
	}
	page := &corev1.PersistentVolumeList{}
	for {
		err := t.Live.List(ctx, page, client.Limit(500), client.Continue(page.Continue))
		if err != nil {
			return nil, t.refusal(ctx, err, call{verb: "list", resource: "persistentvolumes", object: "PersistentVolumes"})
		}
		for i := range page.Items {
			c.carried[page.Items[i].Spec.StorageClassName] = true
		}
		if page.Continue == "" {
			return c, nil
		}
	}
}
