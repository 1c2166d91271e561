package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pod reads one pod.
func (g *ground) pod(t *testing.T, ns, name string) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{}
	if err := g.admin.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAMissingClaimIsCreatedAsAsked(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	author := world.author(t)
	p := hinted(pod(ns, "sb1-0", "alice-home", "scratch"),
		scoped("alice-home", "storage"), "10Gi",
		scoped("alice-home", "storageClass"), fast,
		scoped("alice-home", "accessModes"), "RWX,ROX")
	p.Labels = map[string]string{"opensandbox.io/id": "sandbox-7"}
	before := time.Now().Add(-time.Second) // what is recorded has whole seconds
	if err := author.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if warned := author.warned(); len(warned) > 0 {
		t.Errorf("warned: %q", warned)
	}
	if got := world.pod(t, ns, "sb1-0").Annotations[domain+"/created"]; got != "alice-home,scratch" {
		t.Errorf("the pod says that %q were created", got)
	}
	if got := world.audited(t, ns, "sb1-0"); got != "alice-home,scratch" {
		t.Errorf("the audit log says that %q were created", got)
	}
	world.wantClaims(t, ns, "alice-home", "scratch")

	for name, want := range map[string]string{
		"alice-home": "10Gi fast [ReadOnlyMany ReadWriteMany] Filesystem",
		"scratch":    "1Gi standard [ReadWriteOnce] Filesystem",
	} {
		c := world.claim(t, ns, name)
		got := fmt.Sprintln(c.Spec.Resources.Requests.Storage(), *c.Spec.StorageClassName, c.Spec.AccessModes, *c.Spec.VolumeMode)
		if got = strings.TrimSpace(got); got != want {
			t.Errorf("claim %s: %s, want %s", name, got, want)
		}
		if len(c.Spec.Resources.Limits) > 0 || c.Spec.Selector != nil || c.Spec.VolumeName != "" || c.Spec.DataSource != nil || c.Spec.DataSourceRef != nil {
			t.Errorf("claim %s has fields that nobody asked for: %+v", name, c.Spec)
		}
		if want := map[string]string{"app.kubernetes.io/managed-by": "ensure-volumes", "opensandbox.io/id": "sandbox-7"}; !maps.Equal(c.Labels, want) {
			t.Errorf("claim %s: labels %v, want %v", name, c.Labels, want)
		}
		keys := slices.Sorted(maps.Keys(c.Annotations))
		if want := []string{domain + "/created", domain + "/created-for", domain + "/requested-by"}; !slices.Equal(keys, want) {
			t.Errorf("claim %s: annotations %v, want %v", name, keys, want)
		}
		if who := c.Annotations[domain+"/requested-by"]; who != "author" {
			t.Errorf("claim %s: requested by %q", name, who)
		}
		if what := c.Annotations[domain+"/created-for"]; what != "sb1-0" {
			t.Errorf("claim %s: created for %q", name, what)
		}
		if at, err := time.Parse(time.RFC3339, c.Annotations[domain+"/created"]); err != nil || at.Before(before) || at.After(time.Now()) {
			t.Errorf("claim %s: created %q (%v)", name, c.Annotations[domain+"/created"], err)
		}
		if len(c.OwnerReferences) > 0 {
			t.Errorf("claim %s: owners %v", name, c.OwnerReferences)
		}
		if managers := managers(c); !slices.Equal(managers, []string{"ensure-volumes Update"}) {
			t.Errorf("claim %s: managers %q", name, managers)
		}
	}
}

// audited is what the audit log says that we created for a pod.
func (g *ground) audited(t *testing.T, ns, name string) string {
	t.Helper()
	for _, e := range g.events(t, ns) {
		if e.Verb == "create" && e.ObjectRef.Resource == "pods" && e.ObjectRef.Namespace == ns && e.ObjectRef.Name == name {
			return e.Annotations[entry+"/created"]
		}
	}
	return "an event that is not there"
}

// managers are who wrote a claim's metadata and spec, and how.
func managers(c *corev1.PersistentVolumeClaim) []string {
	var list []string
	for _, m := range c.ManagedFields {
		if m.Subresource == "" {
			list = append(list, m.Manager+" "+string(m.Operation))
		}
	}
	return list
}

func TestAPersonSeesTheClaimAppear(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	p := hinted(pod(ns, "sb1", "data"), "claims", `[{"claimName":"data","storage":"2Gi"}]`)
	output, refused := world.kubectl(t, ns, world.manifest(t, p), "create", "-f", "-")
	if refused || output != "pod/sb1 created\n" {
		t.Errorf("kubectl says %q", output)
	}
	if size := world.claim(t, ns, "data").Spec.Resources.Requests.Storage().String(); size != "2Gi" {
		t.Errorf("the claim has %s", size)
	}
}

// Who is first is chance, and whether anybody else tries before the cache has
// seen the claim: it is repeated until somebody did.
func TestRacingCreatorsMakeOneClaim(t *testing.T) {
	t.Parallel()
	const rounds = 10
	for range rounds {
		if world.race(t) > 1 {
			return
		}
	}
	t.Errorf("in %d rounds the webhook never tried to create a claim twice: nobody raced", rounds)
}

// race has pods that use one claim created at once, and returns how often the
// webhook tried to create the claim.
func (g *ground) race(t *testing.T) (tries int) {
	t.Helper()
	ns := g.namespace(t)
	people := make([]*person, 24)
	together := gate(len(people))
	for i := range people {
		people[i] = g.author(t)
		people[i].through(t, together)
	}
	var wg sync.WaitGroup
	for i, p := range people {
		wg.Go(func() {
			size := fmt.Sprintf("%dGi", i+1)
			if err := p.Create(t.Context(), hinted(pod(ns, fmt.Sprintf("sb%d", i), "data"), "storage", size)); err != nil {
				t.Errorf("the pod that asks for %s: %v", size, err)
			}
		})
	}
	wg.Wait()
	g.wantClaims(t, ns, "data")
	c := g.claim(t, ns, "data")
	size := c.Spec.Resources.Requests.Storage()
	if managers := managers(c); !slices.Equal(managers, []string{"ensure-volumes Update"}) {
		t.Errorf("managers %q", managers)
	}
	made := 0
	for i, p := range people {
		asked := fmt.Sprintf("%dGi", i+1)
		stored := g.pod(t, ns, fmt.Sprintf("sb%d", i))
		if _, ok := stored.Annotations[domain+"/created"]; ok {
			made++
			if asked != size.String() || c.Annotations[domain+"/created-for"] != stored.Name {
				t.Errorf("%s says that it made the claim, which has %s for %s", stored.Name, size, c.Annotations[domain+"/created-for"])
			}
		}
		var want []string
		if int64(i+1)<<30 > size.Value() {
			want = []string{fmt.Sprintf(`claim "data" exists: storage %s asked, it has %s`, asked, size)}
		}
		if warned := p.warned(); !slices.Equal(warned, want) {
			t.Errorf("who asked for %s was warned %q, want %q", asked, warned, want)
		}
	}
	if made != 1 {
		t.Errorf("%d pods say that they made the claim", made)
	}
	return times(g.calls(t, ns), "create persistentvolumeclaims")
}

func TestADryRunWritesNothing(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	author := world.author(t)
	t.Run("by a client", func(t *testing.T) {
		p := hinted(pod(ns, "sb1", "data"), "storage", "5Gi")
		if err := author.Create(t.Context(), p, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		if got := p.Annotations[domain+"/created"]; got != "data" {
			t.Errorf("the answer says that %q would be created", got)
		}
		world.wantClaims(t, ns)
	})
	t.Run("by kubectl", func(t *testing.T) {
		output, refused := world.kubectl(t, ns, world.manifest(t, pod(ns, "sb1", "data")), "create", "--dry-run=server", "-f", "-")
		if refused || output != "pod/sb1 created (server dry run)\n" {
			t.Errorf("kubectl says %q", output)
		}
		world.wantClaims(t, ns)
	})
	t.Run("of a faulty hint", func(t *testing.T) {
		err := author.Create(t.Context(), hinted(pod(ns, "sb1", "data"), "storage", "10 GB"), client.DryRunAll)
		if s := status(t, err); s.Reason != metav1.StatusReasonInvalid || !strings.Contains(s.Message, `invalid quantity "10 GB"; write it as "10Gi"`) {
			t.Errorf("got %+v", s)
		}
	})
	if pods := (&corev1.PodList{}); world.admin.List(t.Context(), pods, client.InNamespace(ns)) != nil || len(pods.Items) > 0 {
		t.Errorf("pods: %v", pods.Items)
	}
}
