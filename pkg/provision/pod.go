package provision

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// ForPod is the request of a pod that exists and waits. It has no user, and of
// annotations and labels only what decisions need, so that it may be kept for
// longer than the pod. A mirror pod asks for nothing.
func ForPod(pod *corev1.Pod) Request {
	r := Request{
		Namespace:   pod.Namespace,
		PodName:     pod.Name,
		Annotations: needed(pod.Annotations),
		Labels:      needed(pod.Labels),
		Waiting:     true,
	}
	if ref := Controller(pod.OwnerReferences); ref != nil {
		r.Controller = ref.DeepCopy()
	}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return r
	}
	seen := map[string]bool{}
	for i := range pod.Spec.Volumes {
		if source := pod.Spec.Volumes[i].PersistentVolumeClaim; source != nil && !seen[source.ClaimName] {
			seen[source.ClaimName] = true
			r.Claims = append(r.Claims, Use{
				Name: source.ClaimName, Path: "spec.volumes[" + strconv.Itoa(i) + "].persistentVolumeClaim.claimName",
			})
		}
	}
	return r
}

// ClaimsOf are the names of the claims that a pod's volumes refer to.
func ClaimsOf(pod *corev1.Pod) (names []string) {
	for i := range pod.Spec.Volumes {
		if source := pod.Spec.Volumes[i].PersistentVolumeClaim; source != nil {
			names = append(names, source.ClaimName)
		}
	}
	return names
}

// Controller is the reference that names a pod's controller, or nil.
func Controller(refs []metav1.OwnerReference) *metav1.OwnerReference {
	for i := range refs {
		if refs[i].Controller != nil && *refs[i].Controller {
			return &refs[i]
		}
	}
	return nil
}

// NeedsLabel reports whether a decision needs a pod's label of that key, though it is no hint's.
func NeedsLabel[T string | []byte](key T) bool { return string(key) == labelSandboxID }

func needed(all map[string]string) map[string]string {
	var some map[string]string
	for key, value := range all {
		if !claim.Concerns(key) && !NeedsLabel(key) {
			continue
		}
		if some == nil {
			some = map[string]string{}
		}
		some[key] = value
	}
	return some
}
