package dockerproxy

import (
	"net/http"
	"path"
	"strings"
)

// The ways a request can take.
type way uint8

const (
	pass way = iota
	createContainer
	createVolume
	startContainer
	carried // may become a stream, or be answered by a large body
	refused
)

// route chooses a request's way, and the path by which the engine is asked
// where the way is not pass. It looks at the decoded path, cleaned, because
// that is what the engine's router matches; an escape, a doubled slash or a dot
// cannot tell the two apart.
func route(r *http.Request) (w way, canonical string) {
	if r.Method == "PRI" || r.URL.Path == "" || r.URL.Path[0] != '/' {
		// The beginning of an HTTP/2 connection would be a tunnel past us.
		return refused, ""
	}
	canonical = path.Clean(r.URL.Path)
	p := strings.Split(strings.TrimPrefix(canonical, "/"), "/")
	if version(p[0]) {
		p = p[1:]
	}
	if isBulk(r, p) {
		return carried, canonical
	}
	if !strings.EqualFold(r.Method, http.MethodPost) {
		return pass, canonical
	}
	last := len(p) - 1
	switch {
	case last == 1 && p[0] == "containers" && p[1] == "create":
		return createContainer, canonical
	case last == 1 && p[0] == "volumes" && p[1] == "create":
		return createVolume, canonical
	case last >= 2 && p[0] == "containers" && p[last] == "start":
		return startContainer, canonical
	case last >= 2 && p[0] == "containers" && p[last] == "attach",
		last >= 2 && p[0] == "exec" && p[last] == "start":
		return carried, canonical
	}
	return pass, canonical
}

// version reports whether a path's first part is an API version, as the engine's
// router has it: v and digits or dots.
func version(part string) bool {
	return len(part) > 1 && part[0] == 'v' && strings.Trim(part[1:], "0123456789.") == ""
}

// tunnels reports whether an upgrade to HTTP/2 is asked for where it is not
// BuildKit's own: requests in it would come past us.
func tunnels(r *http.Request, canonical string) bool {
	for _, protocol := range r.Header.Values("Upgrade") {
		if strings.Contains(strings.ToLower(protocol), "h2c") {
			base := path.Base(canonical)
			return base != "session" && base != "grpc"
		}
	}
	return false
}
