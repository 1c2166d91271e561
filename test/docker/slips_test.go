package docker

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// creating is one of the two ways by which a volume comes into being.
type creating struct {
	path, plural string // of the API
	body         func(volume string) string
	ambiguous    []string // bodies that two readers could read differently; the volume is "bare"
}

var ways = []creating{
	{"/containers/create", "containers", func(volume string) string {
		return `{"Image":"` + image + `","Cmd":["sh"],"HostConfig":{"Binds":["` + volume + `:/data"],"NetworkMode":"none"}}`
	}, []string{
		`null`,
		`{"Image":"` + image + `","Cmd":["sh"],"Binds":["bare:/data"]}`,
		`{"Image":"` + image + `","Cmd":["sh"],"hostconfig":{"Binds":["bare:/data"]}}`,
		`{"Image":"` + image + `","Cmd":["sh"],"Ho` + "\u017f" + `tConfig":{"Binds":["bare:/data"]}}`, // a long s, which JSON in Go takes for an s
		`{"Image":"` + image + `","Cmd":["sh"],"HostConfig":{"BINDS":["bare:/data"]}}`,
		`{"Image":"` + image + `","Cmd":["sh"],"HostConfig":{"mounts":[{"Type":"volume","Source":"bare","Target":"/data"}]}}`,
		`{"Image":"` + image + `","Cmd":["sh"],"HostConfig":{"Mounts":[{"Type":"bind","type":"volume","Source":"bare","Target":"/data"}]}}`,
		`{"Image":"` + image + `","Cmd":["sh"],"HostConfig":{"Mounts":[{"Type":"volume","Source":"other","Source":"bare","Target":"/data"}]}}`,
		`{"Image":"` + image + `","Cmd":["sh"],"HostConfig":{},"HostConfig":{"Binds":["bare:/data"]}}`,
		`{"Image":"` + image + `","Cmd":["sh"],"HostConfig":{},"Host\u0043onfig":{"Binds":["bare:/data"]}}`,
		`{"Image":"` + image + `","Cmd":["sh"],"HostConfig":{"Binds":[],"Binds":["bare:/data"]}}`,
		`{"Image":"` + image + `","Cmd":["sh"],"HostConfig":{"Binds":["bare:/data"]},"Labels":{"a":"1","a":"2"}}`,
	}},
	{"/volumes/create", "volumes", func(volume string) string { return `{"Name":"` + volume + `","Labels":{"own":"1"}}` }, []string{
		`{"name":"bare"}`,
		`{"Name":"other","Name":"bare"}`,
		`{"Name":"other","N\u0061me":"bare"}`,
		`{"Name":"bare","driver":"local"}`,
		`{"Name":"bare","DriverOpt` + "\u017f" + `":{"type":"tmpfs","device":"tmpfs"}}`,
		`{"Name":"bare","Driver":"","Driver":"local"}`,
		`{"Name":"bare","Labels":{"a":"1","a":"2"}}`,
		`{"Name":"bare","labels":{"a":"1"}}`,
	}},
}

// head is a request up to its framing.
func (w creating) head() string {
	return "POST /v1.41" + w.path + " HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
}

// whole is a request as it should be.
func (w creating) whole(body string) string {
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", w.head(), len(body), body)
}

// checkMade: a create that was answered with 201 has made the volume, of the
// default class; any other has not.
func checkMade(t *testing.T, what, volume string, code int) {
	t.Helper()
	v := inspect(t, volume)
	if (code == http.StatusCreated) != (v != nil) || v != nil && v.Labels["class"] != "standard" {
		t.Errorf("%s: answered with %d; the volume is %+v", what, code, v)
	}
}

// TestSpellings: however the path of a create is spelled, it is seen.
func TestSpellings(t *testing.T) {
	c := start(t)
	for _, w := range ways {
		for i, row := range []struct {
			path string
			code int
		}{
			{w.path, 201}, // no version
			{"/v1.41" + w.path, 201},
			{"/v1.12" + w.path, 201},
			{"/v1.11" + w.path, 400}, // older than the engine takes
			{"/v9.99" + w.path, 400}, // newer than it knows
			{"/v1" + w.path, 400},
			{"/vx" + w.path, 404},
			{"/" + w.path, 201},
			{"/v1.41/" + w.path, 201},
			{"//v1.41//" + w.plural + "///create", 201},
			{"/v1.41/.." + w.path, 201},
			{"/v1.41/." + w.path, 201},
			{"/v1.41/%2e%2e" + w.path, 201},
			{"/" + w.plural + "/%63reate", 201},
			{"/%" + fmt.Sprintf("%x", w.plural[0]) + w.plural[1:] + "/create", 201},
			{"/" + w.plural + "%2Fcreate", 201},
			{"/" + w.plural + "%2fcreate", 201},
			{"%2F" + w.plural + "/create", 400},
			{w.path + "/", 201},
			{w.path + "/../create", 201},
			{w.path + "?x=/containers/json", 201},
			{w.path + "#x", 404},
			{w.path + ";x", 404},
			{w.path + "%00", 404},
			{"/" + strings.ToUpper(w.plural) + "/create", 404},
			{"http://docker" + w.path, 201},
		} {
			name := fmt.Sprintf("spelled-%s-%d", w.plural, i)
			code, _ := post(t, c.Socket, row.path, w.body(name))
			if code != row.code {
				t.Errorf("%s: answered with %d, want %d", row.path, code, row.code)
			}
			checkMade(t, row.path, name, code)
		}
	}
}

// TestBodies: a body that is not understood, or too long, reaches nobody.
func TestBodies(t *testing.T) {
	c := start(t)
	for _, w := range ways {
		bare := w.body("bare")
		for _, body := range append([]string{
			``, ` `, `[]`, `1`, `"bare"`, `{}{}`, bare + bare, bare + "x", bare[:len(bare)-1], "\ufeff" + bare, "\x00" + bare,
			strings.ReplaceAll(bare, `"`, `'`), strings.Replace(bare, `{`, `{,`, 1),
		}, w.ambiguous...) {
			code, said := post(t, c.Socket, w.path, body)
			if code != 400 || !strings.HasPrefix(said, `{"message":"`) {
				t.Errorf("%s %.100q: %d %s", w.path, body, code, said)
			}
		}
		if inspect(t, "bare") != nil {
			t.Errorf("%s: a volume slipped past", w.path)
		}

		const most = 4 << 20
		for _, row := range []struct{ length, code int }{{most - 1, 201}, {most, 201}, {most + 1, 413}} {
			name := fmt.Sprintf("long-%s-%d", w.plural, row.length)
			body := w.body(name)
			body = body[:len(body)-1] + `,"Unknown":"` + strings.Repeat("x", row.length-len(body)-len(`,"Unknown":""`)) + `"}`
			if len(body) != row.length {
				t.Fatal(len(body))
			}
			for _, framing := range []string{fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body), fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)} {
				conn, response := exchange(t, c.Socket, w.head()+framing)
				conn.Close()
				if response.StatusCode != row.code {
					t.Errorf("%s of %d bytes, %.20s: %s", w.path, row.length, framing, response.Status)
				}
				checkMade(t, w.path, name, response.StatusCode)
			}
		}
	}
}
