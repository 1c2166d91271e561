// Package provision makes the PersistentVolumeClaims that a pod refers to exist:
// it looks, judges, creates and interprets what the API server says. Admission
// and the safety net share it, so that they cannot disagree.
//
// [Ensurer.Ensure] is the whole of it. It parses first (package claim), decides
// second, and only then touches the cluster. A claim that exists is used as it
// is; it is never adopted, edited, owned or deleted here.
//
// # What a decision rests on
//
// [Claims] holds every claim of the cluster, cut down to a [Record]. A claim
// found there costs no call. A claim not found there is created at once,
// without a look first, and what the API server answers decides. A refusal is
// the exception: it never rests on the cache alone, which may be behind, but on
// one live look at the pod's claims.
//
// # Whose fault it is
//
// Ensure fails in two ways. A [Denial] is final: its status names what is wrong,
// and its code whose fault that is (4xx the caller's, 500 the operator's). A
// [Retryable] may pass by itself: the same request may be sent again.
package provision
