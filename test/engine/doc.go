// Package engine runs a Docker engine of its own, and the companion's binary in
// front of it, for tests, demonstrations and benchmarks. The engine has a data
// root, a socket and a configuration in its own folder and shares nothing with
// another one on the machine; it has no network but the containers' loopback.
//
// It needs root, dockerd, docker and a static busybox; `make engine-packages`
// installs what is missing.
package engine
