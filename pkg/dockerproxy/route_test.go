package dockerproxy

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

func TestRoute(t *testing.T) {
	for _, row := range []struct {
		line string // perhaps with headers
		want way
		path string
	}{
		{"POST /containers/create", createContainer, "/containers/create"},
		{"POST /v1.41/containers/create?name=x", createContainer, "/v1.41/containers/create"},
		{"POST /v9.9.9/containers/create", createContainer, "/v9.9.9/containers/create"},
		{"POST //v1.41//containers///create", createContainer, "/v1.41/containers/create"},
		{"POST /v1.41/../containers/create", createContainer, "/containers/create"},
		{"POST /x/../v1.41/./containers/create/", createContainer, "/v1.41/containers/create"},
		{"POST /containers/%63reate", createContainer, "/containers/create"},
		{"POST /containers%2Fcreate", createContainer, "/containers/create"},
		{"POST /v1.41/%2e%2e/containers/create", createContainer, "/containers/create"},
		{"POST http://engine/containers/create", createContainer, "/containers/create"},
		{"post /containers/create", createContainer, "/containers/create"},
		{"POST /v1.41/volumes/create", createVolume, "/v1.41/volumes/create"},
		{"POST /v1.23/containers/a/start", startContainer, "/v1.23/containers/a/start"},
		{"POST /containers/a/attach?stdin=1", carried, "/containers/a/attach"},
		{"POST /v1.41/exec/a/start", carried, "/v1.41/exec/a/start"},
		{"GET /containers/create", pass, "/containers/create"},
		{"POST /v1.41/build", pass, "/v1.41/build"},
		{"POST /build/prune", pass, "/build/prune"},
		{"PUT /v1.41/containers/a/archive?path=/", pass, "/v1.41/containers/a/archive"},
		{"GET /containers/a/archive?path=/", carried, "/containers/a/archive"},
		{"HEAD /containers/a/archive?path=/", pass, "/containers/a/archive"},
		{"GET /containers/a/export", carried, "/containers/a/export"},
		{"GET /images/get?names=a", carried, "/images/get"},
		{"GET /images/registry/a:b/get", carried, "/images/registry/a:b/get"},
		{"POST /images/load", pass, "/images/load"},
		{"POST /images/a/load", pass, "/images/a/load"},
		{"GET /images/json", pass, "/images/json"},
		{"put /containers/a/archive", pass, "/containers/a/archive"},
		{"GET /images/get HTTP/1.1\r\nUpgrade: tcp\r\nX: y", pass, "/images/get"},
		{"GET /images/get HTTP/1.0\r\nX: y", pass, "/images/get"},
		{"GET /images/get HTTP/1.1\r\nContent-Length: 1\r\nX: y", pass, "/images/get"},
		{"GET /images/get HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX: y", pass, "/images/get"},
		{"OPTIONS *", refused, ""},
		{"PRI *", refused, ""},
	} {
		head := row.line
		if !strings.Contains(head, " HTTP/1") {
			head += " HTTP/1.1"
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "\r\nHost: x\r\n\r\n")))
		if err != nil {
			t.Errorf("%s: %v", row.line, err)
			continue
		}
		if got, canonical := route(r); got != row.want || canonical != row.path {
			t.Errorf("%s: got %d %q, want %d %q", row.line, got, canonical, row.want, row.path)
		}
	}
}
