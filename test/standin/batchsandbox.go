package standin

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The labels of a BatchSandbox's pods.
const (
	labelPodIndex     = "batch-sandbox.sandbox.opensandbox.io/pod-index"
	labelBatchSandbox = "batch-sandbox.sandbox.opensandbox.io/name"
)

// BatchSandbox makes the missing pods NAME-0, NAME-1 and so on of a BatchSandbox, one after the other, with the labels and
// annotations of its template and generateName set as well. The first refusal ends it: it becomes an event FailedCreate, the
// refusal's words first and the pod after them, and is returned; the status says nothing of it. With a poolRef no pod is made.
func (c Controllers) BatchSandbox(ctx context.Context, cr *unstructured.Unstructured) error {
	if pool, _, _ := unstructured.NestedString(cr.Object, "spec", "poolRef"); pool != "" {
		return nil // the Pool gives it some of its own
	}
	replicas, _, err := unstructured.NestedInt64(cr.Object, "spec", "replicas")
	if err != nil {
		return fmt.Errorf("reading BatchSandbox %s: %w", cr.GetName(), err)
	}
	own, err := c.pods(ctx, cr)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, p := range own {
		there[p.Labels[labelPodIndex]] = true
	}
	for i := range replicas {
		index := strconv.FormatInt(i, 10)
		if there[index] {
			continue
		}
		pod, err := fromTemplate(cr, KindBatchSandbox, "template")
		if err != nil {
			return err
		}
		pod.Name, pod.GenerateName = cr.GetName()+"-"+index, cr.GetName()+"-"
		pod.Labels[labelPodIndex], pod.Labels[labelBatchSandbox] = index, cr.GetName()
		if err := c.Client.Create(ctx, pod); err != nil {
			told := c.warn(ctx, cr, "batchsandbox-controller", fmt.Sprintf("failed to create pod: %v, pod: %s", err, dump(pod)))
			return errors.Join(fmt.Errorf("creating Pod %s/%s: %w", pod.Namespace, pod.Name, err), told)
		}
	}
	return nil
}

// Pool makes pods until there are as many as its capacity asks for before anybody has asked for a sandbox. Their names are
// generated, and the Pool is their controller. A refusal ends it and becomes an event FailedCreate. Nothing of a caller's
// is known at this time: BatchSandboxes with this poolRef are given pods that exist, which happens in annotations only
// and is left out here.
func (c Controllers) Pool(ctx context.Context, cr *unstructured.Unstructured) error {
	var capacity [3]int64
	for i, field := range [...]string{"poolMin", "bufferMin", "poolMax"} {
		n, _, err := unstructured.NestedInt64(cr.Object, "spec", "capacitySpec", field)
		if err != nil {
			return fmt.Errorf("reading Pool %s: %w", cr.GetName(), err)
		}
		capacity[i] = n
	}
	own, err := c.pods(ctx, cr)
	if err != nil {
		return err
	}
	for range min(max(capacity[0], capacity[1]), capacity[2]) - int64(len(own)) {
		pod, err := fromTemplate(cr, KindPool, "template")
		if err != nil {
			return err
		}
		pod.GenerateName = cr.GetName() + "-"
		pod.Labels["sandbox.opensandbox.io/pool-name"] = cr.GetName()
		if err := c.Client.Create(ctx, pod); err != nil {
			told := c.warn(ctx, cr, "pool-controller", fmt.Sprintf("Failed to create pool pod: %v", err))
			return errors.Join(fmt.Errorf("creating a pod of Pool %s/%s: %w", cr.GetNamespace(), cr.GetName(), err), told)
		}
	}
	return nil
}
