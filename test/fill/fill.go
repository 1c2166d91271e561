// Package fill fills a control plane with claims, and with pods that use them,
// as a cluster looks that has been in use: tens of thousands of objects in a
// minute or two. It is meant for a control plane without
// kube-controller-manager, which would have much to say about them.
package fill

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// namespaces is over how many the objects are spread.
const namespaces = 100

// writers is how many write at once.
const writers = 24

// Filler fills one control plane, to which it is the only one who writes such
// objects. It is not for several goroutines at once.
type Filler struct {
	// Clients are an administrator's, without a client-side limit.
	Clients kubernetes.Interface
	// Etcd is the control plane's, where claims and pods are to be written straight
	// into it: in a minute, where the API takes ten. Empty: through the API.
	Etcd string

	prepared     bool
	claims, pods int // so far
}

// Claims adds claims until there are n. They are Bound, and carry what the
// webhook and a volume controller write to one.
func (f *Filler) Claims(ctx context.Context, n int) error {
	if err := f.prepare(ctx); err != nil {
		return err
	}
	first := f.claims
	f.claims = max(f.claims, n)
	return each(ctx, first, n, func(ctx context.Context, i int) error {
		c := claim(i)
		status := corev1.PersistentVolumeClaimStatus{
			Phase: corev1.ClaimBound, AccessModes: c.Spec.AccessModes, Capacity: c.Spec.Resources.Requests,
		}
		if f.Etcd != "" {
			c.Namespace, c.Status = Namespace(i), status
			return f.store(ctx, "persistentvolumeclaims", c)
		}
		claims := f.Clients.CoreV1().PersistentVolumeClaims(Namespace(i))
		made, err := claims.Create(ctx, c, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		made.Status = status
		_, err = claims.UpdateStatus(ctx, made, metav1.UpdateOptions{})
		return err
	})
}

// Pods adds pods: so many that run, then so many that are Pending. The next
// claim is the next pod's, whether there is one or not. None is seen by the
// webhook as long as the namespaces are not enabled.
func (f *Filler) Pods(ctx context.Context, running, pending int) error {
	if err := f.prepare(ctx); err != nil {
		return err
	}
	first := f.pods
	f.pods += running + pending
	return each(ctx, first, f.pods, func(ctx context.Context, i int) error {
		pods := f.Clients.CoreV1().Pods(Namespace(i))
		p := pod(i)
		if i < first+running {
			p.Spec.NodeName = "node"
		}
		if f.Etcd != "" {
			p.Namespace, p.Status.Phase = Namespace(i), corev1.PodPending
			if i < first+running {
				p.Status.Phase = corev1.PodRunning
			}
			return f.store(ctx, "pods", p)
		}
		made, err := pods.Create(ctx, p, metav1.CreateOptions{})
		if err != nil || i >= first+running {
			return err
		}
		made.Status.Phase = corev1.PodRunning
		_, err = pods.UpdateStatus(ctx, made, metav1.UpdateOptions{})
		return err
	})
}

// LeaveOut leaves out as many pods: their claims, where there are any, are used by
// none.
func (f *Filler) LeaveOut(pods int) { f.pods += pods }

// Enable switches the namespaces on.
func (f *Filler) Enable(ctx context.Context) error {
	patch := []byte(`{"metadata":{"labels":{"volumes.opensandbox.io/auto-create":"enabled"}}}`)
	return each(ctx, 0, namespaces, func(ctx context.Context, i int) error {
		_, err := f.Clients.CoreV1().Namespaces().Patch(ctx, Namespace(i), types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	})
}

// Namespace is where the claim and the pod of that number are.
func Namespace(i int) string { return fmt.Sprintf("tenant-%02d", i%namespaces) }

// ClaimName is the name of the claim of that number.
func ClaimName(i int) string { return fmt.Sprintf("home-%05d", i) }

// PodName is the name of the pod of that number.
func PodName(i int) string { return fmt.Sprintf("sandbox-%05d-0", i) }

// prepare makes the namespaces with their ServiceAccounts, which without
// kube-controller-manager nobody else does.
func (f *Filler) prepare(ctx context.Context) error {
	if f.prepared {
		return nil
	}
	f.prepared = true
	return each(ctx, 0, namespaces, func(ctx context.Context, i int) error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace(i)}}
		if _, err := f.Clients.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return err
		}
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
		_, err := f.Clients.CoreV1().ServiceAccounts(Namespace(i)).Create(ctx, account, metav1.CreateOptions{})
		return err
	})
}

func claim(i int) *corev1.PersistentVolumeClaim {
	class := "standard"
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Name: ClaimName(i),
			Labels: map[string]string{
				"app.kubernetes.io/managed-by": "ensure-volumes",
				"opensandbox.io/id":            fmt.Sprintf("7c0a4d1e-35cf-4f5c-9a5e-%012d", i),
			},
			Annotations: map[string]string{
				"volumes.opensandbox.io/created":           time.Now().UTC().Format(time.RFC3339),
				"volumes.opensandbox.io/created-for":       PodName(i),
				"volumes.opensandbox.io/requested-by":      "system:serviceaccount:opensandbox:controller-manager",
				"pv.kubernetes.io/bind-completed":          "yes",
				"pv.kubernetes.io/bound-by-controller":     "yes",
				"volume.kubernetes.io/storage-provisioner": "disks.example.com",
				"volume.kubernetes.io/selected-node":       "node",
			},
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: &class,
			VolumeName:       fmt.Sprintf("pvc-5b1f6f0c-8f0e-4a3d-8f62-%012d", i),
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceStorage: resource.MustParse("10Gi"),
			}},
		},
	}
}

func pod(i int) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: PodName(i), Labels: map[string]string{"app": "sandbox"}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "sandbox", Image: "example.com/sandbox:1",
				VolumeMounts: []corev1.VolumeMount{{Name: "home", MountPath: "/home"}},
			}},
			AutomountServiceAccountToken: new(bool),
			Volumes: []corev1.Volume{{Name: "home", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: ClaimName(i)},
			}}},
		},
	}
}

// each does something for the numbers from first to before, many at once. It
// ends with the first error.
func each(ctx context.Context, first, before int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	next.Store(int64(first))
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= before {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}
