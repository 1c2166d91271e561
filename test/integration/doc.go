// Package integration holds the tests of ensure-volumes on a real API server:
// the shipped config/webhook, the webhook acting as the shipped ServiceAccount,
// and pods created by a user who may create pods and no claims.
//
// One control plane serves all tests. Those that change what is everybody's
// (the webhook's flags, its ClusterRole, the cluster's classes) run one after
// the other and put it back; all others are parallel, each in a namespace of
// its own.
package integration
