package standin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The kinds of sandboxes and pools, at the versions that their controllers use.
var (
	KindBatchSandbox = schema.GroupVersionKind{Group: "sandbox.opensandbox.io", Version: "v1alpha1", Kind: "BatchSandbox"}
	KindPool         = schema.GroupVersionKind{Group: "sandbox.opensandbox.io", Version: "v1alpha1", Kind: "Pool"}
	KindSandbox      = schema.GroupVersionKind{Group: "agents.x-k8s.io", Version: "v1beta1", Kind: "Sandbox"}
)

// Controllers stand for OpenSandbox's controller, of BatchSandboxes and Pools, and for agent-sandbox's, of Sandboxes.
type Controllers struct {
	// Client acts as the controllers' account.
	Client client.Client
}

// Once looks at every sandbox and pool of a namespace once, in the order of their kinds, and makes the pods that are missing.
// What is refused is written where its controller writes it and is part of the error; the others are looked at all the same.
func (c Controllers) Once(ctx context.Context, namespace string) error {
	var all error
	for _, kind := range []struct {
		schema.GroupVersionKind
		reconcile func(context.Context, *unstructured.Unstructured) error
	}{{KindPool, c.Pool}, {KindBatchSandbox, c.BatchSandbox}, {KindSandbox, c.Sandbox}} {
		var list unstructured.UnstructuredList
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := c.Client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return fmt.Errorf("listing %s of %s: %w", list.GetKind(), namespace, err)
		}
		for i := range list.Items {
			if cr := &list.Items[i]; cr.GetDeletionTimestamp() == nil {
				all = errors.Join(all, kind.reconcile(ctx, cr))
			}
		}
	}
	return all
}

// Run calls Once until ctx ends, the next time after a pause: as the controllers do, it tries again what was refused.
func (c Controllers) Run(ctx context.Context, namespace string, pause time.Duration) {
	for ctx.Err() == nil {
		_ = c.Once(ctx, namespace) // who wants to know reads events and conditions
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// fromTemplate is a pod of a template (metadata and spec) that a custom resource controls.
func fromTemplate(cr *unstructured.Unstructured, kind schema.GroupVersionKind, template ...string) (*corev1.Pod, error) {
	content, _, err := unstructured.NestedMap(cr.Object, append([]string{"spec"}, template...)...)
	if err != nil {
		return nil, fmt.Errorf("reading the template of %s %s: %w", cr.GetKind(), cr.GetName(), err)
	}
	var t corev1.PodTemplateSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &t); err != nil {
		return nil, fmt.Errorf("reading the template of %s %s: %w", cr.GetKind(), cr.GetName(), err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       cr.GetNamespace(),
			Labels:          maps.Clone(t.Labels),
			Annotations:     maps.Clone(t.Annotations),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(cr, kind)},
		},
		Spec: t.Spec,
	}
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	return pod, nil
}

// pods are those that a custom resource controls.
func (c Controllers) pods(ctx context.Context, cr *unstructured.Unstructured) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := c.Client.List(ctx, &list, client.InNamespace(cr.GetNamespace())); err != nil {
		return nil, fmt.Errorf("listing the pods of %s %s: %w", cr.GetKind(), cr.GetName(), err)
	}
	var own []corev1.Pod
	for _, p := range list.Items {
		if metav1.IsControlledBy(&p, cr) {
			own = append(own, p)
		}
	}
	return own, nil
}

// warn writes an event of a refused pod on its custom resource, one for each different text: who counts them is no matter here.
func (c Controllers) warn(ctx context.Context, cr *unstructured.Unstructured, component, text string) error {
	hash := fnv.New64a()
	hash.Write([]byte(text))
	now := metav1.Now()
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: cr.GetNamespace(), Name: fmt.Sprintf("%s.%x", cr.GetName(), hash.Sum64())},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: cr.GetAPIVersion(), Kind: cr.GetKind(), Namespace: cr.GetNamespace(), Name: cr.GetName(), UID: cr.GetUID(),
		},
		Type: corev1.EventTypeWarning, Reason: "FailedCreate", Message: text,
		Source: corev1.EventSource{Component: component}, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
	if err := c.Client.Create(ctx, event); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("writing an event of %s %s: %w", cr.GetKind(), cr.GetName(), err)
	}
	return nil
}

// dump is an object in one line of JSON, as it follows the refusal in OpenSandbox's events.
func dump(object any) string {
	text, err := json.Marshal(object)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
