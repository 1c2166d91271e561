// Package mutate answers the API server's AdmissionReviews for pods: a review
// in, the claims made to exist (package provision), a response out.
//
// It is an http.Handler of its own because the answer needs more than the usual
// frameworks let it say: an HTTP 503 with Retry-After, which the API server's
// webhook client repeats within its timeout; warnings; denials whose code says
// whose fault it is. It decodes only what it needs of a pod and changes it with
// a patch written by hand, so that a field that a newer API server knows is
// neither dropped nor reordered.
package mutate
