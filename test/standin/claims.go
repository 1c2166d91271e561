package standin

import (
	"context"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// labelManaged, with the value "server" and beside the sandbox's id, is on claims that the server has made to go with a sandbox.
// Only claims with both are ever deleted by it.
const labelManaged = "opensandbox.io/volume-managed-by"

// defaultSize is the server's storage.volume_default_size.
const defaultSize = "1Gi"

// ensureClaims makes the claims that are missing and may be made, and returns those that shall go with the sandbox. Every claim is
// read first, also where it may not be made: a claim that goes with another sandbox is refused. A create that is forbidden
// is taken for a missing permission, whoever has forbidden it, and the server carries on.
func (s *Server) ensureClaims(ctx context.Context, id string, volumes []Volume) (managed []string, err error) {
	exists := map[string]bool{}
	for _, v := range volumes {
		if exists[v.PVC.ClaimName], err = s.lookAt(ctx, id, v.PVC.ClaimName); err != nil {
			return nil, err
		}
	}
	for _, v := range volumes {
		if exists[v.PVC.ClaimName] || !v.PVC.create() {
			continue
		}
		exists[v.PVC.ClaimName] = true // or was tried
		err := s.Client.Create(ctx, s.claim(id, v.PVC))
		switch {
		case err == nil && v.PVC.DeleteOnSandboxTermination:
			managed = append(managed, v.PVC.ClaimName)
		case err == nil:
		case apierrors.IsForbidden(err):
			s.log("no permission to create claim %s, skipped", v.PVC.ClaimName)
		case apierrors.IsAlreadyExists(err):
			if _, err := s.lookAt(ctx, id, v.PVC.ClaimName); err != nil {
				return managed, err
			}
		case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
			return managed, refuse(http.StatusBadRequest, invalid, "Invalid PVC spec for %q.", v.PVC.ClaimName)
		default:
			return managed, fmt.Errorf("creating PersistentVolumeClaim %s/%s: %w", s.Namespace, v.PVC.ClaimName, err)
		}
	}
	return managed, nil
}

// lookAt reads a claim and refuses one that goes with another sandbox.
func (s *Server) lookAt(ctx context.Context, id, name string) (exists bool, err error) {
	var pvc corev1.PersistentVolumeClaim
	err = s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, &pvc)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case apierrors.IsForbidden(err):
		return false, refuse(http.StatusInternalServerError, "KUBERNETES::API_ERROR",
			"Cannot verify ownership of PVC %q: server lacks 'get' on persistentvolumeclaims.", name)
	case err != nil:
		return false, fmt.Errorf("reading PersistentVolumeClaim %s/%s: %w", s.Namespace, name, err)
	}
	if other := pvc.Labels[labelID]; pvc.Labels[labelManaged] == "server" && other != "" && other != id {
		return true, refuse(http.StatusConflict, invalid, "PVC %q is already managed by sandbox %q.", name, other)
	}
	return true, nil
}

// claim is what the server makes of the PVC model.
func (s *Server) claim(id string, p *PVC) client.Object {
	size, modes := p.Storage, []any{"ReadWriteOnce"}
	if size == "" {
		size = defaultSize
	}
	if len(p.AccessModes) > 0 {
		modes = nil
		for _, m := range p.AccessModes {
			modes = append(modes, m)
		}
	}
	metadata := map[string]any{"namespace": s.Namespace, "name": p.ClaimName}
	if p.DeleteOnSandboxTermination {
		metadata["labels"] = map[string]any{labelManaged: "server", labelID: id}
	}
	spec := map[string]any{"accessModes": modes, "resources": map[string]any{"requests": map[string]any{"storage": size}}}
	if p.StorageClass != nil {
		spec["storageClassName"] = *p.StorageClass
	}
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}}
}

// own makes the custom resource the owner of a claim, so that Kubernetes deletes it with that. Where this fails the server goes on.
func (s *Server) own(ctx context.Context, cr *unstructured.Unstructured, name string) {
	pvc := &corev1.PersistentVolumeClaim{}
	pvc.Namespace, pvc.Name = s.Namespace, name
	patch := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":%q,"kind":%q,"name":%q,"uid":%q,"blockOwnerDeletion":false,"controller":false}]}}`,
		cr.GetAPIVersion(), cr.GetKind(), cr.GetName(), cr.GetUID())
	if err := s.Client.Patch(ctx, pvc, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		s.log("claim %s has no owner: %v", name, err)
	}
}

// sweep deletes the claims that the server had made to go with a sandbox. What it may not list or delete it leaves.
func (s *Server) sweep(ctx context.Context, id string) error {
	var list corev1.PersistentVolumeClaimList
	err := s.Client.List(ctx, &list, client.InNamespace(s.Namespace), client.MatchingLabels{labelManaged: "server", labelID: id})
	if err != nil && !apierrors.IsForbidden(err) {
		return fmt.Errorf("listing the claims of sandbox %s: %w", id, err)
	}
	for i := range list.Items {
		if err := s.Client.Delete(ctx, &list.Items[i]); err != nil {
			s.log("claim %s is left: %v", list.Items[i].Name, err)
		}
	}
	return nil
}
