// Package examples holds manifests to start from. tenant: what bounds a tenant's claims. opensandbox: requests and
// manifests of docs/opensandbox.md. sandbox.yaml: a pod to try with.
// There is no code here; the package's tests hold that the manifests are valid.
package examples
