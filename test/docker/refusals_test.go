package docker

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestRefusals: what is wrong with a missing volume is answered in the engine's
// form, with the label named, and nothing comes into being.
func TestRefusals(t *testing.T) {
	c := start(t)
	label := func(key string) string { return "Labels[" + domain + key + "]" }
	for _, row := range []struct {
		labels map[string]string
		text   string // all of it
	}{
		{hints("storage", "10 GB"), label("storage") + `: invalid quantity "10 GB"; write it as "10Gi"`},
		{hints("storage", "0"), label("storage") + `: quantity "0" is not greater than zero; write it like "10Gi"`},
		{hints("storageClass", "slow"), label("storageClass") + `: class "slow" does not exist; write one of ram, standard`},
		{hints("storageClassName", "slow"), label("storageClassName") + `: class "slow" does not exist; write one of ram, standard`},
		{hints("createIfNotExists", "false"), label("createIfNotExists") + `: volume "never" does not exist and must not be created; create it first`},
		{hints("createIfNotExists", "no"), label("createIfNotExists") + `: invalid boolean "no"; write "true" or "false"`},
		{hints("deleteOnSandboxTermination", "1"), label("deleteOnSandboxTermination") + `: invalid boolean "1"; write "true" or "false"`},
		{hints("accessModes", "all"), label("accessModes") + `: `},
		{hints("Storage", "1Gi"), label("Storage") + `: unknown field "Storage"; write it as "storage"`},
		{hints("claims", `[{"claimName":"never","storage":10}]`), label("claims") + `[0].storage: 10 is a number; quote it: "10"`},
		{hints("claims", `[`), label("claims") + `: "[" cannot be read: `},
		{hints("storageClass", "ram", "storageClassName", "standard"), label("storageClassName") + `: "standard" here, but "ram" at ` + label("storageClass") + "; give one value"},
		{map[string]string{"never." + domain + "storage": "ten"}, "Labels[never." + domain + `storage]: invalid quantity "ten"`},
		{hints("storage", "ten", "createIfNotExists", "no"), label("createIfNotExists") + `: invalid boolean "no"; write "true" or "false"; ` + label("storage") + `: invalid quantity "ten"`},
	} {
		for _, host := range []string{`"Binds":["never:/data"]`, `"Mounts":[{"Type":"volume","Source":"never","Target":"/data"}]`} {
			code, said := refusal(t, c.Socket, "/v1.41/containers/create?name=never", createBody(host, row.labels))
			if code != http.StatusBadRequest || !strings.HasPrefix(said, row.text) {
				t.Errorf("%v: %d %s, want %s", row.labels, code, said, row.text)
			}
		}
	}
	// As the CLI shows it, which is how it shows what the engine refuses.
	_, errs, code := docker(t, c.Socket, "", "run", "--rm", "--network", "none", "-v", "never:/data", "--label", domain+"storage=10 GB", image, "sh")
	if want := "Error response from daemon: " + label("storage") + `: invalid quantity "10 GB"; write it as "10Gi"`; code != 125 || !strings.Contains(errs, want) {
		t.Errorf("exit code %d: %s", code, errs)
	}
	// One volume's fault keeps the others from being made, too.
	code, said := refusal(t, c.Socket, "/containers/create", createBody(`"Binds":["never-a:/a","never:/data"]`, map[string]string{"never." + domain + "storage": "ten"}))
	if code != 400 || look(t, shared.Socket, "never-a") != nil {
		t.Errorf("got %d %s", code, said)
	}
	if look(t, shared.Socket, "never") != nil || get(t, shared.Socket, "/containers/never/json", new(container)) {
		t.Error("a volume or a container was created all the same")
	}
}

// TestEngineRefuses: options of a class that the engine does not take, here a
// quota where it has none. Its words reach the caller, and nothing is left but
// what was made before, which is counted.
func TestEngineRefuses(t *testing.T) {
	c := startBefore(t, shared.Socket, config+"  quota:\n    driver: local\n    options: {size: \"{bytes}\"}\n")
	own := `{"Name":"quota","Driver":"local","DriverOpts":{"size":"1048576"}}`
	_, words := refusal(t, shared.Socket, "/volumes/create", own)
	if !strings.Contains(words, "quota size requested but no quota support") {
		t.Fatalf("the engine says %q", words)
	}
	body := createBody(`"Binds":["quota:/data"]`, hints("storageClass", "quota", "storage", "1Mi"))
	if code, said := refusal(t, c.Socket, "/containers/create", body); code != 400 || said != "create quota: "+words && said != words {
		t.Errorf("got %d %s, want %s", code, said, words)
	}
	if got := c.metric(t, "ensure_volumes_volumes_left_total"); got != 0 || look(t, shared.Socket, "quota") != nil {
		t.Errorf("%d volumes are left, %+v", got, look(t, shared.Socket, "quota"))
	}
	// Two volumes, of which the engine refuses the second.
	body = createBody(`"Binds":["before-quota:/before","quota:/data"]`, map[string]string{"quota." + domain + "storageClass": "quota"})
	if code, said := refusal(t, c.Socket, "/containers/create", body); code != 400 || !strings.Contains(said, "no quota support") {
		t.Errorf("got %d %s", code, said)
	}
	if got := c.metric(t, "ensure_volumes_volumes_left_total"); got != 1 || !look(t, shared.Socket, "before-quota").ensured("standard") || look(t, shared.Socket, "quota") != nil {
		t.Errorf("%d volumes are left: %+v and %+v", got, look(t, shared.Socket, "before-quota"), look(t, shared.Socket, "quota"))
	}
}

// TestLimits: names that the engine would not take, and how many volumes.
func TestLimits(t *testing.T) {
	c := start(t)
	for _, name := range []string{"x", "-ab", "a b", "ab/c", "../ab", strings.Repeat("a", 256)} {
		code, said := refusal(t, c.Socket, "/containers/create", createBody(`"Mounts":[{"Type":"volume","Source":"`+name+`","Target":"/data"}]`, nil))
		if code != 400 || !strings.Contains(said, "invalid volume name") {
			t.Errorf("%q: %d %s", name, code, said)
		}
	}
	var binds []string
	for i := range 65 {
		binds = append(binds, fmt.Sprintf(`"limit%02d:/data/%d"`, i, i))
	}
	code, said := refusal(t, c.Socket, "/containers/create", createBody(`"Binds":[`+strings.Join(binds, ",")+`]`, nil))
	if code != 400 || !strings.Contains(said, "65 different volumes, at most 64") || look(t, shared.Socket, "limit00") != nil {
		t.Errorf("got %d %s", code, said)
	}
	makeContainer(t, c.Socket, createBody(`"Binds":[`+strings.Join(binds[1:], ",")+`]`, nil))
	if !look(t, shared.Socket, "limit01").ensured("standard") || !look(t, shared.Socket, "limit64").ensured("standard") {
		t.Error("one of 64 volumes is not ensured")
	}
}

// TestSwitchedOff: a missing volume is a 404, since the engine would create it
// bare; what exists passes as it came, and comes on again with the switch.
func TestSwitchedOff(t *testing.T) {
	c := start(t)
	c.must(t, "volume", "create", "off-exists")
	c.reconfigure(t, "volumeAutoCreate: false\n"+config)
	for _, row := range []struct{ host, hint string }{
		{`"Binds":["off:/data"]`, ""},
		{`"Mounts":[{"Type":"volume","Source":"off","Target":"/data"}]`, ""},
		{`"Binds":["off-exists:/exists","off:/data"]`, "ram"},
		{`"VolumeDriver":"local","Binds":["off:/data:Z"]`, "no such class"},
		{`"Mounts":[{"Type":"volume","Source":"off","Target":"/data","VolumeOptions":{"DriverConfig":{"Name":"local"}}}]`, ""},
	} {
		code, said := refusal(t, c.Socket, "/v1.41/containers/create", createBody(row.host, hints("storageClass", row.hint)))
		if want := `volume "off" does not exist, and the companion is switched off (volumeAutoCreate: false); create it first`; code != http.StatusNotFound || said != want {
			t.Errorf("%s: %d %s", row.host, code, said)
		}
	}
	body := createBody(`"Binds":["off:/data"]`, nil)
	conn, response := exchange(t, c.Socket, fmt.Sprintf("POST /v1.41/containers/create HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	defer conn.Close()
	if content, err := io.ReadAll(response.Body); err != nil || response.Status != "404 Not Found" || response.Header.Get("Content-Type") != "application/json" ||
		string(content) != `{"message":"volume \"off\" does not exist, and the companion is switched off (volumeAutoCreate: false); create it first"}`+"\n" {
		t.Errorf("raw: %s %v %q, %v", response.Status, response.Header, content, err)
	}
	_, errs, code := docker(t, c.Socket, "", "create", "--pull", "never", "--network", "none", "-v", "off:/data", image, "sh")
	if code == 0 || !strings.Contains(errs, "switched off") || look(t, shared.Socket, "off") != nil {
		t.Errorf("exit code %d: %s", code, errs)
	}
	id, warnings := makeContainer(t, c.Socket, createBody(`"Binds":["off-exists:/data"]`, hints("storageClass", "ram")))
	if got := inspectContainer(t, shared.Socket, id).HostConfig; len(got.Mounts) > 0 || len(got.Binds) != 1 || len(warnings) != 1 {
		t.Errorf("an existing volume: %+v, warned %q", got, warnings)
	}
	c.must(t, "volume", "create", "off-posted") // the caller's own doing; we make nothing of it
	if v := look(t, shared.Socket, "off-posted"); v == nil || len(v.Labels) > 0 {
		t.Errorf("the volume of POST /volumes/create is %+v", v)
	}
	c.reconfigure(t, config)
	makeContainer(t, c.Socket, body)
	if v := look(t, shared.Socket, "off"); !v.ensured("standard") {
		t.Errorf("switched on again the volume is %+v", v)
	}
}
