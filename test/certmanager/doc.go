// Package certmanager decodes what config/certs and the chart ask of cert-manager strictly, with cert-manager's own types.
// It has a module of its own, so that they are no requirement of the product.
package certmanager
