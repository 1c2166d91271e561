// Package reconcile is the safety net: what admission missed heals by itself, and
// nothing is ever lost.
//
// Admission creates claims before their pods, but it can be down, a claim can be
// deleted under a pod that waits, and a namespace can be switched on after its
// pods. A [Net] sees to the pods that wait: those whose claims are missing get
// them, by the same [provision.Ensurer] as at admission. What cannot be created
// becomes an Event on the pod and on its controller, in the denial's words.
//
// # Who does what
//
// Every replica watches ([Net.Watch]), so that whoever leads knows everything at
// once; one acts at a time ([Net.Lead], run by [Election]). Two that act at the
// same time do no harm: creating is idempotent, Events have names that follow from
// what they say, and what changes or deletes a claim is bound to its version.
//
// # Which pods
//
// Only Pending pods are watched: a pod that runs has its claims. What a pod that
// is not Pending any more may have to do with (a claim that is another sandbox's
// alone, a claim that looks abandoned) is asked of the API server, rarely.
//
// # What is written, besides missing claims
//
//   - Events.
//   - An ownerReference of ours is dropped where a claim that goes with its
//     sandbox has a second user: in doubt, keep.
//   - Where the operator wants it, claims that we created, that were never bound
//     and that no pod refers to are deleted, after ten minutes.
//
// A claim that others created is never written to.
package reconcile
