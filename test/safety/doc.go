// Package safety is the property test of the safety net, on a real API server
// with kube-controller-manager: random steps of people, of controllers and of
// the cluster, while the replicas of the webhook are killed, frozen and started,
// and rules that hold whatever happens.
//
// Several actors take steps at the same time, each in namespaces of its own, so
// that what an actor does next depends on its random numbers and on what came of
// its own steps. The seed is printed, and -seed takes it again; the actors and
// the product race, so the same seed asks for the same steps and need not meet
// the same moments.
//
// What is held:
//
//   - No claim that our account did not create is ever written or deleted by it.
//     Of those that it created it writes the ownerReferences and one annotation.
//     This is read from the API server's audit log.
//   - No claim that was ever Bound is deleted by our account. The garbage
//     collector deletes claims of ours only, whose owner was deleted, and where a
//     pod of that owner had asked for it.
//   - No orphan is deleted that a pod had referred to for a while.
//   - In namespaces that were never enabled there is nothing of ours.
//   - At last each Pending pod of an enabled namespace has its claims, or an Event
//     on it and on its controller with a reason that the test has made itself.
//   - At last no claim that goes with its sandbox has a second user.
//
// What the rules compare with is the test's own record of what it did
// (ledger), and what a watch and the audit log have seen; nothing of the
// product's code is asked.
package safety
