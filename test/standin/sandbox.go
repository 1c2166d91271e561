package standin

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// reasonRefused is the reason of a Sandbox's condition Ready where its pod could not be made.
const reasonRefused = "ReconcilerError"

// Sandbox makes the one pod of an agent-sandbox Sandbox, which has the Sandbox's own name, and the labels and annotations of
// its podTemplate: none of the Sandbox's. A refusal becomes the condition Ready with the reason ReconcilerError and is
// returned. The owner that it names is at the version of the custom resource that it is given, since the controller of
// each version names its own.
func (c Controllers) Sandbox(ctx context.Context, cr *unstructured.Unstructured) error {
	pod, err := fromTemplate(cr, schema.FromAPIVersionAndKind(cr.GetAPIVersion(), KindSandbox.Kind), "podTemplate")
	if err != nil {
		return err
	}
	pod.Name = cr.GetName()
	if names := slices.Sorted(maps.Keys(pod.Labels)); len(names) > 0 {
		pod.Annotations["agents.x-k8s.io/propagated-labels"] = strings.Join(names, ",")
	}
	hash := fnv.New32a()
	hash.Write([]byte(cr.GetName()))
	pod.Labels["agents.x-k8s.io/sandbox-name-hash"] = fmt.Sprintf("%08x", hash.Sum32())
	err = c.Client.Get(ctx, client.ObjectKeyFromObject(pod), &corev1.Pod{})
	if apierrors.IsNotFound(err) {
		err = c.Client.Create(ctx, pod)
	}
	if err != nil {
		told := c.ready(ctx, cr, reasonRefused, "Error seen: "+err.Error())
		return errors.Join(fmt.Errorf("creating Pod %s/%s: %w", pod.Namespace, pod.Name, err), told)
	}
	return c.ready(ctx, cr, "DependenciesNotReady", "Pod exists with phase: Pending")
}

// ready writes a Sandbox's condition Ready, which is never true here: no pod runs.
func (c Controllers) ready(ctx context.Context, cr *unstructured.Unstructured, reason, message string) error {
	patch := client.MergeFrom(cr.DeepCopy())
	condition := map[string]any{
		"type": "Ready", "status": "False", "reason": reason, "message": message,
		"lastTransitionTime": metav1.Now().UTC().Format("2006-01-02T15:04:05Z"),
	}
	if before := readyCondition(cr); before["reason"] == reason && before["message"] == message {
		return nil
	}
	if err := unstructured.SetNestedSlice(cr.Object, []any{condition}, "status", "conditions"); err != nil {
		return fmt.Errorf("writing the status of Sandbox %s: %w", cr.GetName(), err)
	}
	if err := c.Client.Status().Patch(ctx, cr, patch); err != nil {
		return fmt.Errorf("writing the status of Sandbox %s: %w", cr.GetName(), err)
	}
	return nil
}

// readyCondition is the condition Ready of a custom resource, nil where it has none.
func readyCondition(cr *unstructured.Unstructured) map[string]any {
	conditions, _, _ := unstructured.NestedSlice(cr.Object, "status", "conditions")
	for _, c := range conditions {
		if condition, ok := c.(map[string]any); ok && condition["type"] == "Ready" {
			return condition
		}
	}
	return nil
}
