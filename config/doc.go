// Package config holds what installs the webhook on a cluster, the kustomize base in webhook and in certs the component
// that has cert-manager make its certificate, and in companion what runs the companion beside an engine: a systemd unit, a
// compose file and a configuration. There is no code here; the package's tests render the manifests with kubectl, have
// systemd and the companion read their files, and hold what they promise.
package config
