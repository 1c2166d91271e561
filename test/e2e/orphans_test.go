package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const orphanAge, deletedAge = time.Minute, 10 * time.Minute

// never is a class that binds at once and whose volumes nobody makes.
const never = `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: never}
provisioner: example.test/nobody
volumeBindingMode: Immediate
`

// rejects is a policy that lets no pod into the namespace of that name.
const rejects = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: e2e-rejects}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}
  validations: [{expression: "false", message: rejected by policy}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: e2e-rejects}
spec:
  policyName: e2e-rejects
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: rejected-by-policy}}}
`

// classes are those that orphans are made of, and standard, whose claims are
// bound at once.
var classes = []string{"on-first-use", "never", "standard"}

// rejection is a way in which the API server rejects a pod after we have
// admitted it, with its words.
type rejection struct {
	by, words string
	spoil     func(manifest string) string
	prepare   func(t *testing.T, g *ground, namespace string)
}

func rejections() []rejection {
	replace := func(old, with string) func(string) string {
		return func(manifest string) string { return strings.Replace(manifest, old, with, 1) }
	}
	return []rejection{
		{by: "schema", words: "hostPort", spoil: replace("    volumeMounts:", "    ports: [{containerPort: 80, hostPort: 70000}]\n    volumeMounts:")},
		{by: "pod-security", words: "violates PodSecurity", spoil: replace("runAsNonRoot: true", "runAsNonRoot: false"), prepare: func(t *testing.T, g *ground, ns string) {
			g.kubectl(t, "label", "namespace", ns, "pod-security.kubernetes.io/enforce=restricted")
		}},
		{by: "policy", words: "rejected by policy", prepare: func(t *testing.T, g *ground, ns string) {
			g.give(t, rejects, "apply", "-f", "-")
			eventually(t, 30*time.Second, "the policy is in force", func() error {
				if output, err := g.Kubectl(t.Context(), "", "run", "probe", "--image=none", "-n", ns, "--dry-run=server"); err == nil {
					return errors.New(output)
				}
				return nil
			})
		}},
		{by: "quota", words: "exceeded quota", prepare: func(t *testing.T, g *ground, ns string) {
			g.kubectl(t, "create", "quota", "none", "--hard=pods=0", "-n", ns)
			g.until(t, ns, "resourcequota/none", "jsonpath={.status.hard.pods}=0")
		}},
		{by: "name", words: "already exists", prepare: func(t *testing.T, g *ground, ns string) {
			for _, class := range classes {
				g.give(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: pod-"+class+"}\nspec: {schedulingGates: [{name: ensure-volumes.test/held}], containers: [{name: main, image: none}]}\n", "create", "-n", ns, "-f", "-")
			}
		}},
	}
}

// orphans are claims that pods left behind, and claims that only look so.
type orphans struct {
	*ground
	left        map[types.NamespacedName]types.UID
	others      map[types.NamespacedName]types.UID
	first, last time.Time // they were made between these
	early       <-chan error
}

// leaveOrphans has pods rejected, each in every way and with a claim of each
// kind of class, and makes claims that are no orphans though they resemble them.
func (g *ground) leaveOrphans(t *testing.T) *orphans {
	t.Helper()
	o := &orphans{ground: g, left: map[types.NamespacedName]types.UID{}, others: map[types.NamespacedName]types.UID{}, first: time.Now()}
	g.give(t, never, "apply", "-f", "-")
	for _, r := range rejections() {
		ns := "rejected-by-" + r.by
		g.enabled(t, ns)
		g.knows(t, ns)
	}
	for _, r := range rejections() {
		ns := "rejected-by-" + r.by
		if r.prepare != nil {
			r.prepare(t, g, ns)
		}
		for _, class := range classes {
			name := "claim-" + class
			manifest := running("pod-"+class, name, "true", "storage=1Mi", "storageClass="+class)
			if r.spoil != nil {
				manifest = r.spoil(manifest)
			}
			if output, err := g.Kubectl(t.Context(), manifest, "create", "-n", ns, "-f", "-"); err == nil || !strings.Contains(output, r.words) {
				t.Fatalf("a pod that %s rejects: %v\n%s", r.by, err, output)
			}
			o.note(t, ns, name, class != "standard")
		}
		g.until(t, ns, "pvc/claim-standard", "jsonpath={.status.phase}=Bound")
	}
	o.leaveMore(t)
	o.last = time.Now()
	return o
}

// leaveMore makes the rest: an orphan whose pod was deleted before it was bound,
// and claims that are used, or are not ours.
func (o *orphans) leaveMore(t *testing.T) {
	t.Helper()
	const ns = "left"
	o.enabled(t, ns)
	o.knows(t, ns)
	now, pods := int64(0), o.clients.CoreV1().Pods(ns)
	for _, name := range []string{"deleted", "found-later", "waits", "failed"} {
		if _, err := pods.Create(t.Context(), sandbox(name, name), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		o.note(t, ns, name, name == "deleted" || name == "found-later")
	}
	for _, name := range []string{"deleted", "found-later"} {
		if err := pods.Delete(t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
			t.Fatal(err)
		}
	}
	// A pod that waits no longer refers to its claim all the same.
	o.kubectl(t, "patch", "pod", "failed", "-n", ns, "--subresource=status", "--type=merge", "--patch", `{"status":{"phase":"Failed"}}`)
	o.give(t, "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: by-hand}\nspec: {storageClassName: never, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n",
		"create", "-n", ns, "-f", "-")
	o.note(t, ns, "by-hand", false)
}

// note remembers a claim.
func (o *orphans) note(t *testing.T, namespace, name string, orphan bool) {
	t.Helper()
	c, key := o.claim(t, namespace, name), types.NamespacedName{Namespace: namespace, Name: name}
	if orphan {
		o.left[key] = c.UID
	} else {
		o.others[key] = c.UID
	}
}

// counted holds that the leader counts exactly the orphans, once they are old
// enough, and tells of each once and of nothing else. One that finds a pod is
// none any more.
func (o *orphans) counted(t *testing.T, r *report) {
	time.Sleep(time.Until(o.first.Add(orphanAge)))
	n := len(o.left)
	o.wantCounted(t, n)
	for key := range o.left {
		if err := told(o.events(t, key.Namespace, "PersistentVolumeClaim", key.Name), []string{"ClaimOrphaned x1: |never bound"}); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	for key := range o.others {
		if err := told(o.events(t, key.Namespace, "PersistentVolumeClaim", key.Name), nil); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	r.say("%d orphans left by pods that schema, Pod Security, policy, quota or a taken name rejected or that were deleted, and %d claims that resemble them: the leader counts %d and tells of each once", n, len(o.others), n)

	found := types.NamespacedName{Namespace: "left", Name: "found-later"}
	if _, err := o.clients.CoreV1().Pods(found.Namespace).Create(t.Context(), sandbox("finder", found.Name), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	o.others[found] = o.left[found]
	delete(o.left, found)
	o.wantCounted(t, n-1)
	o.early = o.lookEarly()
}

// lookEarly looks, whatever else goes on, just before the first may be deleted, and
// says which are gone by then.
func (o *orphans) lookEarly() <-chan error {
	left, result := maps.Clone(o.left), make(chan error, 1)
	go func() {
		time.Sleep(time.Until(o.first.Add(deletedAge - 5*time.Second)))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var errs []error
		for key, uid := range left {
			c, err := o.clients.CoreV1().PersistentVolumeClaims(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
			if err == nil && (c.UID != uid || c.DeletionTimestamp != nil) {
				err = errors.New("it is deleted, or another")
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", key, err))
			}
		}
		result <- errors.Join(errs...)
	}()
	return result
}

// wantCounted waits until the leader counts so many orphans, and the other replica none.
func (o *orphans) wantCounted(t *testing.T, n int) {
	t.Helper()
	eventually(t, max(0, time.Until(o.last.Add(orphanAge)))+30*time.Second, fmt.Sprintf("%d orphans are counted", n), func() error {
		leader, follower := o.leads(t)
		leads, follows := o.gauges(t, leader)["ensure_volumes_orphaned_claims"], o.gauges(t, follower)["ensure_volumes_orphaned_claims"]
		if leads != float64(n) || follows != 0 {
			return fmt.Errorf("the leader counts %v and the other one %v", leads, follows)
		}
		return nil
	})
}

// deleted holds that the orphans are deleted when they are old enough, and not
// before, and nothing else is.
func (o *orphans) deleted(t *testing.T, r *report) {
	if err := <-o.early; err != nil {
		t.Errorf("before their time: %v", err)
	}
	time.Sleep(time.Until(o.first.Add(deletedAge)))
	eventually(t, max(0, time.Until(o.last.Add(deletedAge)))+2*time.Minute, "they are gone", func() error {
		for key := range o.left {
			if got := o.kubectl(t, "get", "pvc", key.Name, "-n", key.Namespace, "--ignore-not-found", "-o", "name"); got != "" {
				return fmt.Errorf("%s is there", key)
			}
		}
		return nil
	})
	time.Sleep(15 * time.Second) // one more round
	for key, uid := range o.others {
		if c := o.claim(t, key.Namespace, key.Name); c.UID != uid || c.DeletionTimestamp != nil {
			t.Errorf("%s is %s, deletion %v; want %s", key, c.UID, c.DeletionTimestamp, uid)
		}
	}
	r.say("%d orphans were deleted after ten minutes; the %d others were kept", len(o.left), len(o.others))
}
