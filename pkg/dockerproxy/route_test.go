package dockerproxy

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

func TestRoute(t *testing.T) {
	for _, row := range []struct {
		line string
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
		{"POST /containers/a/attach?stdin=1", stream, "/containers/a/attach"},
		{"POST /v1.41/exec/a/start", stream, "/v1.41/exec/a/start"},
		{"GET /containers/create", pass, "/containers/create"},
		{"POST /v1.41/build", pass, "/v1.41/build"},
		{"POST /vx/containers/create", pass, "/vx/containers/create"},
		{"OPTIONS *", refused, ""},
		{"PRI *", refused, ""},
	} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(row.line + " HTTP/1.1\r\nHost: x\r\n\r\n")))
		if err != nil {
			t.Errorf("%s: %v", row.line, err)
			continue
		}
		if got, canonical := route(r); got != row.want || canonical != row.path {
			t.Errorf("%s: got %d %q, want %d %q", row.line, got, canonical, row.want, row.path)
		}
	}
}
