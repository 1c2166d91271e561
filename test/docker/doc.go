// Package docker holds the tests of the Docker companion: its binary, in front
// of a real engine that the tests start for themselves, with the clients that
// people use. They need root and what `make engine-packages` installs.
package docker
