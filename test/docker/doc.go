// Package docker holds the tests of the Docker companion on a real engine, with
// the docker CLI. They need root, dockerd, docker and a static busybox, and start
// an engine of their own that shares nothing with another one:
//
//	go test -tags engine ./test/docker
//
// The tag keeps them out of `make test` for as long as it does not bring an engine.
package docker
