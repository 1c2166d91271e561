package provision

import (
	"strings"
	"time"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// Labels that a created claim carries.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	managedBy      = "ensure-volumes"
	labelSandboxID = "opensandbox.io/id"
)

// copyAfter is how far a claim's recorded time of creation may lie from its
// creationTimestamp. Beyond that the claim is a copy, or was restored, and is
// not ours although it carries our marks.
const copyAfter = 60 * time.Second

// Record is a claim cut down to what decisions need. It is never changed once
// made.
type Record struct {
	namespace unique.Handle[string]
	name      string
	// class is the claim's StorageClass; the zero Handle: it was given none yet.
	class unique.Handle[string]
	// size is the larger of what the claim asks for and what it was given, in bytes.
	size        int64
	modes       claim.Modes
	terminating bool
	lost        bool
	owner       *owner
}

// owner is whom an exclusive claim belongs to.
type owner struct {
	ref string // "Kind.group/name", for messages
	uid types.UID
}

// record cuts a claim down. It keeps nothing of pvc alive but a string or two.
func record(pvc *corev1.PersistentVolumeClaim) *Record {
	r := &Record{
		namespace:   unique.Make(pvc.Namespace),
		name:        pvc.Name,
		terminating: pvc.DeletionTimestamp != nil,
		lost:        pvc.Status.Phase == corev1.ClaimLost,
		owner:       exclusiveOwner(pvc),
	}
	// The annotation is the deprecated form, which the API server still prefers.
	if class, ok := pvc.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		r.class = unique.Make(class)
	} else if pvc.Spec.StorageClassName != nil {
		r.class = unique.Make(*pvc.Spec.StorageClassName)
	}
	asked, given := pvc.Spec.Resources.Requests[corev1.ResourceStorage], pvc.Status.Capacity[corev1.ResourceStorage]
	r.size = max(asked.Value(), given.Value())
	for _, m := range pvc.Spec.AccessModes {
		mode, _ := claim.ParseMode(string(m))
		r.modes |= mode
	}
	return r
}

// className is the claim's class; ok is false where it was given none yet.
func (r *Record) className() (name string, ok bool) {
	if r.class == (unique.Handle[string]{}) {
		return "", false
	}
	return r.class.Value(), true
}

// GetObjectMeta has the names alone; client-go's stores want them.
func (r *Record) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: r.namespace.Value(), Name: r.name}
}

// exclusiveOwner is whom the claim belongs to, or nil where it belongs to
// nobody: it is not ours, it is kept, or the ownerReference is gone.
func exclusiveOwner(pvc *corev1.PersistentVolumeClaim) *owner {
	if pvc.Annotations[claim.KeyDeleteWithOwner] != "true" || !ours(pvc) {
		return nil
	}
	kind, name, uid, ok := parseOwner(pvc.Annotations[claim.KeyOwner])
	if !ok {
		return nil
	}
	for _, ref := range pvc.OwnerReferences {
		if ref.UID == uid {
			return &owner{ref: kind + "/" + name, uid: uid}
		}
	}
	return nil
}

// ours reports whether we created this very claim, not one that it was copied from.
func ours(pvc *corev1.PersistentVolumeClaim) bool {
	if pvc.Labels[labelManagedBy] != managedBy {
		return false
	}
	recorded, err := time.Parse(time.RFC3339, pvc.Annotations[claim.KeyCreated])
	return err == nil && recorded.Sub(pvc.CreationTimestamp.Time).Abs() <= copyAfter
}

func parseOwner(s string) (kind, name string, uid types.UID, ok bool) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 {
		return "", "", "", false
	}
	return parts[0], parts[1], types.UID(parts[2]), parts[2] != ""
}
