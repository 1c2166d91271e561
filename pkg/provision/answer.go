package provision

import (
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Denial is a final answer: the pod must not be created as it is. Its status
// goes to the caller.
type Denial struct{ Status metav1.Status }

// Error is the status's message.
func (d *Denial) Error() string { return d.Status.Message }

// Retryable is trouble that may pass: the same request may be sent again.
type Retryable struct{ Err error }

// Error is the trouble's text.
func (r *Retryable) Error() string { return r.Err.Error() }

// Unwrap is the trouble.
func (r *Retryable) Unwrap() error { return r.Err }

func deny(code int32, reason metav1.StatusReason, message string) *Denial {
	return &Denial{metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    code,
		Reason:  reason,
		Message: message,
		Details: &metav1.StatusDetails{},
	}}
}

// invalid is a 422 that says everything twice: kubectl shows only the causes of
// one, every other client only its message.
func invalid(causes []metav1.StatusCause) *Denial {
	lines := make([]string, len(causes))
	for i, c := range causes {
		lines[i] = c.Field + ": " + c.Message
	}
	d := deny(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, strings.Join(lines, "; "))
	d.Status.Details.Causes = causes
	return d
}

func cause(field, message string) metav1.StatusCause {
	return metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: field, Message: message}
}

// passing reports whether an error of the API server may pass by itself: it is
// overloaded, failing or out of reach, or the deadline came first.
func passing(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	code := status.Status().Code
	return code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout
}

// quotaConflict reports whether ResourceQuota refused for a reason of its own
// that passes within moments: many creates at once update the same status.
func quotaConflict(err error) bool {
	if apierrors.IsForbidden(err) {
		return strings.Contains(err.Error(), "status unknown for quota")
	}
	var status apierrors.APIStatus
	return apierrors.IsConflict(err) && errors.As(err, &status) &&
		status.Status().Details != nil && status.Status().Details.Kind == "resourcequotas"
}
