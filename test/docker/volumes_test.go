package docker

import (
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
)

func TestMissingVolume(t *testing.T) {
	c := start(t)
	out, warnings := c.must(t, "run", "--rm", "--network", "none", "-v", "made:/data", "--label", domain+"storageClass=ram",
		"--label", "made."+domain+"storage=1Mi", image, "busybox", "df", "-k", "/data")
	if warnings != "" || !strings.Contains(out, "1024") {
		t.Errorf("got %q and warnings %q, want a tmpfs of 1024 KiB", out, warnings)
	}
	v := inspect(t, "made")
	if v == nil || v.Options["o"] != "size=1048576" || v.Labels[domain+"storageClass"] != "ram" || v.Labels[domain+"storage"] != "1Mi" ||
		v.Labels["app.kubernetes.io/managed-by"] != "ensure-volumes" {
		t.Errorf("the volume is %+v", v)
	}
}

func TestData(t *testing.T) {
	c := start(t)
	c.must(t, "run", "--rm", "--network", "none", "-v", "shared:/data", image, "sh", "-c", "echo hello >/data/f")
	first := inspect(t, "shared")
	out, warnings := c.must(t, "run", "--rm", "--network", "none", "--mount", "type=volume,src=shared,dst=/data,readonly", "--label",
		domain+"storageClass=ram", image, "busybox", "cat", "/data/f")
	if out != "hello\n" || !strings.Contains(warnings, `storageClass "ram" asked, it has "standard"`) {
		t.Errorf("got %q and warnings %q", out, warnings)
	}
	if second := inspect(t, "shared"); first == nil || second == nil || !maps.Equal(first.Labels, second.Labels) {
		t.Errorf("the volume was %+v and is %+v", first, second)
	}
}

func TestRefusals(t *testing.T) {
	c := start(t)
	for _, row := range []struct{ label, text string }{
		{"storage=10 GB", `Labels[volumes.opensandbox.io/storage]: invalid quantity "10 GB"; write it as "10Gi"`},
		{"storageClass=slow", `class "slow" does not exist; write one of ram, standard`},
		{"createIfNotExists=false", `volume "never" does not exist and must not be created`},
	} {
		_, errs, code := docker(t, c.Socket, "", "create", "--network", "none", "-v", "never:/data", "--label", domain+row.label, image, "sh")
		if code == 0 || !strings.Contains(errs, "Error response from daemon: ") || !strings.Contains(errs, row.text) {
			t.Errorf("%s: exit code %d: %s", row.label, code, errs)
		}
	}
	if inspect(t, "never") != nil {
		t.Error("the volume was created all the same")
	}
}

func TestSwitchedOff(t *testing.T) {
	c := start(t)
	c.reconfigure(t, "volumeAutoCreate: false\n"+config)
	_, errs, code := docker(t, c.Socket, "", "create", "--pull", "never", "--network", "none", "-v", "off:/data", image, "sh")
	if code == 0 || !strings.Contains(errs, "switched off") || inspect(t, "off") != nil {
		t.Errorf("exit code %d: %s; the volume is %+v", code, errs, inspect(t, "off"))
	}
}

func TestManyAtOnce(t *testing.T) {
	c := start(t)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if _, errs, code := docker(t, c.Socket, "", "create", "--network", "none", "-v", "many:/data", image, "sh"); code != 0 {
				t.Error(errs)
			}
		})
	}
	wg.Wait()
	if v := inspect(t, "many"); v == nil || v.Labels["class"] != "standard" {
		t.Errorf("the volume is %+v", v)
	}
}

// TestVolumeCreate: an OpenSandbox server's sequence; it gives a name and one label, no driver.
func TestVolumeCreate(t *testing.T) {
	c := start(t)
	if code, body := post(t, c.Socket, "/v1.41/volumes/create", `{"Name":"posted","Driver":null,"Labels":{"own":"1"}}`); code != 201 {
		t.Fatalf("%d: %s", code, body)
	}
	if v := inspect(t, "posted"); v == nil || v.Labels["class"] != "standard" || v.Labels["own"] != "1" {
		t.Errorf("the volume is %+v", v)
	}
	c.create(t, "-v", "posted:/data", image, "sh")
}

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
