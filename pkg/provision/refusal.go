package provision

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// call is one call to the API server, for messages and for asking whether we may
// make it.
type call struct {
	verb     string
	resource string // with its group: "persistentvolumeclaims", "sandboxes.agents.x-k8s.io"
	object   string // "PersistentVolumeClaim ns/x"
}

func (c call) doing() string {
	switch c.verb {
	case "get":
		return "reading " + c.object
	case "list":
		return "listing " + c.object
	}
	return "creating " + c.object
}

// refusal turns an error of the API server into our answer: whose fault it is.
func (t *task) refusal(ctx context.Context, err error, c call) error {
	var status apierrors.APIStatus
	switch {
	case passing(err) || !errors.As(err, &status):
		return &Retryable{fmt.Errorf("%s: %w", c.doing(), err)}
	case apierrors.IsUnauthorized(err):
		return deny(http.StatusInternalServerError, metav1.StatusReasonInternalError, c.doing()+
			": the API server does not accept the credentials of the webhook's service account; the operator must renew them")
	case apierrors.IsForbidden(err) && !t.permitted(ctx, c):
		where := "in namespace " + t.req.Namespace
		if !namespaced(c.resource) {
			where = "in the cluster"
		}
		return deny(http.StatusInternalServerError, metav1.StatusReasonInternalError, fmt.Sprintf(
			"%s: the webhook's service account may not %s %s %s; the operator must grant it that verb on that resource there",
			c.doing(), c.verb, c.resource, where))
	}
	return relay(status.Status())
}

func namespaced(resource string) bool {
	return resource != "persistentvolumes" && resource != "storageclasses.storage.k8s.io"
}

// relay passes a refusal on in its own words.
func relay(s metav1.Status) *Denial {
	d := &Denial{*s.DeepCopy()}
	d.Status.Status, d.Status.ListMeta = metav1.StatusFailure, metav1.ListMeta{}
	if d.Status.Details == nil {
		d.Status.Details = &metav1.StatusDetails{}
	}
	causes := d.Status.Details.Causes
	if d.Status.Code == http.StatusUnprocessableEntity && len(causes) == 0 {
		d.Status.Details.Causes = []metav1.StatusCause{cause("spec", d.Status.Message)}
	}
	for i := range causes {
		if causes[i].Field == "" { // as of a ValidatingAdmissionPolicy; kubectl would print ": : "
			causes[i].Field = "spec"
		}
	}
	return d
}

// permitted tells a missing permission from the other refusals that are 403.
// Reads are refused for nothing else. For a create the API server is asked;
// where it does not say, the refusal counts as somebody else's.
func (t *task) permitted(ctx context.Context, c call) bool {
	if c.verb != "create" {
		return false
	}
	resource := schema.ParseGroupResource(c.resource)
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: c.verb, Group: resource.Group, Resource: resource.Resource, Namespace: t.req.Namespace,
		},
	}}
	return t.Live.Create(ctx, review) != nil || review.Status.Allowed
}

// worst is the one answer for several claims: a denial before trouble, the first
// of them with what the others say added.
func (t *task) worst(errs []error) error {
	var denials []*Denial
	var names, messages []string
	for i, err := range errs {
		var d *Denial
		if errors.As(err, &d) {
			denials = append(denials, d)
			names, messages = append(names, t.names[i]), append(messages, d.Status.Message)
		}
	}
	switch len(denials) {
	case 0:
		i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
		if i < 0 {
			return nil
		}
		return errs[i]
	case 1:
		return denials[0]
	}
	all := denials[0]
	all.Status.Message = strings.Join(messages, "; ")
	if all.Status.Code != http.StatusUnprocessableEntity {
		return all
	}
	// Of a 422 kubectl shows the causes alone, and one name for all of them.
	var causes []metav1.StatusCause
	for i, d := range denials {
		own := d.Status.Details.Causes
		if len(own) == 0 {
			own = []metav1.StatusCause{cause("spec", messages[i])}
		}
		for _, c := range own {
			c.Field = "claim " + names[i] + ": " + c.Field
			causes = append(causes, c)
		}
	}
	all.Status.Details.Causes = causes
	return all
}

// formatOwner is what claim.KeyOwner holds; parseOwner reads it.
func formatOwner(ref *metav1.OwnerReference) string {
	gv, _ := schema.ParseGroupVersion(ref.APIVersion)
	return gv.WithKind(ref.Kind).GroupKind().String() + "/" + ref.Name + "/" + string(ref.UID)
}
