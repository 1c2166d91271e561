// Package faulty is a proxy in front of an API server that lets some of the calls through it go wrong, in the ways in
// which servers and networks do. Everything else passes as it is, watches included.
package faulty
