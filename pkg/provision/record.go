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
	size int64
	// created is the creationTimestamp, in seconds since 1970.
	created     int64
	modes       claim.Modes
	terminating bool
	lost        bool
	unbound     bool
	origin      origin
	owner       *owner
}

// origin is who created a claim.
type origin uint8

const (
	others  origin = iota
	ours           // we did
	foreign        // others, by copying or restoring one of ours
)

// owner is whom an exclusive claim belongs to.
type owner struct {
	ref string // "Kind.group/name", for messages
	uid types.UID
}

// record cuts a claim down.
func record(pvc *corev1.PersistentVolumeClaim) *Record {
	r := &Record{}
	r.Take(pvc)
	return r
}

// Take cuts a claim down, for the store. It keeps nothing of pvc alive but a
// string or two.
func (r *Record) Take(pvc *corev1.PersistentVolumeClaim) {
	r.namespace = unique.Make(pvc.Namespace)
	r.name = pvc.Name
	r.created = pvc.CreationTimestamp.Unix()
	r.terminating = pvc.DeletionTimestamp != nil
	r.lost = pvc.Status.Phase == corev1.ClaimLost
	r.unbound = unbound(pvc)
	r.origin = originOf(pvc)
	r.owner = exclusiveOwner(pvc)
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
}

// Kept is true: of claims every one counts.
func (r *Record) Kept() bool { return true }

// Key is the claim's namespace and name.
func (r *Record) Key() types.NamespacedName {
	return types.NamespacedName{Namespace: r.namespace.Value(), Name: r.name}
}

// Created is the claim's creationTimestamp.
func (r *Record) Created() time.Time { return time.Unix(r.created, 0) }

// Foreign reports whether the claim carries our label although others created
// it, by copying or restoring one of ours.
func (r *Record) Foreign() bool { return r.origin == foreign }

// Terminating reports whether the claim is being deleted.
func (r *Record) Terminating() bool { return r.terminating }

// Unusable reports whether no pod can begin to use the claim: it is being
// deleted, or its volume is lost.
func (r *Record) Unusable() bool { return r.terminating || r.lost }

// Abandonable reports whether the claim could be an orphan: we created it, it was
// never bound, and nobody deletes it.
func (r *Record) Abandonable() bool { return r.origin == ours && r.unbound && !r.terminating }

// Abandonable is [Record.Abandonable] of a claim that was just read.
func Abandonable(pvc *corev1.PersistentVolumeClaim) bool { return record(pvc).Abandonable() }

// ExclusiveOwner is the UID of the sandbox that the claim belongs to alone and is
// deleted with, or "" where there is none.
func (r *Record) ExclusiveOwner() types.UID {
	if r.owner == nil {
		return ""
	}
	return r.owner.uid
}

// ExclusiveOwner names the sandbox that a claim belongs to alone, such as
// "Sandbox.agents.x-k8s.io/alice", and its UID; both are empty where there is none.
func ExclusiveOwner(pvc *corev1.PersistentVolumeClaim) (name string, uid types.UID) {
	if o := exclusiveOwner(pvc); o != nil {
		return o.ref, o.uid
	}
	return "", ""
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
	if pvc.Annotations[claim.KeyDeleteWithOwner] != "true" || originOf(pvc) != ours {
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

// originOf tells by a claim's marks who created it. The time that we recorded
// tells a claim of ours from its copies.
func originOf(pvc *corev1.PersistentVolumeClaim) origin {
	if pvc.Labels[labelManagedBy] != managedBy {
		return others
	}
	recorded, err := time.Parse(time.RFC3339, pvc.Annotations[claim.KeyCreated])
	if err != nil || recorded.Sub(pvc.CreationTimestamp.Time).Abs() > copyAfter {
		return foreign
	}
	return ours
}

// unbound reports whether a claim was never bound to a volume. One that was
// bound is Bound or Lost for ever after.
func unbound(pvc *corev1.PersistentVolumeClaim) bool {
	return pvc.Spec.VolumeName == "" && pvc.Status.Phase != corev1.ClaimBound && pvc.Status.Phase != corev1.ClaimLost
}

func parseOwner(s string) (kind, name string, uid types.UID, ok bool) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 {
		return "", "", "", false
	}
	return parts[0], parts[1], types.UID(parts[2]), parts[2] != ""
}
