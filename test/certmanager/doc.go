// Package certmanager decodes the objects of config/certs strictly, with cert-manager's own types. It has a module of its
// own, so that they are no requirement of the product.
package certmanager
