// Package config holds what installs the webhook on a cluster: the kustomize base in webhook, and in certs the component
// that has cert-manager make its certificate. There is no code here; the package's tests render both with kubectl and
// hold what the manifests promise.
package config
