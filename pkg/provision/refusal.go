package provision

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	return map[string]string{"get": "reading ", "list": "listing ", "create": "creating "}[c.verb] + c.object
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
	if d.Status.Code == http.StatusUnprocessableEntity && len(d.Status.Details.Causes) == 0 {
		d.Status.Details.Causes = []metav1.StatusCause{cause("spec", d.Status.Message)}
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

// worst is the one answer for several claims: a denial before trouble. Denials
// with one code are said together.
func worst(errs []error) error {
	var denial *Denial
	var messages []string
	for _, err := range errs {
		var d *Denial
		if !errors.As(err, &d) || denial != nil && d.Status.Code != denial.Status.Code {
			continue
		}
		if denial == nil {
			denial = d
		} else {
			denial.Status.Details.Causes = append(denial.Status.Details.Causes, d.Status.Details.Causes...)
		}
		messages = append(messages, d.Status.Message)
	}
	if denial != nil {
		denial.Status.Message = strings.Join(messages, "; ")
		return denial
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// formatOwner is what claim.KeyOwner holds; parseOwner reads it.
func formatOwner(ref *metav1.OwnerReference) string {
	gv, _ := schema.ParseGroupVersion(ref.APIVersion)
	return gv.WithKind(ref.Kind).GroupKind().String() + "/" + ref.Name + "/" + string(ref.UID)
}
