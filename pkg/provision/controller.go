package provision

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// OwnerKinds are the kinds of controllers that hints are read from and that may
// own claims, each with the resource that it is served as. The version is the
// one that the pod's ownerReference names.
type OwnerKinds map[schema.GroupKind]string

// ParseOwnerKinds reads "Kind.group/resource", comma separated; empty: none.
func ParseOwnerKinds(s string) (OwnerKinds, error) {
	kinds := OwnerKinds{}
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		kind, resource, _ := strings.Cut(item, "/")
		gk := schema.ParseGroupKind(kind)
		if gk.Kind == "" || gk.Group == "" || resource == "" {
			return nil, fmt.Errorf("invalid owner kind %q; write it as Kind.group/resource, e.g. Sandbox.agents.x-k8s.io/sandboxes", item)
		}
		kinds[gk] = resource
	}
	return kinds, nil
}

// controller is what is known of a pod's controller owner.
type controller struct {
	hints claim.Hints
	// gone: of a listed kind, but not there, or another of the same name.
	gone     bool
	warnings []string
	// owner is set where the controller is of a listed kind and was just seen
	// with this UID: such a one may own claims.
	owner *metav1.OwnerReference
}

// readController reads the pod's controller live, its metadata only. A
// controller that is none of ours, or whose kind is not installed, has no hints.
func (t *task) readController(ctx context.Context) error {
	c := &controller{}
	ref := t.req.Controller
	kind, resource, listed := t.listed(ref)
	if !listed {
		t.controller = c
		return nil
	}
	name := ref.Kind + " " + claim.Quote(ref.Name, 63)
	gone := func() {
		c.warnings = []string{claim.Warning("the pod's "+claim.Printable(ref.Kind, 30)+" ", ref.Name, " is gone; hints on it are not known")}
		c.gone, t.controller = true, c
	}
	if len(validation.IsDNS1123Subdomain(ref.Name)) > 0 {
		gone() // no object of an API has that name, and it would become part of a URL
		return nil
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	err := t.Live.Get(ctx, client.ObjectKey{Namespace: t.req.Namespace, Name: ref.Name}, object)
	switch {
	case apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse):
		t.controller = c // the API server does not know the path: the kind is not installed
	case apierrors.IsNotFound(err), err == nil && object.UID != ref.UID,
		err == nil && t.req.Waiting && object.DeletionTimestamp != nil: // its pods follow
		gone()
	case err != nil:
		return t.refusal(ctx, err, call{
			verb: "get", resource: resource + "." + kind.Group, object: ref.Kind + " " + t.req.Namespace + "/" + ref.Name,
		})
	default:
		c.hints = claim.Read(claim.Object{Kind: claim.Owner, Name: name, Annotations: object.Annotations, Labels: object.Labels}, t.names)
		c.owner = ref
		t.controller = c
	}
	return nil
}

// listed finds the kind of a reference among those that are configured. Its
// version becomes part of a URL and comes from the caller, so it must look like one.
func (t *task) listed(ref *metav1.OwnerReference) (kind schema.GroupVersionKind, resource string, ok bool) {
	if ref == nil {
		return kind, "", false
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil || len(validation.IsDNS1035Label(gv.Version)) > 0 {
		return kind, "", false
	}
	kind = gv.WithKind(ref.Kind)
	resource, ok = t.OwnerKinds[kind.GroupKind()]
	return kind, resource, ok
}

// claimOwner is the reference for a claim that shall go with its sandbox, or nil
// and the reason why the claim is kept.
func (t *task) claimOwner() (ref *metav1.OwnerReference, reason string) {
	switch {
	case !t.DeleteWithOwner:
		return nil, "the operator has switched it off"
	case t.controller == nil || t.controller.owner == nil && !t.controller.gone:
		return nil, "the pod has no controller of a listed kind"
	case t.controller.gone:
		return nil, "the pod's controller is gone"
	}
	no := false
	o := t.controller.owner
	return &metav1.OwnerReference{APIVersion: o.APIVersion, Kind: o.Kind, Name: o.Name, UID: o.UID, BlockOwnerDeletion: &no}, ""
}
