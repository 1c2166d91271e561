package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestAClaimThatExistsIsUsedAsItIs(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	world.create(t, claim(ns, "data", "5Gi"))
	for _, test := range []struct {
		name  string
		hints []string
		want  []string
	}{
		{"no hints", nil, nil},
		{"the same", []string{"storage", "5120Mi", "storageClass", standard, "accessModes", "RWO"}, nil},
		{"larger than asked", []string{"storage", "1Gi"}, nil},
		{"never to be created", []string{"createIfNotExists", "false"}, nil},
		{"smaller, another class, a mode short", []string{"storage", "10Gi", "storageClass", fast, "accessModes", "RWO,RWX", deleteOnTermination, "true"}, []string{
			`claim "data" exists: storage 10Gi asked, it has 5Gi`,
			`claim "data" exists: storageClass "fast" asked, it has "standard"`,
			`claim "data" exists: accessModes RWO,RWX asked, it has RWO`,
			`claim "data" exists: deleteOnSandboxTermination true asked, it has false`,
		}},
		{"a class that does not exist", []string{"storageClass", "fsat"}, []string{
			`claim "data" exists: storageClass "fsat" asked, it has "standard"`,
		}},
		{"a faulty hint", []string{"storage", "10 GB"}, []string{
			`invalid quantity "10 GB"; write it as "10Gi" (metadata.annotations[volumes.opensandbox.io/storage])`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			author := world.author(t)
			before := world.claim(t, ns, "data")
			p := hinted(pod(ns, "", "data"), test.hints...)
			p.GenerateName = "sb-"
			if err := author.Create(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if warned := author.warned(); !slices.Equal(warned, test.want) {
				t.Errorf("warned %q, want %q", warned, test.want)
			}
			if _, ok := p.Annotations[domain+"/created"]; ok {
				t.Error("the pod says that the claim was created for it")
			}
			wantUntouched(t, before, world.claim(t, ns, "data"))
		})
	}
	t.Run("without a call", func(t *testing.T) {
		before := world.calls(t, ns)
		if err := world.author(t).Create(t.Context(), hinted(pod(ns, "free", "data"), "storage", "10Gi")); err != nil {
			t.Fatal(err)
		}
		if after := world.calls(t, ns); !slices.Equal(after, before) {
			t.Errorf("the webhook's calls were %q and are %q", before, after)
		}
	})
	t.Run("kubectl prints the warnings", func(t *testing.T) {
		p := hinted(pod(ns, "shown", "data"), "storage", "10Gi")
		output, refused := world.kubectl(t, ns, world.manifest(t, p), "create", "-f", "-")
		if want := "Warning: claim \"data\" exists: storage 10Gi asked, it has 5Gi\npod/shown created\n"; refused || output != want {
			t.Errorf("kubectl says %q, want %q", output, want)
		}
	})
}

// A refusal comes before the API server looks whether the name exists, so the
// webhook looks itself: a claim that is there is used, however full the quota
// is and whatever the hints are. Not parallel: it stops the webhook's cache by
// taking watch away, and list too once the first list has filled it.
func TestAClaimThatTheCacheHasNotSeen(t *testing.T) {
	t.Cleanup(func() { world.swap(context.Background(), t) }) // after the verb is back
	ns := world.namespace(t)
	world.quota(t, ns, map[string]string{"persistentvolumeclaims": "3"})
	world.without(t, claimResource, "watch")
	world.swap(t.Context(), t)
	world.without(t, claimResource, "list")
	author := world.author(t)
	const look, try = "get persistentvolumeclaims", "create persistentvolumeclaims"
	for _, test := range []struct {
		name               string
		hints, want, calls []string
	}{
		{
			"faulty", []string{"storage", "10 GB"},
			[]string{`invalid quantity "10 GB"; write it as "10Gi" (metadata.annotations[volumes.opensandbox.io/storage])`}, []string{look},
		},
		{"strict", []string{"createIfNotExists", "false"}, nil, []string{look}},
		{"full", nil, nil, []string{try, look}}, // with this third claim the quota is
	} {
		before := len(world.calls(t, ns))
		world.create(t, claim(ns, test.name, "1Gi"))
		if err := author.Create(t.Context(), hinted(pod(ns, "sb-"+test.name, test.name), test.hints...)); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if warned := author.warned(); !slices.Equal(warned, test.want) {
			t.Errorf("%s: warned %q, want %q", test.name, warned, test.want)
		}
		if calls := world.calls(t, ns)[before:]; !slices.Equal(calls, test.calls) {
			t.Errorf("%s: the webhook's calls are %q, want %q: the cache had seen the claim, or nobody looked", test.name, calls, test.calls)
		}
	}
}

// wantUntouched holds that nobody of ours wrote to a claim between two looks.
func wantUntouched(t *testing.T, before, after *corev1.PersistentVolumeClaim) {
	t.Helper()
	for _, part := range []struct {
		name      string
		was, isOf any
	}{
		{"uid", before.UID, after.UID},
		{"spec", before.Spec, after.Spec},
		{"labels", before.Labels, after.Labels},
		{"annotations", before.Annotations, after.Annotations},
		{"ownerReferences", before.OwnerReferences, after.OwnerReferences},
		{"finalizers", before.Finalizers, after.Finalizers},
		{"deletionTimestamp", before.DeletionTimestamp, after.DeletionTimestamp},
		{"managers", managers(before), managers(after)},
	} {
		was, is := text(t, part.was), text(t, part.isOf)
		if was != is {
			t.Errorf("claim %s: %s were %s and are %s", after.Name, part.name, was, is)
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A claim that we did not create is used and never changed, whatever the hints
// ask and whatever it looks like.
func TestAForeignClaimIsNeverTouched(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	keeper := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "keeper"}}
	world.create(t, keeper)
	sandbox := world.owner(t, batchSandbox, ns, "sb1")
	other := world.owner(t, batchSandbox, ns, "other")
	ownership := metav1.OwnerReference{APIVersion: batchSandbox, Kind: "BatchSandbox", Name: "other", UID: other.GetUID()}
	marks := func(c *corev1.PersistentVolumeClaim, created time.Time) {
		c.Labels = map[string]string{"app.kubernetes.io/managed-by": "ensure-volumes"}
		c.Annotations = map[string]string{
			domain + "/created":           created.UTC().Format(time.RFC3339),
			domain + "/created-for":       "other-0",
			domain + "/requested-by":      "somebody",
			domain + "/delete-with-owner": "true",
			domain + "/owner":             "BatchSandbox.sandbox.opensandbox.io/other/" + string(other.GetUID()),
		}
		c.OwnerReferences = []metav1.OwnerReference{ownership}
	}
	for name, change := range map[string]func(*corev1.PersistentVolumeClaim){
		"bare": func(*corev1.PersistentVolumeClaim) {},
		"helm's": func(c *corev1.PersistentVolumeClaim) {
			c.Labels = map[string]string{"app.kubernetes.io/managed-by": "Helm", "app": "db"}
			c.Annotations = map[string]string{"helm.sh/resource-policy": "keep"}
			c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: keeper.Name, UID: keeper.UID}}
			c.Finalizers = []string{"example.com/keep"}
		},
		"a copy with our marks":       func(c *corev1.PersistentVolumeClaim) { marks(c, time.Now().Add(-2*time.Minute)) },
		"our marks without our label": func(c *corev1.PersistentVolumeClaim) { marks(c, time.Now()); c.Labels = nil },
		"our marks without an owner":  func(c *corev1.PersistentVolumeClaim) { marks(c, time.Now()); c.OwnerReferences = nil },
		"our label without our time":  func(c *corev1.PersistentVolumeClaim) { marks(c, time.Now()); delete(c.Annotations, domain+"/created") },
		"our label and nothing else": func(c *corev1.PersistentVolumeClaim) {
			marks(c, time.Now())
			c.Annotations, c.OwnerReferences = nil, nil
		},
		"our marks with a time to come":    func(c *corev1.PersistentVolumeClaim) { marks(c, time.Now().Add(time.Hour)) },
		"our marks that name another uid":  func(c *corev1.PersistentVolumeClaim) { marks(c, time.Now()); c.Annotations[domain+"/owner"] += "0" },
		"our marks with an unreadable uid": func(c *corev1.PersistentVolumeClaim) { marks(c, time.Now()); c.Annotations[domain+"/owner"] = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			author := world.author(t)
			c := claim(ns, "", "5Gi")
			c.GenerateName = "foreign-"
			change(c)
			world.create(t, c)
			before := world.claim(t, ns, c.Name)
			p := hinted(by(sandbox, pod(ns, "", c.Name)), "storage", "10Gi", "storageClass", fast, deleteOnTermination, "true")
			p.GenerateName = "sb-"
			if err := author.Create(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if warned := author.warned(); !slices.ContainsFunc(warned, func(w string) bool { return strings.Contains(w, "storage 10Gi asked, it has 5Gi") }) {
				t.Errorf("warned %q", warned)
			}
			after := world.claim(t, ns, c.Name)
			wantUntouched(t, before, after)
			if by := managers(after); slices.ContainsFunc(by, func(m string) bool { return strings.HasPrefix(m, "ensure-volumes") }) {
				t.Errorf("managers %q", by)
			}
		})
	}
}

func TestTheClaimOfAnotherSandboxIsRefused(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	author := world.author(t)
	one, two := world.owner(t, batchSandbox, ns, "one"), world.owner(t, batchSandbox, ns, "two")
	asked := func(name string) *corev1.Pod { return hinted(pod(ns, name, "scratch"), deleteOnTermination, "true") }
	if err := author.Create(t.Context(), by(one, asked("one-0"))); err != nil {
		t.Fatal(err)
	}
	before := world.claim(t, ns, "scratch")
	want := fmt.Sprintf("PersistentVolumeClaim %s/scratch belongs to BatchSandbox.sandbox.opensandbox.io/one (uid %s) alone "+
		"and is deleted with it (deleteOnSandboxTermination); use another claim", ns, one.GetUID())

	for name, p := range map[string]*corev1.Pod{
		"another sandbox":                    by(two, asked("two-0")),
		"another sandbox that asks for less": by(two, pod(ns, "two-0", "scratch")),
		"no sandbox":                         pod(ns, "alone", "scratch"),
		"one claim of two":                   pod(ns, "alone", "fresh", "scratch"),
	} {
		err := author.Create(t.Context(), p)
		world.saw(t, "claim-of-another", err)
		s := status(t, err)
		if s.Code != 409 || s.Reason != metav1.StatusReasonConflict || !strings.HasSuffix(s.Message, want) {
			t.Errorf("%s: %d %s %s\nwant 409 Conflict …%s", name, s.Code, s.Reason, s.Message, want)
		}
	}
	output, refused := world.kubectl(t, ns, world.manifest(t, pod(ns, "alone", "scratch")), "create", "-f", "-")
	if !refused || !strings.Contains(output, "(Conflict)") || !strings.Contains(output, want) || strings.Contains(output, "AlreadyExists") {
		t.Errorf("kubectl says %s", output)
	}
	world.wantClaims(t, ns, "scratch")
	wantUntouched(t, before, world.claim(t, ns, "scratch"))

	author.warned()
	if err := author.Create(t.Context(), by(one, asked("one-1"))); err != nil {
		t.Errorf("the second pod of the same sandbox: %v", err)
	}
	if warned := author.warned(); len(warned) > 0 {
		t.Errorf("the second pod of the same sandbox was warned %q", warned)
	}
}

// The real controller-manager says that a claim is Lost: it is bound to a
// volume that is not there.
func TestALostClaimIsRefused(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	lost := claim(ns, "data", "5Gi")
	lost.Spec.VolumeName = "gone-" + ns
	lost.Annotations = map[string]string{"pv.kubernetes.io/bind-completed": "yes"}
	world.create(t, lost)
	wait(t, "the claim is Lost", func(ctx context.Context) error {
		if err := world.admin.Get(ctx, client.ObjectKeyFromObject(lost), lost); err != nil {
			return err
		}
		if lost.Status.Phase != corev1.ClaimLost {
			return fmt.Errorf("it is %q", lost.Status.Phase)
		}
		return nil
	})
	want := "PersistentVolumeClaim " + ns + "/data is Lost: the PersistentVolume that it was bound to is gone; " +
		"restore that, or delete the claim to have an empty one created"
	// The webhook's own cache may be a moment behind the controller-manager.
	var s metav1.Status
	wait(t, "the webhook knows", func(ctx context.Context) error {
		err := world.author(t).Create(ctx, pod(ns, "sb1", "data"), client.DryRunAll)
		if err == nil {
			return fmt.Errorf("the pod was admitted")
		}
		s = status(t, err)
		world.saw(t, "claim-lost", err)
		return nil
	})
	if s.Code != 409 || s.Reason != metav1.StatusReasonConflict || !strings.HasSuffix(s.Message, want) {
		t.Errorf("%d %s %s", s.Code, s.Reason, s.Message)
	}
	output, refused := world.kubectl(t, ns, world.manifest(t, hinted(pod(ns, "sb1", "data"), "createIfNotExists", "false")), "create", "-f", "-")
	if !refused || !strings.Contains(output, "(Conflict)") || !strings.Contains(output, want) {
		t.Errorf("kubectl says %s", output)
	}
	wantUntouched(t, lost, world.claim(t, ns, "data"))
}
