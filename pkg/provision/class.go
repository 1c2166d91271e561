package provision

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	exist   []string // StorageClasses, sorted
	carried []string // named by PersistentVolumes
}

// checkClass warns, or gives the cause of a refusal, where a missing claim would
// wait for its class for ever.
func (t *task) checkClass(ctx context.Context, w claim.Want) (*metav1.StatusCause, error) {
	name := w.StorageClass.Value
	switch {
	case !w.StorageClass.Hinted():
		return nil, t.warnWithoutDefault(ctx, w)
	case name == "", t.MissingClass == IgnoreMissingClass:
		return nil, nil
	}
	err := t.Cached.Get(ctx, client.ObjectKey{Name: name}, &storagev1.StorageClass{})
	if err == nil {
		return nil, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, &Retryable{fmt.Errorf("reading StorageClass %s: %w", name, err)}
	}
	if t.classes == nil {
		if t.classes, err = t.readClasses(ctx); err != nil {
			return nil, err
		}
	}
	if slices.Contains(t.classes.exist, name) || slices.Contains(t.classes.carried, name) {
		return nil, nil
	}
	if t.MissingClass == WarnMissingClass {
		t.warnings = append(t.warnings, fmt.Sprintf("StorageClass %s does not exist; claim %s waits for it",
			claim.Quote(name, 30), claim.Quote(w.Name, 40)))
		return nil, nil
	}
	c := cause(w.StorageClass.From.String(), "StorageClass "+claim.Quote(name, 253)+" does not exist; "+t.classes.text())
	return &c, nil
}

func (c *classes) text() string {
	switch n := len(c.exist); {
	case n == 0:
		return "the cluster has no StorageClass"
	case n > maxClassesNamed:
		return fmt.Sprintf("write one of %s or %d others", strings.Join(c.exist[:maxClassesNamed], ", "), n-maxClassesNamed)
	}
	return "write one of " + strings.Join(c.exist, ", ")
}

// warnWithoutDefault warns where a claim asks for the default class and there is none.
func (t *task) warnWithoutDefault(ctx context.Context, w claim.Want) error {
	var list storagev1.StorageClassList
	if err := t.Cached.List(ctx, &list); err != nil {
		return &Retryable{fmt.Errorf("reading StorageClasses: %w", err)}
	}
	for i := range list.Items {
		a := list.Items[i].Annotations
		if a[annotationDefaultClass] == "true" || a[annotationDefaultClassBeta] == "true" {
			return nil
		}
	}
	t.warnings = append(t.warnings, "claim "+claim.Quote(w.Name, 40)+" asks for no class and the cluster has no default; it waits for one")
	return nil
}

// readClasses reads them from the API server: the informer may not have seen a
// class that was made a moment ago, and classes that only PersistentVolumes
// carry are rare enough not to be watched.
func (t *task) readClasses(ctx context.Context) (*classes, error) {
	c := &classes{}
	var list storagev1.StorageClassList
	if err := t.Live.List(ctx, &list); err != nil {
		return nil, t.refusal(ctx, err, call{verb: "list", resource: "storageclasses.storage.k8s.io", object: "StorageClasses"})
	}
	for i := range list.Items {
		c.exist = append(c.exist, list.Items[i].Name)
	}
	slices.Sort(c.exist)
	page := &corev1.PersistentVolumeList{}
	for {
		err := t.Live.List(ctx, page, client.Limit(500), client.Continue(page.Continue))
		if err != nil {
			return nil, t.refusal(ctx, err, call{verb: "list", resource: "persistentvolumes", object: "PersistentVolumes"})
		}
		for i := range page.Items {
			if name := page.Items[i].Spec.StorageClassName; name != "" && !slices.Contains(c.carried, name) {
				c.carried = append(c.carried, name)
			}
		}
		if page.Continue == "" {
			return c, nil
		}
	}
}
