// Command dockerbench measures what the companion costs: the same containers,
// asked for straight from an engine of its own, through the companion's binary in front of it,
// through the standard library's reverse proxy and through the least that a proxy can be,
// one after the other in one run, and prints a table in Markdown for docs/performance.md. `make bench-docker` runs it;
// `make test` runs the same code with few rounds and little data.
//
// It speaks the engine's API by itself, on connections that are kept, so that
// nothing of a client's own time hides a difference.
package main
