package safety

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/ensure-volumes/ensure-volumes/test/standin"
)

// kinds are those of sandboxes.
var kinds = []schema.GroupVersionKind{standin.KindBatchSandbox, standin.KindSandbox}

// answers bounds a request: client-go repeats a pod's create for as long as its
// claim is being deleted.
const answers = 4 * time.Second

// actor is everybody who does something in two namespaces. It takes one step at a time.
type actor struct {
	*world
	rng         *rand.Rand
	home, never string // the namespace that is switched on and off, and one that never is on
	off         bool   // whether home is switched off
	serial      int
	pods        []*pod
	owners      []*unstructured.Unstructured
}

// steps are what an actor may do, each as often as its weight says.
var steps = []struct {
	name   string
	weight int
	take   func(*actor, context.Context) error
}{
	{"pods created", 30, (*actor).createPod},
	{"second users brought in", 4, (*actor).bringSecond},
	{"pods rejected after admission", 6, (*actor).rejectPod},
	{"pods tried dry", 2, (*actor).dryPod},
	{"pods deleted", 14, (*actor).deletePod},
	{"pods helped to run", 14, (*actor).advancePod},
	{"owners created", 9, (*actor).createOwner},
	{"owners deleted", 7, (*actor).deleteOwner},
	{"claims created by hand", 5, (*actor).createClaim},
	{"claims deleted by hand", 7, (*actor).deleteClaim},
	{"namespaces switched", 2, (*actor).switchNamespace},
	{"namespaces made strict or not", 1, (*actor).strictNamespace},
	{"quotas changed", 2, (*actor).changeQuota},
}

// step takes one step, and says which.
func (a *actor) step(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	at := a.rng.IntN(total)
	for _, s := range steps {
		if at -= s.weight; at < 0 {
			return s.name, s.take(a, ctx)
		}
	}
	panic("the weights do not add up")
}

// chance is true n times of a hundred.
func (a *actor) chance(n int) bool { return a.rng.IntN(100) < n }

// next is a name that was never used before.
func (a *actor) next(prefix string) string {
	a.serial++
	return fmt.Sprintf("%s-%d", prefix, a.serial)
}

// pick is one of them, chosen by chance.
func pick[T any](a *actor, of []T) T { return of[a.rng.IntN(len(of))] }

// claim is the name of one of a few claims that pods share.
func (a *actor) claim() string { return fmt.Sprintf("data-%d", a.rng.IntN(10)) }

// sandboxes is how many names of sandboxes there are.
const sandboxes = 8

// ownClaim is the name of a claim that may be a sandbox's own, or another's by the same name.
func (a *actor) ownClaim() string { return fmt.Sprintf("own-sandbox-%d", a.rng.IntN(sandboxes)) }

// manifest is a pod with those claims, and hints: pairs of a field and a value.
func (a *actor) manifest(podName string, claims []string, hints ...string) *corev1.Pod {
	no := false
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.home, Name: podName, Annotations: map[string]string{}},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &no,
			// Nobody drives a pod off a node that nobody keeps alive.
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Containers:  []corev1.Container{{Name: "main", Image: "sandbox"}},
		},
	}
	for i := 0; i < len(hints); i += 2 {
		p.Annotations[domain+"/"+hints[i]] = hints[i+1]
	}
	for i, c := range claims {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: fmt.Sprintf("v%d", i), VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c},
		}})
	}
	return p
}

// sandbox is one with hints: pairs of a field and a value.
func (a *actor) sandbox(kind schema.GroupVersionKind, ownerName string, hints ...string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kind)
	o.SetNamespace(a.home)
	o.SetName(ownerName)
	annotations := map[string]string{}
	for i := 0; i < len(hints); i += 2 {
		annotations[domain+"/"+hints[i]] = hints[i+1]
	}
	o.SetAnnotations(annotations)
	return o
}

// answered is nil where the API server has answered as it may: it did what it
// was asked for, refused that, or had no time.
func answered(err error) error {
	if apierrors.IsInternalError(err) || err != nil && apierrors.ReasonForError(err) == metav1.StatusReasonUnknown && !isTimeout(err) {
		return err
	}
	return nil
}
