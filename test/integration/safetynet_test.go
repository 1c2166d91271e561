package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// healing bounds a wait for the safety net, whose pauses are 20 s at most.
const healing = time.Minute

// late makes a namespace with pods that wait for their claims: it is switched on
// after them.
func (g *ground) late(t *testing.T, pods ...func(ns string) *corev1.Pod) (ns string) {
	t.Helper()
	ns = g.quiet(t)
	for _, p := range pods {
		g.create(t, p(ns))
	}
	g.switchOn(t, ns)
	return ns
}

func (g *ground) switchOn(t *testing.T, ns string) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"volumes.opensandbox.io/auto-create":"enabled"}}}`))
	if err := g.admin.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, patch); err != nil {
		t.Fatal(err)
	}
}

// healed waits until a namespace has exactly these claims.
func (g *ground) healed(t *testing.T, ns string, want ...string) {
	t.Helper()
	waitFor(t, healing, fmt.Sprintf("%s has the claims %q", ns, want), func(context.Context) error {
		if got := g.claims(t, ns); !slices.Equal(got, want) {
			return fmt.Errorf("it has %q", got)
		}
		return nil
	})
}

// toldBySafetyNet are our Events about an object: reason and message, oldest first.
func (g *ground) toldBySafetyNet(t *testing.T, ns, kind, name string) (texts []string) {
	t.Helper()
	var list corev1.EventList
	if err := g.admin.List(t.Context(), &list, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.Event) int { return a.FirstTimestamp.Compare(b.FirstTimestamp.Time) })
	for _, e := range list.Items {
		if e.Source.Component == "ensure-volumes" && e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name {
			texts = append(texts, e.Reason+": "+e.Message)
		}
	}
	return texts
}

// A namespace that is switched on after its pods, and a claim that is deleted
// under a pod that waits: the claims come, as asked.
func TestWhatTheWebhookMissedHeals(t *testing.T) {
	t.Parallel()
	batch := (*corev1.Pod)(nil)
	ns := world.late(t,
		func(ns string) *corev1.Pod {
			return hinted(pod(ns, "sb1", "home", "data"), "home."+domain+"/storage", "5Gi")
		},
		func(ns string) *corev1.Pod {
			batch = by(world.owner(t, batchSandbox, ns, "sb2", "volumes.opensandbox.io/storage", "3Gi"), pod(ns, "sb2-0", "work"))
			return batch
		},
	)
	world.healed(t, ns, "data", "home", "work")
	for name, size := range map[string]string{"home": "5Gi", "data": "1Gi", "work": "3Gi"} {
		if got := world.claim(t, ns, name); got.Spec.Resources.Requests.Storage().String() != size || got.Annotations[domain+"/requested-by"] != "" {
			t.Errorf("claim %s: %+v %+v", name, got.Annotations, got.Spec)
		}
	}
	before := world.claim(t, ns, "home")
	if err := world.admin.Delete(t.Context(), before.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, healing, "the claim comes back", func(ctx context.Context) error {
		now := &corev1.PersistentVolumeClaim{}
		if err := world.admin.Get(ctx, client.ObjectKeyFromObject(before), now); err != nil || now.UID == before.UID {
			return errors.Join(err, fmt.Errorf("deletion %v", now.DeletionTimestamp))
		}
		return nil
	})
	if events := append(world.toldBySafetyNet(t, ns, "Pod", "sb1"), world.toldBySafetyNet(t, ns, "BatchSandbox", "sb2")...); len(events) > 0 {
		t.Errorf("it is told that %q", events)
	}
}

// What stands in the way is told on the pod and on its controller, in the words of
// the denial, once for each change, and that it is over, too.
func TestWhatStandsInTheWayIsTold(t *testing.T) {
	t.Parallel()
	ns := world.quiet(t)
	quota := world.quota(t, ns, map[string]string{"requests.storage": "1Gi"})
	sb := world.owner(t, batchSandbox, ns, "sb1")
	world.create(t, by(sb, hinted(pod(ns, "sb1-0", "home"), "storage", "5Gi")))
	world.create(t, hinted(pod(ns, "typo", "work"), "storage", "10 GB"))
	world.switchOn(t, ns)
	waitFor(t, healing, "it is told", func(context.Context) error {
		onPod, onOwner, onTypo := world.toldBySafetyNet(t, ns, "Pod", "sb1-0"), world.toldBySafetyNet(t, ns, "BatchSandbox", "sb1"), world.toldBySafetyNet(t, ns, "Pod", "typo")
		if len(onPod) == 0 || len(onOwner) == 0 || len(onTypo) == 0 {
			return fmt.Errorf("%q %q %q", onPod, onOwner, onTypo)
		}
		return nil
	})
	// Until it has been tried several times more, nothing is told again.
	tries := func() int { return times(world.calls(t, ns), "create persistentvolumeclaims") }
	waitFor(t, healing, "it is tried again and again", func(context.Context) error {
		if n := tries(); n < 4 {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
	for _, about := range [][2]string{{"Pod", "sb1-0"}, {"BatchSandbox", "sb1"}} {
		world.toldOnce(t, "waits-quota", ns, about[0], about[1])
	}
	world.toldOnce(t, "waits-hint", ns, "Pod", "typo")
	quota.Spec.Hard[corev1.ResourceRequestsStorage] = *claim("", "", "9Gi").Spec.Resources.Requests.Storage()
	if err := world.admin.Update(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	world.healed(t, ns, "home")
	wait(t, "it is told that it is over", func(context.Context) error {
		for _, about := range [][2]string{{"Pod", "sb1-0"}, {"BatchSandbox", "sb1"}} {
			if got := world.toldBySafetyNet(t, ns, about[0], about[1]); len(got) != 2 {
				return fmt.Errorf("%s: %q", about[0], got)
			}
		}
		return nil
	})
	world.faults.Saw(t, "waits-no-more", world.toldBySafetyNet(t, ns, "Pod", "sb1-0")[1])
}

// What a claim that exists does not satisfy is told as well: whoever creates pods
// through a controller sees no warning.
func TestDriftIsToldOfAPodThatWaits(t *testing.T) {
	t.Parallel()
	ns := world.quiet(t)
	world.create(t, claim(ns, "home", "1Gi"))
	world.create(t, hinted(pod(ns, "sb1", "home"), "storage", "5Gi"))
	world.switchOn(t, ns)
	waitFor(t, healing, "it is told", func(context.Context) error {
		if got := world.toldBySafetyNet(t, ns, "Pod", "sb1"); len(got) == 0 {
			return errors.New("nothing is told")
		}
		return nil
	})
	world.toldOnce(t, "waits-drift", ns, "Pod", "sb1")
	world.wantClaims(t, ns, "home")
}

// A pod whose controller is about to go gets no claim, and is told so.
func TestAControllerThatGoesIsToldOfAPodThatWaits(t *testing.T) {
	t.Parallel()
	ns := world.quiet(t)
	sb := world.owner(t, batchSandbox, ns, "sb1")
	world.create(t, by(sb, pod(ns, "sb1-0", "home")))
	sb.SetFinalizers([]string{"example.test/hold"})
	if err := world.admin.Update(t.Context(), sb); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		if err := world.admin.Patch(context.Background(), sb, patch); err != nil {
			t.Error(err)
		}
	})
	if err := world.admin.Delete(t.Context(), sb); err != nil {
		t.Fatal(err)
	}
	world.switchOn(t, ns)
	waitFor(t, healing, "it is told", func(context.Context) error {
		if got := world.toldBySafetyNet(t, ns, "Pod", "sb1-0"); len(got) == 0 {
			return errors.New("nothing is told")
		}
		return nil
	})
	world.toldOnce(t, "waits-controller-gone", ns, "Pod", "sb1-0")
	world.wantClaims(t, ns)
}

// What is found of claims, of which no pod tells, is told on them.
func TestWhatIsFoundOfClaimsIsTold(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	restored := claim(ns, "restored", "1Gi")
	restored.Labels = map[string]string{"app.kubernetes.io/managed-by": "ensure-volumes"}
	restored.Annotations = map[string]string{domain + "/created": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}
	world.create(t, restored)
	sb := pod(ns, "sb1", "left")
	world.create(t, sb)
	world.wantClaims(t, ns, "left", "restored")
	if err := world.admin.Delete(t.Context(), sb); err != nil {
		t.Fatal(err)
	}
	for _, row := range [][2]string{{"foreign-claim", "restored"}, {"orphaned-claim", "left"}} {
		waitFor(t, 3*time.Minute, "it is told of claim "+row[1], func(context.Context) error {
			if got := world.toldBySafetyNet(t, ns, "PersistentVolumeClaim", row[1]); len(got) == 0 {
				return errors.New("nothing is told")
			}
			return nil
		})
		world.toldOnce(t, row[0], ns, "PersistentVolumeClaim", row[1])
	}
}

// toldOnce holds that there is one Event of ours about an object, with the words
// that docs/errors.md has.
func (g *ground) toldOnce(t *testing.T, row, ns, kind, name string) {
	t.Helper()
	got := g.toldBySafetyNet(t, ns, kind, name)
	if len(got) != 1 {
		t.Errorf("%s %s: %q", kind, name, got)
		return
	}
	g.faults.Saw(t, row, got[0])
}

// A pod that was let in to another sandbox's claim while nobody watched keeps its
// data: the claim does not go with its owner any more. Not parallel: it takes the
// webhook away.
func TestASecondUserKeepsAnExclusiveClaim(t *testing.T) {
	ns := world.namespace(t)
	first, second := world.owner(t, batchSandbox, ns, "sb1"), world.owner(t, batchSandbox, ns, "sb2")
	c := world.exclusive(t, first, pod(ns, "sb1-0", "home"))
	others := world.exclusive(t, first, pod(ns, "sb1-1", "alone"))
	before, err := world.failOpen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { world.swap(context.Background(), t) })
	world.webhook.Kill()
	world.create(t, by(second, pod(ns, "sb2-0", "home")))
	// It runs already when the safety net comes: nobody sees it waiting.
	running := world.pod(t, ns, "sb2-0")
	running.Status.Phase = corev1.PodRunning
	if err := world.admin.Status().Update(t.Context(), running); err != nil {
		t.Fatal(err)
	}
	after, err := world.failOpen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	world.outages += after - before
	world.swap(t.Context(), t)
	waitFor(t, healing, "the ownerReference is dropped", func(context.Context) error {
		now := world.claim(t, ns, "home")
		if len(now.OwnerReferences) > 0 || now.Annotations[domain+"/delete-with-owner"] != "false" {
			return fmt.Errorf("%+v", now.ObjectMeta)
		}
		return nil
	})
	wait(t, "it is told", func(context.Context) error {
		if got := world.toldBySafetyNet(t, ns, "PersistentVolumeClaim", "home"); len(got) != 1 {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
	world.toldOnce(t, "second-user", ns, "PersistentVolumeClaim", "home")
	if err := world.admin.Delete(t.Context(), first, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, collection, "the claim without a second user goes", func(ctx context.Context) error { return world.removed(ctx, others) })
	world.wantUndeleted(t, c)
}

// Each verb of the safety net: without it the log says so, and admission goes on;
// once it is back, what it was for happens by itself.
func TestEachMissingPermissionOfTheSafetyNet(t *testing.T) {
	podResource, eventResource := schema.GroupResource{Resource: "pods"}, schema.GroupResource{Resource: "events"}
	waiting := func(ns string) *corev1.Pod { return pod(ns, "sb1", "home") }
	for _, test := range []struct {
		verbs    []string
		resource schema.GroupResource
		says     string
		begin    func(t *testing.T) (ns string)
		done     func(ctx context.Context, ns string) error
	}{
		{[]string{"get"}, podResource, "a pod that waits for its claims cannot be read",
			func(t *testing.T) string {
				ns := world.quiet(t)
				world.create(t, waiting(ns))
				time.Sleep(12 * time.Second) // one that was heard of within 10 s is not read again
				world.switchOn(t, ns)
				return ns
			},
			func(ctx context.Context, ns string) error {
				return world.admin.Get(ctx, client.ObjectKey{Namespace: ns, Name: "home"}, &corev1.PersistentVolumeClaim{})
			},
		},
		{[]string{"list", "watch"}, podResource, "cannot list resource",
			func(t *testing.T) string { world.swap(t.Context(), t); return world.late(t, waiting) },
			func(ctx context.Context, ns string) error {
				return world.admin.Get(ctx, client.ObjectKey{Namespace: ns, Name: "home"}, &corev1.PersistentVolumeClaim{})
			},
		},
		{[]string{"create"}, eventResource, "an Event could not be written",
			func(t *testing.T) string {
				return world.late(t, func(ns string) *corev1.Pod { return hinted(waiting(ns), "storage", "10 GB") })
			},
			func(_ context.Context, ns string) error {
				if got := world.toldBySafetyNet(t, ns, "Pod", "sb1"); len(got) != 1 {
					return fmt.Errorf("%q", got)
				}
				return nil
			},
		},
		{[]string{"patch"}, claimResource, "a claim of one sandbox alone that has a second user is not settled",
			func(t *testing.T) string {
				ns := world.namespace(t)
				world.exclusive(t, world.owner(t, batchSandbox, ns, "sb1"), pod(ns, "sb1-0", "home"))
				world.bypass(t, ns, by(world.owner(t, batchSandbox, ns, "sb2"), pod(ns, "sb2-0", "home")))
				return ns
			},
			func(_ context.Context, ns string) error {
				if refs := world.claim(t, ns, "home").OwnerReferences; len(refs) > 0 {
					return fmt.Errorf("%v", refs)
				}
				return nil
			},
		},
		{[]string{"patch"}, eventResource, "an Event could not be written",
			func(t *testing.T) string {
				ns := world.late(t, func(ns string) *corev1.Pod { return hinted(waiting(ns), "storage", "10 GB") })
				for _, storage := range []string{"11 GB", "10 GB"} { // a pod's annotations may change
					waitFor(t, healing, "it is told", func(context.Context) error {
						if got := world.toldBySafetyNet(t, ns, "Pod", "sb1"); len(got) == 0 || storage == "10 GB" && len(got) < 2 {
							return fmt.Errorf("%q", got)
						}
						return nil
					})
					patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"volumes.opensandbox.io/storage":"`+storage+`"}}}`))
					if err := world.admin.Patch(t.Context(), waiting(ns), patch); err != nil {
						t.Fatal(err)
					}
				}
				return ns
			},
			func(ctx context.Context, ns string) error {
				var list corev1.EventList
				if err := world.admin.List(ctx, &list, client.InNamespace(ns)); err != nil {
					return err
				}
				if !slices.ContainsFunc(list.Items, func(e corev1.Event) bool { return e.Count == 2 && strings.Contains(e.Message, "10 GB") }) {
					return fmt.Errorf("none of %d events has happened twice", len(list.Items))
				}
				return nil
			},
		},
	} {
		t.Run(strings.Join(test.verbs, " and ")+" "+test.resource.String(), func(t *testing.T) {
			begun := time.Now()
			ns := ""
			t.Run("without it", func(t *testing.T) {
				world.without(t, test.resource, test.verbs...)
				ns = test.begin(t)
				waitFor(t, healing, "the log says so", func(context.Context) error {
					content, err := os.ReadFile(world.webhook.LogPath)
					if err == nil && !bytes.Contains(logSince(content, begun), []byte(test.says)) {
						err = fmt.Errorf("it does not say %q", test.says)
					}
					return err
				})
				if err := test.done(t.Context(), ns); err == nil || client.IgnoreNotFound(err) != nil && apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
					t.Errorf("without the permission: %v", err)
				}
				if err := world.author(t).Create(t.Context(), pod(ns, "other", "other")); err != nil {
					t.Errorf("admission: %v", err)
				}
			})
			waitFor(t, healing, "with it", func(ctx context.Context) error { return test.done(ctx, ns) })
		})
	}
}

// bypass creates a pod that the webhook is not asked about.
func (g *ground) bypass(t *testing.T, ns string, p *corev1.Pod) {
	t.Helper()
	label := func(value string) {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"volumes.opensandbox.io/auto-create":`+value+`}}}`))
		if err := g.admin.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, patch); err != nil {
			t.Fatal(err)
		}
	}
	label("null")
	wait(t, "the API server asks nobody", func(ctx context.Context) error {
		probe := pod(ns, "probe", "probe")
		if err := g.admin.Create(ctx, probe, client.DryRunAll); err != nil || probe.Annotations[domain+"/created"] != "" {
			return fmt.Errorf("%w, annotations %v", err, probe.Annotations)
		}
		return nil
	})
	wait(t, "the pod is let in", func(ctx context.Context) error { return g.admin.Create(ctx, p) })
	label(`"enabled"`)
}

// logSince are the lines of a log from a time on.
func logSince(content []byte, begin time.Time) []byte {
	for line := range bytes.Lines(content) {
		var at time.Time
		if _, after, ok := bytes.Cut(line, []byte(`"time":"`)); ok {
			if text, _, ok := bytes.Cut(after, []byte(`"`)); ok {
				at, _ = time.Parse(time.RFC3339Nano, string(text)) // a zero time is before everything
			}
		}
		if !at.Before(begin) {
			return content[bytes.Index(content, line):]
		}
	}
	return nil
}
