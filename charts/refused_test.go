package charts_test

import (
	"strings"
	"testing"
)

// TestRefused: what is not a value of the chart, or not of its kind, is refused before anything is installed, and the
// person reads which value it is and what it may be.
func TestRefused(t *testing.T) {
	for values, says := range map[string]string{
		"failurePolicy: ignore":                            "'/failurePolicy': value must be one of 'Ignore', 'Fail'",
		"missingStorageClass: maybe":                       "'/missingStorageClass': value must be one of 'deny', 'warn', 'off'",
		"certificates: {mode: self}":                       "'/certificates/mode': value must be one of 'builtin', 'cert-manager', 'secret'",
		"logLevel: 4":                                      "'/logLevel': value must be one of 'debug', 'info', 'warn', 'error'",
		"image: {pullPolicy: Sometimes}":                   "'/image/pullPolicy': value must be one of '', 'Always', 'IfNotPresent', 'Never'",
		"defaultStorage: 10":                               "'/defaultStorage': got number, want string",
		"defaultStorage: 10 GB":                            "'/defaultStorage': '10 GB' does not match pattern",
		"defaultStorage: 0Gi":                              "'/defaultStorage': '0Gi' does not match pattern",
		"goMemLimit: 200Mi":                                "'/goMemLimit': '200Mi' does not match pattern '^([1-9][0-9]*(B|KiB|MiB|GiB)|off)$'",
		`volumeAutoCreate: "no"`:                           "'/volumeAutoCreate': got string, want boolean",
		"timeoutSeconds: 60":                               "'/timeoutSeconds': maximum: got 60, want 30",
		"certificates: {leafLifetime: 10 days}":            "'/certificates/leafLifetime': '10 days' does not match pattern '^([1-9][0-9]*(h|m|s))+$'",
		"maxConnections: 5":                                "'/maxConnections': minimum: got 5, want 10",
		"replicas: 0":                                      "'/replicas': minimum: got 0, want 1",
		"image: {tag: 1.0}":                                "'/image/tag': got number, want string",
		"image: ensure-volumes:dev":                        "'/image': got string, want object",
		"image: {repository: null}":                        "'/image': missing property 'repository'",
		"volumeAutocreate: false":                          "additional properties 'volumeAutocreate' not allowed",
		"namespaceLabel: {a: b}":                           "additional properties 'namespaceLabel' not allowed",
		"certificates: {issuers: {}}":                      "'/certificates': additional properties 'issuers' not allowed",
		"certificates: {issuer: {name: a}}":                `certificates.issuer.name: with certificates.mode "builtin" no issuer is asked; leave it empty, or set the mode to "cert-manager"`,
		"ownerKinds: [{kind: Sandbox}]":                    "'/ownerKinds/0': missing properties 'group', 'resource'",
		`safetyNet: {enabled: "yes"}`:                      "'/safetyNet/enabled': got string, want boolean",
		"safetyNet: {deleteOrphanedClaims: 10m}":           "'/safetyNet/deleteOrphanedClaims': got string, want boolean",
		"safetyNet: false":                                 "'/safetyNet': got boolean, want object",
		"ownerKinds: Sandbox.a.b/s":                        "'/ownerKinds': got string, want array",
		"labels: {a: 1}":                                   "'/labels/a': got number, want string",
		"affinity: {nodeAffinty: {}}":                      "'/affinity': additional properties 'nodeAffinty' not allowed",
		"tolerations: [{key: a, efect: b}]":                "'/tolerations/0': additional properties 'efect' not allowed",
		"resources: {limits: {memroy: 1Gi}}":               "'/resources/limits': additional properties 'memroy' not allowed",
		"resources: {limits: {memory: 1 GB}}":              "'/resources/limits/memory': '1 GB' does not match pattern",
		"certificates: {mode: secret, caBundle: LS0tLS1C}": "'/certificates/caBundle': 'LS0tLS1C' does not match pattern",
		"certificates: {caBundle: '-----BEGIN CERTIFICATE-----x-----END CERTIFICATE-----'}": `certificates.caBundle: with certificates.mode "builtin" ` +
			`the bundle comes by itself; leave it empty, or set the mode to "secret"`,
		"ownerKinds: [{kind: Sandbox, group: a.b/v1, resource: sandboxes}]": "'/ownerKinds/0/group': 'a.b/v1' does not match pattern",
	} {
		_, stderr, err := command(t, "HELM", "helm", values, "template", name, chart, "--values", "-")
		if err == nil || !strings.Contains(stderr, says) {
			t.Errorf("%s: said %v\n%s\nwant %s", values, err, stderr, says)
		}
	}
}
