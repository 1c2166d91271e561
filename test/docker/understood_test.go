package docker

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// TestNothingSlips: however a create is spelled, the volume is not bare.
func TestNothingSlips(t *testing.T) {
	c := start(t)
	for i, path := range []string{
		"/containers/create", "//containers/create", "/v1.41//containers/create", "/containers/%63reate", "/v1.41/%2e%2e/containers/create",
		"/v1.41/../containers/create", "/containers%2Fcreate", "/v1.12/containers/create", "/v9.99/containers/create", "/containers/create/",
	} {
		name := "slip" + string(rune('a'+i))
		code, body := post(t, c.Socket, path, `{"Image":"`+image+`","Cmd":["sh"],"HostConfig":{"Binds":["`+name+`:/data"],"NetworkMode":"none"}}`)
		v := inspect(t, name)
		if (code == 201) != (v != nil) || v != nil && v.Labels["class"] != "standard" {
			t.Errorf("%s: %d %s: the volume is %+v", path, code, body, v)
		}
	}
	for _, body := range []string{
		`{"Image":"` + image + `","Cmd":["sh"],"Binds":["bare:/data"]}`,
		`{"Image":"` + image + `","Cmd":["sh"],"hostconfig":{"Binds":["bare:/data"]}}`,
		`{"Image":"` + image + `","Cmd":["sh"],"HostConfig":{},"HostConfig":{"Binds":["bare:/data"]}}`,
		`{"Image":"` + image + `","Cmd":["sh"],"HostConfig":{"Binds":["bare:/data"]},"x":"` + strings.Repeat("x", 4<<20) + `"}`,
		`{"Image":"` + image + `"`, ``, `{}{}`,
	} {
		if code, said := post(t, c.Socket, "/containers/create", body); code/100 != 4 || !strings.HasPrefix(said, `{"message":"`) {
			t.Errorf("%.100s: %d %s", body, code, said)
		}
	}
	if inspect(t, "bare") != nil {
		t.Error("a volume slipped past")
	}
}

// TestFraming: a body is what its framing says, and nothing behind it counts.
func TestFraming(t *testing.T) {
	c := start(t)
	body := `{"Image":"` + image + `","Cmd":["sh"],"HostConfig":{"Binds":["framed:/data"],"NetworkMode":"none"}}`
	half := len(body) / 2
	head := "POST /v1.41/containers/create HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
	for _, row := range []struct {
		rule, request string
		code          int
	}{
		{"chunked", fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", head, half, body[:half], len(body)-half, body[half:]), 201},
		{"upgrading", fmt.Sprintf("%sConnection: Upgrade, HTTP2-Settings\r\nUpgrade: tcp\r\nHTTP2-Settings: AA\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body), 201},
		{"to HTTP/2", fmt.Sprintf("%sConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body), 400},
		{"too short a length", fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, half, body), 400},
		{"two framings", fmt.Sprintf("%sTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body), 501},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
	} {
		conn, response := exchange(t, c.Socket, row.request)
		conn.Close()
		if response.StatusCode != row.code {
			t.Errorf("%s: %s", row.rule, response.Status)
		}
	}
	conn, err := net.Dial("unix", c.Socket)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", head, len(body)+10, strings.Replace(body, "framed", "torn", 1))
	conn.Close()
	if v := inspect(t, "framed"); v == nil || v.Labels["class"] != "standard" {
		t.Errorf("the volume is %+v", v)
	}
	if inspect(t, "torn") != nil {
		t.Error("a body that did not come whole was passed on")
	}
}
