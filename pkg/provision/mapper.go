package provision

import (
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Mapper maps the few kinds that this package and the safety net use to their resources. Asking
// the API server for it (discovery) costs calls that no deadline bounds, in the
// middle of a request the first time a kind is met.
func (k OwnerKinds) Mapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	for kind, scope := range map[string]meta.RESTScope{
		"Namespace":             meta.RESTScopeRoot,
		"PersistentVolume":      meta.RESTScopeRoot,
		"PersistentVolumeClaim": meta.RESTScopeNamespace,
		"Pod":                   meta.RESTScopeNamespace,
		"Event":                 meta.RESTScopeNamespace,
	} {
		m.Add(corev1.SchemeGroupVersion.WithKind(kind), scope)
	}
	m.AddSpecific(storagev1.SchemeGroupVersion.WithKind("StorageClass"),
		storagev1.SchemeGroupVersion.WithResource("storageclasses"), storagev1.SchemeGroupVersion.WithResource("storageclass"),
		meta.RESTScopeRoot)
	m.Add(authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"), meta.RESTScopeRoot)
	return ownerMapper{m, k}
}

// ownerMapper maps owners at whatever version a reference names.
type ownerMapper struct {
	meta.RESTMapper
	kinds OwnerKinds
}

// RESTMapping finds the resource of a kind.
func (m ownerMapper) RESTMapping(gk schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	resource, ok := m.kinds[gk]
	if !ok || len(versions) == 0 {
		return m.RESTMapper.RESTMapping(gk, versions...)
	}
	gv := schema.GroupVersion{Group: gk.Group, Version: versions[0]}
	return &meta.RESTMapping{
		Resource:         gv.WithResource(resource),
		GroupVersionKind: gv.WithKind(gk.Kind),
		Scope:            meta.RESTScopeNamespace,
	}, nil
}
