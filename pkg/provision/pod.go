package provision

import (
	"slices"
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
	for i := range pod.Spec.Volumes {
		if source := pod.Spec.Volumes[i].PersistentVolumeClaim; source != nil {
			r.Refer(i, source.ClaimName)
		}
	}
	return r
}

// Refer adds the claim that the pod's volume of that index names, once.
func (r *Request) Refer(volume int, claimName string) {
	if !slices.ContainsFunc(r.Claims, func(u Use) bool { return u.Name == claimName }) {
		r.Claims = append(r.Claims, Use{
			Name: claimName, Path: "spec.volumes[" + strconv.Itoa(volume) + "].persistentVolumeClaim.claimName",
		})
	}
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

func needed(all map[string]string) map[string]string {
	var some map[string]string
	for key, value := range all {
		if !claim.Concerns(key) && key != labelSandboxID {
			continue
		}
		if some == nil {
			some = map[string]string{}
		}
		some[key] = value
	}
	return some
}
