package mutate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

const (
	// maxBody is more than a pod can be: the API server reads 3 MiB and etcd holds 1.5 MiB.
	maxBody = 4 << 20
	// keptBody is the most memory that is kept for the next body. Few pods need more.
	keptBody = 64 << 10
	// margin is how long before the API server's own deadline the answer leaves.
	margin = 300 * time.Millisecond
	// The API server's default and longest timeout of a webhook (admissionregistration.k8s.io/v1).
	defaultTimeout, longestTimeout = 10 * time.Second, 30 * time.Second
	// retryAfter is the pause that a 503 asks for, in seconds.
	retryAfter = "1"
)

// Handler answers AdmissionReviews of admission.k8s.io/v1 for the creation of
// pods. It may be used by many goroutines at once.
//
// The answer leaves before the deadline that the request's ?timeout= names, less
// 300 ms. It is an HTTP 200 with a response; an HTTP 503 with Retry-After where
// repeating may help; another 4xx where the review cannot be read.
type Handler struct {
	Ensurer *provision.Ensurer
	Log     logr.Logger
	Metrics *Metrics

	bodies sync.Pool // of *bytes.Buffer: a body is done with once it is read
}

// ServeHTTP answers one review.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	outcome := outcomeBad
	defer func() {
		if p := recover(); p != nil {
			h.Log.Error(fmt.Errorf("%v", p), "the handler panicked", "stack", string(debug.Stack()))
			http.Error(w, "the webhook failed in a way that its authors did not foresee; see its log", http.StatusInternalServerError)
			outcome = outcomePanic
		}
		h.Metrics.observe(outcome, time.Since(start))
	}()

	deadline := start.Add(allowance(r))
	ctx, cancel := context.WithDeadline(r.Context(), deadline)
	defer cancel()
	// A body that trickles in must not outlive the deadline either. A server that
	// cannot set one (a test's recorder) has its bodies whole.
	_ = http.NewResponseController(w).SetReadDeadline(deadline)

	q, code, err := h.read(w, r)
	if err != nil {
		http.Error(w, err.Error(), code)
		return
	}
	verdict, err := h.answer(ctx, q)
	outcome = verdict.outcome
	if err != nil {
		h.Log.Info("asked the API server to repeat a review", "namespace", q.Namespace, "reason", err.Error())
		w.Header().Set("Retry-After", retryAfter)
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	write(w, verdict.Response)
}

// allowance is how long the answer may take.
func allowance(r *http.Request) time.Duration {
	timeout := defaultTimeout
	for parameter := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if value, ok := strings.CutPrefix(parameter, "timeout="); ok {
			if asked, err := time.ParseDuration(value); err == nil && asked > 0 {
				timeout = min(asked, longestTimeout)
			}
		}
	}
	if timeout <= margin { // no API server asks for less than a second
		return timeout / 2
	}
	return timeout - margin
}

// read reads the review, or says with which code it is refused.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (q *request, code int, err error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, http.StatusMethodNotAllowed, errors.New("send an AdmissionReview with POST")
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, http.StatusUnsupportedMediaType, errors.New("send an AdmissionReview as application/json")
	}
	body, _ := h.bodies.Get().(*bytes.Buffer)
	if body == nil {
		body = new(bytes.Buffer)
	}
	defer func() {
		if body.Cap() <= keptBody {
			body.Reset()
			h.bodies.Put(body)
		}
	}()
	err = readAll(body, http.MaxBytesReader(w, r.Body, maxBody), r.ContentLength)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", maxBody)
	}
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("reading the body: %w", err)
	}
	q, err = decode(body.Bytes())
	return q, http.StatusBadRequest, err
}

// readAll reads a body of a length that may not be known, -1, into room that it makes
// once: room that grows with what is read would be taken several times over.
func readAll(body *bytes.Buffer, from io.Reader, length int64) error {
	if length > maxBody {
		_, err := io.Copy(io.Discard, from)
		return err
	}
	if length < 0 {
		length = maxBody
	}
	body.Grow(int(length) + bytes.MinRead)
	_, err := body.ReadFrom(from)
	return err
}

// Verdict is the answer to one review, and what it rests on.
type Verdict struct {
	// Response is the answer.
	Response *admissionv1.AdmissionResponse
	// Request is what was asked of package provision; it has no claims where it was not asked.
	Request provision.Request
	// Result is what became of that.
	Result provision.Result

	outcome string
}

// Judge answers one review, the body of a request to [Handler.ServeHTTP], as that
// does, but for HTTP and metrics. The error says that the body is no review, or is
// a *[provision.Retryable]: the review must be repeated.
func (h *Handler) Judge(ctx context.Context, body []byte) (Verdict, error) {
	q, err := decode(body)
	if err != nil {
		return Verdict{}, err
	}
	return h.answer(ctx, q)
}

// answer decides on one review. The error means: repeat it.
func (h *Handler) answer(ctx context.Context, q *request) (Verdict, error) {
	response := &admissionv1.AdmissionResponse{UID: q.UID, Allowed: true}
	v := Verdict{Response: response, outcome: outcomeAllowed}
	if n := q.Object.Namespace; n != "" && n != q.Namespace {
		response.Allowed, response.Result = false, namespaceMismatch(q, n)
		v.outcome = outcomeDenied
		return v, nil
	}
	wanted := q.wanted()
	if len(wanted.Claims) == 0 || q.Object.mirror() {
		return v, nil
	}
	result, err := h.Ensurer.Ensure(ctx, wanted)
	v.Request, v.Result = wanted, result
	if len(result.Created) > 0 {
		h.Metrics.created(len(result.Created), q.DryRun)
		if !q.DryRun {
			h.Log.Info("created claims", "namespace", q.Namespace, "pod", wanted.PodName, "claims", result.Created)
		}
		response.AuditAnnotations = map[string]string{"created": strings.Join(result.Created, ",")}
	}
	response.Warnings = result.Warnings
	denial, denied := errors.AsType[*provision.Denial](err)
	switch {
	case denied:
		response.Allowed, response.Result = false, describe(denial.Status, wanted.PodName)
		v.outcome = outcomeDenied
	case err != nil:
		return Verdict{outcome: outcomeRetry}, err
	case len(result.Created) > 0:
		q.annotate(response, result.Created, wanted.Claims)
		v.outcome = outcomeCreated
	}
	response.Warnings = fit(response.Warnings)
	return v, nil
}

// describe says of which object a status speaks where it does not itself;
// kubectl prints it.
func describe(s metav1.Status, podName string) *metav1.Status {
	if s.Details.Kind == "" {
		s.Details.Kind, s.Details.Name = "Pod", podName
	}
	return &s
}

func write(w http.ResponseWriter, response *admissionv1.AdmissionResponse) {
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: reviewVersion, Kind: "AdmissionReview"},
		Response: response,
	})
	if err != nil {
		http.Error(w, "encoding the answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // whoever went away does not read an error either
}
