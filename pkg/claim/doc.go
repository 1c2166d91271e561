// Package claim is the vocabulary of hints: what a caller may ask of a claim (a
// PersistentVolumeClaim on Kubernetes, a named volume on Docker), in which keys
// it is said, and which of several answers counts.
//
// It is pure. Nothing here talks to a cluster or an engine, reads a clock or
// keeps state, so that admission, the safety net and the Docker companion
// cannot disagree about what was asked.
//
// Hints are read from one object at a time ([Read]) and then put together for
// one claim at a time ([Resolve]):
//
//	pod := claim.Read(claim.Object{Kind: claim.Pod, Annotations: …, Labels: …}, names)
//	want := claim.Resolve("alice-home", fallback, pod, owner, namespace)
//	if len(want.Faults) > 0 { … }
//
// # Forms
//
// The flat form is one key a field; the key's DNS part is the scope:
//
//	volumes.opensandbox.io/storage: 10Gi              every claim of the pod
//	alice-home.volumes.opensandbox.io/storage: 10Gi   the claim alice-home
//
// The structured form is one annotation with a JSON or YAML list of objects:
//
//	volumes.opensandbox.io/claims: '[{"claimName":"alice-home","storage":"10Gi"}]'
//
// # Precedence
//
// For each field the first hit wins: the pod's claim-scoped annotations (flat
// and structured are one rank), its claim-scoped labels, its pod-wide
// annotations, its pod-wide labels; the same four of the pod's owner; the
// Namespace's pod-wide annotations; the fallback. Two different values at one
// rank are a [Fault].
//
// # Docker
//
// A [Container] has labels only, and they take the place of a pod's annotations:
// flat, with any characters in their values, and structured. There is no owner
// and no Namespace. Otherwise a hint means the same: one table of tests is run
// for both. What a runtime cannot do with a field ([Table] says which) is not
// decided here, and names are judged by [CheckName] or [CheckVolumeName].
package claim
