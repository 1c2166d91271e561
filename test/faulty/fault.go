package faulty

import (
	"encoding/json"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Fault is one way in which a call goes wrong. Its text is its name.
type Fault string

// The faults.
const (
	TooManyRequests Fault = "429"       // refused by API Priority and Fairness, with Retry-After
	InternalError   Fault = "500"       // answered with a Status, as of an API server that cannot reach etcd
	Hang            Fault = "hang"      // taken and never answered
	Reset           Fault = "reset"     // the connection is reset instead of an answer, with every call on it
	Slow            Fault = "slow"      // passed on after slowness
	Truncated       Fault = "truncated" // passed on, and reset in the middle of the answer
)

// Faults are all of them.
func Faults() []Fault {
	return []Fault{TooManyRequests, InternalError, Hang, Reset, Slow, Truncated}
}

const (
	slowness = 500 * time.Millisecond
	// Shorter than any object with its metadata.
	truncateAfter = 100 // bytes
)

// refuse answers in the API server's words.
func (f Fault) refuse(w http.ResponseWriter) {
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure,
		Code:     http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError,
		Message: "Internal error occurred: etcdserver: request timed out",
	}
	if f == TooManyRequests {
		status.Code, status.Reason = http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests
		status.Message = "too many requests, please try again later"
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(status.Code))
	_ = json.NewEncoder(w).Encode(status) // whoever went away does not read it
}

// truncating passes the beginning of an answer on and then calls cut.
type truncating struct {
	http.ResponseWriter
	left int
	cut  func()
}

// Write writes what is left to be passed on.
func (t *truncating) Write(p []byte) (int, error) {
	if len(p) < t.left {
		t.left -= len(p)
		return t.ResponseWriter.Write(p)
	}
	_, _ = t.ResponseWriter.Write(p[:t.left])
	_ = http.NewResponseController(t.ResponseWriter).Flush()
	t.cut()
	panic(http.ErrAbortHandler)
}

// Unwrap lets an http.ResponseController reach the writer.
func (t *truncating) Unwrap() http.ResponseWriter { return t.ResponseWriter }
