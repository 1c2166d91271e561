package safety

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/ensure-volumes/ensure-volumes/test/process"
	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

const (
	domain  = "volumes.opensandbox.io"
	account = "system:serviceaccount:" + stack.Name + ":" + stack.Name
	class   = "standard" // the default StorageClass, with nothing behind it
	node    = "a-node"   // where pods run that run
)

// world is a control plane with the webhook installed, the actors on it, and
// what has been done and seen.
type world struct {
	*ledger
	cp       *stack.ControlPlane
	admin    client.Client
	clients  kubernetes.Interface
	replicas *replicas
	actors   []*actor
	claims   *history
	audit    *audit
}

// newWorld returns once pods can be created in every namespace, the webhook
// answers, and the garbage collector knows the kinds of sandboxes.
func newWorld(t *testing.T) *world {
	t.Helper()
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "ensure-volumes-safety-")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{ledger: newLedger()}
	t.Cleanup(func() {
		if w.cp != nil {
			if err := w.cp.Stop(); err != nil {
				t.Error(err)
			}
		}
		w.replicas.kill()
		if t.Failed() {
			t.Logf("the logs are kept in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if w.cp, err = stack.StartControlPlane(t.Context(), filepath.Join(dir, "cluster"), os.Stderr); err != nil {
		t.Fatal(err)
	}
	in, err := w.cp.Install(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"apply", "-f", filepath.Join(root, "test", "standin", "manifests")},
		{"wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"},
	} {
		if output, err := w.cp.Kubectl(t.Context(), "", args...); err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, output)
		}
	}
	w.cp.Config.WarningHandler = rest.NoWarnings{} // there are thousands
	log.SetLogger(logr.Discard())
	if w.clients, err = kubernetes.NewForConfig(w.cp.Config); err != nil {
		t.Fatal(err)
	}
	if w.admin, err = client.New(w.cp.Config, client.Options{Scheme: scheme.Scheme}); err != nil {
		t.Fatal(err)
	}
	w.audit = newAudit(filepath.Join(w.cp.Dir, "audit.log"))
	if w.claims, err = watchClaims(t, w.clients); err != nil {
		t.Fatal(err)
	}
	for _, object := range groundObjects() {
		if err := w.admin.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	for i := range actors {
		a := &actor{world: w, rng: rand.New(rand.NewPCG(*seed, uint64(i))), home: fmt.Sprintf("home-%d", i), never: fmt.Sprintf("never-%d", i)}
		w.actors = append(w.actors, a)
		w.switched[a.home] = true
		for namespace, value := range map[string]string{a.home: "enabled", a.never: "disabled"} {
			object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{domain + "/auto-create": value}}}
			if err := w.admin.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.replicas = &replicas{in: in, rng: rand.New(rand.NewPCG(*seed, actors))}
	if err := w.replicas.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, a := range w.actors {
		if err := in.WaitAnswers(t.Context(), a.home); err != nil {
			t.Fatal(err)
		}
		probe := a.manifest("probe", nil)
		probe.Namespace = a.never
		wait(t, "pods can be created in "+a.never, func() error { return w.admin.Create(t.Context(), probe.DeepCopy(), client.DryRunAll) })
	}
	w.waitCollector(t)
	return w
}

// waitCollector returns once the garbage collector follows both kinds of sandboxes.
func (w *world) waitCollector(t *testing.T) {
	t.Helper()
	a := &actor{world: w, rng: rand.New(rand.NewPCG(0, 0)), home: w.actors[0].never}
	var pods []*corev1.Pod
	for _, kind := range kinds {
		o := a.sandbox(kind, "probe-"+strings.ToLower(kind.Kind))
		if err := w.admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		p := a.manifest("probe-"+o.GetName(), nil)
		p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(o, kind)}
		if err := w.admin.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if err := w.admin.Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		pods = append(pods, p)
	}
	for _, p := range pods {
		wait(t, "the garbage collector follows "+p.OwnerReferences[0].Kind, func() error {
			err := w.admin.Get(t.Context(), client.ObjectKeyFromObject(p), p)
			if err == nil {
				return fmt.Errorf("pod %s is still there", p.Name)
			}
			return client.IgnoreNotFound(err)
		})
	}
}

// wait is for what the cluster does in the background.
func wait(t *testing.T, what string, try func() error) {
	t.Helper()
	if err := process.Poll(t.Context(), 2*time.Minute, nil, try, "waiting until "+what); err != nil {
		t.Fatal(err)
	}
}

// groundObjects are what an administrator has prepared. The role is what the
// chart grants where orphans are to be deleted.
func groundObjects() []client.Object {
	mode, name := storagev1.VolumeBindingWaitForFirstConsumer, "delete-orphans"
	return []client.Object{
		&storagev1.StorageClass{
			ObjectMeta:  metav1.ObjectMeta{Name: class, Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
			Provisioner: "example.com/nothing", VolumeBindingMode: &mode,
		},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}},
		&rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"persistentvolumeclaims"}, Verbs: []string{"delete"}}},
		},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: stack.Name, Name: stack.Name}},
		},
	}
}

// kubelet stands for the one of the node, until ctx ends: what is deleted there goes.
func (w *world) kubelet(ctx context.Context) {
	for ctx.Err() == nil {
		var pods corev1.PodList
		if err := w.admin.List(ctx, &pods, client.MatchingFields{"spec.nodeName": node}); err == nil {
			for i := range pods.Items {
				if p := &pods.Items[i]; p.DeletionTimestamp != nil {
					_ = w.admin.Delete(ctx, p, client.GracePeriodSeconds(0)) // the next round tries again
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
