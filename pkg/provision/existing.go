package provision

import (
	"net/http"
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// classInWarning leaves room for two of them in a warning.
const classInWarning = 24

// terminatingRetry is after how many seconds a client tries a Terminating claim again.
const terminatingRetry = 1

// refuse is the denial for a claim that exists and that a pod with that owner
// ("" where it has none) cannot use, or nil.
func (r *Record) refuse(podOwner types.UID) *Denial {
	switch {
	case r.terminating:
		d := deny(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, r.full()+
			" is being deleted and cannot be used; try again once it is gone (a pod that still uses it holds it)")
		d.Status.Details.RetryAfterSeconds = terminatingRetry
		return d
	case r.owner != nil && r.owner.uid != podOwner:
		return deny(http.StatusConflict, metav1.StatusReasonConflict, r.full()+" belongs to "+
			claim.Printable(r.owner.ref, 320)+" (uid "+claim.Printable(string(r.owner.uid), 64)+
			") alone and is deleted with it (deleteOnSandboxTermination); use another claim")
	case r.lost:
		return deny(http.StatusConflict, metav1.StatusReasonConflict, r.full()+
			" is Lost: the PersistentVolume that it was bound to is gone; restore that, or delete the claim to have an empty one created")
	}
	return nil
}

// full is how messages name the claim.
func (r *Record) full() string { return "PersistentVolumeClaim " + r.namespace.Value() + "/" + r.name }

// drift are the warnings for a claim that exists and does not satisfy the
// hints. What no hint names cannot drift, and a larger claim satisfies.
func (r *Record) drift(w claim.Want) []string {
	var warnings []string
	differs := func(field, asked, has string) {
		warnings = append(warnings, claim.Warning("claim ", r.name, " exists: "+field+" "+asked+" asked, it has "+has))
	}
	if w.Storage.Hinted() && w.Storage.Value.CmpInt64(r.size) > 0 {
		differs("storage", w.Storage.Value.String(), resource.NewQuantity(r.size, resource.BinarySI).String())
	}
	if w.StorageClass.Hinted() {
		asked, has := w.StorageClass.Value, "none yet"
		class, ok := r.className()
		if ok {
			has = claim.Quote(class, classInWarning)
		}
		if !ok || class != asked {
			differs("storageClass", claim.Quote(asked, classInWarning), has)
		}
	}
	if w.AccessModes.Hinted() && w.AccessModes.Value.Missing(r.modes) != 0 {
		differs("accessModes", w.AccessModes.Value.Short(), r.modes.Short())
	}
	if w.DeleteOnSandboxTermination.Hinted() && w.DeleteOnSandboxTermination.Value != (r.owner != nil) {
		differs("deleteOnSandboxTermination", strconv.FormatBool(w.DeleteOnSandboxTermination.Value), strconv.FormatBool(r.owner != nil))
	}
	return warnings
}
