// Package stack sets up what tests and people try ensure-volumes on: a real
// Kubernetes control plane on this machine, the shipped manifests of
// config/webhook installed on it, and the webhook as a process that acts with a
// token of the shipped ServiceAccount.
//
// There is one way to install, this one, so that what is tried by hand and what
// the tests hold are the same thing.
package stack
