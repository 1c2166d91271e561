package safety

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// cluster is what there is of what the last rules are about, in one namespace.
type cluster struct {
	pods   corev1.PodList
	claims map[string]*corev1.PersistentVolumeClaim
	// said is what the Events of our account say about an object.
	said  map[types.UID][]string
	limit int64 // of claims, by the quota; -1: none
}

func (w *world) look(ctx context.Context, namespace string) (*cluster, error) {
	c := &cluster{claims: map[string]*corev1.PersistentVolumeClaim{}, said: map[types.UID][]string{}, limit: -1}
	var claims corev1.PersistentVolumeClaimList
	var events corev1.EventList
	var quotas corev1.ResourceQuotaList
	for _, list := range []client.ObjectList{&c.pods, &claims, &events, &quotas} {
		if err := w.admin.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, err
		}
	}
	for i := range claims.Items {
		c.claims[claims.Items[i].Name] = &claims.Items[i]
	}
	for _, e := range events.Items {
		if e.Source.Component == "ensure-volumes" && e.Reason == "FailedEnsureClaims" {
			c.said[e.InvolvedObject.UID] = append(c.said[e.InvolvedObject.UID], e.Message)
		}
	}
	for _, q := range quotas.Items {
		c.limit = q.Spec.Hard.Name(corev1.ResourcePersistentVolumeClaims, "").Value()
	}
	return c, nil
}

// unsettled says what is not yet as it has to become in the end.
func (w *world) unsettled(ctx context.Context) error {
	var all error
	for _, a := range w.actors {
		namespace := &corev1.Namespace{}
		if err := w.admin.Get(ctx, client.ObjectKey{Name: a.home}, namespace); err != nil {
			return err
		}
		c, err := w.look(ctx, a.home)
		if err != nil {
			return err
		}
		for i := range c.pods.Items {
			p := &c.pods.Items[i]
			if p.DeletionTimestamp != nil {
				continue
			}
			if namespace.Labels[domain+"/auto-create"] == "enabled" && p.Status.Phase == corev1.PodPending {
				all = errors.Join(all, w.waits(c, p))
			}
			all = errors.Join(all, second(c, p))
		}
	}
	return all
}

// waits says why a pod that waits neither has its claims nor the Event that it should have.
func (w *world) waits(c *cluster, p *corev1.Pod) error {
	var missing, because []string
	for _, v := range p.Spec.Volumes {
		switch claim := c.claims[v.PersistentVolumeClaim.ClaimName]; {
		case claim == nil:
			missing = append(missing, v.PersistentVolumeClaim.ClaimName)
		case claim.DeletionTimestamp != nil: // a pod that runs holds it
			missing = append(missing, claim.Name)
			because = append(because, claim.Name+" is being deleted")
		}
	}
	if len(missing) == 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	made := w.pods[name{Namespace: p.Namespace, Name: p.Name}]
	if made == nil {
		return fmt.Errorf("pod %s/%s: the test did not create it", p.Namespace, p.Name)
	}
	because = append(because, made.because...)
	if w.strict[p.Namespace] {
		because = append(because, "createIfNotExists is false")
	}
	if c.limit >= 0 && int64(len(c.claims)+len(missing)) > c.limit {
		because = append(because, "exceeded quota")
	}
	if len(because) == 0 {
		return fmt.Errorf("pod %s/%s lacks claims %q, and nothing stands in the way; its Events say %q", p.Namespace, p.Name, missing, c.said[p.UID])
	}
	for _, about := range []types.UID{p.UID, made.owner} {
		if about != "" && !says(c.said[about], because) {
			return fmt.Errorf("pod %s/%s lacks claims %q because of %q; the Events on uid %s (its controller's is %q) say %q",
				p.Namespace, p.Name, missing, because, about, made.owner, c.said[about])
		}
	}
	return nil
}

func says(messages, because []string) bool {
	for _, message := range messages {
		for _, reason := range because {
			if strings.Contains(message, reason) {
				return true
			}
		}
	}
	return false
}

// second says that a pod is a second user of a claim that goes with its sandbox.
func second(c *cluster, p *corev1.Pod) error {
	for _, v := range p.Spec.Volumes {
		claim := c.claims[v.PersistentVolumeClaim.ClaimName]
		if claim == nil || claim.DeletionTimestamp != nil || len(claim.OwnerReferences) == 0 {
			continue
		}
		var controller types.UID
		for _, ref := range p.OwnerReferences {
			if ref.Controller != nil && *ref.Controller {
				controller = ref.UID
			}
		}
		if owner := claim.OwnerReferences[0]; owner.UID != controller {
			return fmt.Errorf("pod %s/%s (controller %q) uses claim %s, which goes with %s %s (uid %s)", p.Namespace, p.Name, controller, claim.Name, owner.Kind, owner.Name, owner.UID)
		}
	}
	return nil
}

// seen is how often what was seen that the rules are about.
type seen struct{ created, byHand, bound, collected, orphans, shared, events int }

// String is for the report.
func (s seen) String() string {
	return fmt.Sprintf("%d claims created by our account and %d by hand, %d bound; %d collected with their owner, %d orphans deleted, %d kept for a second user; %d Events",
		s.created, s.byHand, s.bound, s.collected, s.orphans, s.shared, s.events)
}

func (w *world) seen() (s seen) {
	w.claims.mu.Lock()
	defer w.claims.mu.Unlock()
	w.audit.mu.Lock()
	defer w.audit.mu.Unlock()
	for _, r := range w.audit.ours {
		switch r.Verb + " " + r.ObjectRef.Resource {
		case "create persistentvolumeclaims":
			s.created++
		case "delete persistentvolumeclaims":
			s.orphans++
		case "patch persistentvolumeclaims":
			s.shared++
		case "create events":
			s.events++
		}
	}
	for _, l := range w.claims.lives {
		if l.bound {
			s.bound++
		}
	}
	s.collected, s.byHand = len(w.audit.collected), len(w.byHand)
	return s
}
