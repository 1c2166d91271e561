// Package e2e shows the whole on a real cluster of one node: the chart, the
// image, replicas that come and go, or do not come for a while, certificates, a
// cluster that is stopped and started, and what the safety net makes of it all.
// `make e2e` runs it, as root; `make test` does not.
//
// Each test has a cluster of its own. What happens often happens a tenth as
// often as with -soak, which `make soak` passes; the assertions are the same. A
// test's figures are printed at its end, and with -soak written to the file that
// -result names.
//
// Load is pods that carry a scheduling gate, each with a claim that nobody has
// made. Every answer to a create counts, also one that a client would repeat by
// itself.
package e2e
