// Package dockerproxy is the Docker companion: a reverse proxy in front of the
// engine's API that ensures the named volumes a container asks for, with the
// hints of package claim read from the container's labels.
//
// A request takes one of five ways ([Proxy]):
//
//  1. POST /containers/create: the body is read as a whole and understood, or
//     refused. Each named volume in HostConfig.Binds and HostConfig.Mounts is
//     looked up; what is missing is judged by its hints and written as a Mount
//     with driver, options and labels, so that the engine makes volume and
//     container in one call. What exists is written as a Mount too, so that its
//     removal in between cannot make it bare. Warnings travel in the answer.
//  2. POST /volumes/create without driver and options: the default class.
//  3. POST /containers/ID/start: with a body it is refused, since old clients
//     could send a HostConfig there.
//  4. POST /containers/ID/attach and /exec/ID/start, and what may have a large
//     answer (save, export, archives): each has a connection of its own, on which
//     all but the head is carried as bytes. Without an Upgrade header the engine
//     answers the first two with a raw stream that no HTTP proxy carries.
//  5. Everything else passes unchanged, other upgrades (101) included.
//
// The way is chosen by the decoded and cleaned path, as the engine's router
// sees it, and the first two send the engine a path and a body of our making:
// no spelling of a request comes past them.
//
// Bodies are edited in place: fields that are not ours keep their bytes. Keys
// are compared as the engine's JSON decoder does, without regard to case; one
// that is ours in another case, or twice, could be read differently by the two
// of us and is refused.
//
// Creates, and the looks for volumes that they wait for, are asked of the engine by hand
// ([Proxy] has the standard library's reverse proxy for what passes unchanged); what else
// the companion itself asks goes through the moby client, which agrees on a version with
// engines from API version 1.40 (Engine 19.03). What it must know of
// volumes that go with their last container is in [State]; [Proxy.Retain] acts on it.
package dockerproxy
