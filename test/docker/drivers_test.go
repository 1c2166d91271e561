package docker

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/test/engine"
)

// onShelf is a configuration with classes of another driver.
const onShelf = config + `  shelf:
    driver: ` + pluginDriver + `
    options: {bytes: "{bytes}", tier: slow}
    labels: {class: shelf}
  broken:
    driver: ` + pluginDriver + `
    options: {fault: "the shelf is full"}
`

// TestDrivers holds the rules where the engine has a second volume driver.
func TestDrivers(t *testing.T) {
	e, shelf := withPlugin(t)
	between := interpose(t, e.Socket)
	c := startBefore(t, between.socket, onShelf)
	t.Run("a class has a driver", func(t *testing.T) { classWithDriver(t, e, c, shelf) })
	t.Run("VolumeDriver is carried over", func(t *testing.T) { volumeDriverCarried(t, e, c, shelf) })
	t.Run("an existing volume keeps its driver", func(t *testing.T) { driverKept(t, e, c, shelf) })
	t.Run("removed between, with another driver than the hint's", func(t *testing.T) { driverBetween(t, e, c, between, shelf) })
	t.Run("removed between, with another driver than the caller's", func(t *testing.T) { conflictBetween(t, e, c, between) })
	t.Run("a container that is not yet whole is no user", func(t *testing.T) { halfMade(t, e, c, shelf) })
	t.Run("the driver's words reach the caller", func(t *testing.T) { driversWords(t, e, c) })
}

func classWithDriver(t *testing.T, e *engine.Engine, c *companion, shelf *plugin) {
	_, warnings := makeContainer(t, c.Socket, createBody(`"Binds":["shelved:/data"]`, hints("storageClass", "shelf", "storage", "2Ki")))
	v := look(t, e.Socket, "shelved")
	if !v.ensured("shelf") || v.Driver != pluginDriver || v.Labels["class"] != "shelf" || !shelf.has("shelved", map[string]string{"bytes": "2048", "tier": "slow"}) || len(warnings) > 0 {
		t.Errorf("the volume is %+v, warned %q", v, warnings)
	}
}

func volumeDriverCarried(t *testing.T, e *engine.Engine, c *companion, shelf *plugin) {
	out, errs, code := docker(t, c.Socket, "", "create", "--network", "none", "--volume-driver", pluginDriver, "-v", "driven:/data:ro", "--mount", "type=volume,src=undriven,dst=/mount", image, "sh")
	if code != 0 || errs != "" {
		t.Fatal(errs)
	}
	if v := look(t, e.Socket, "driven"); !v.ensured("") || v.Driver != pluginDriver || !shelf.has("driven", nil) || has(v.Labels, "class") {
		t.Errorf("the Bind's volume is %+v", v)
	}
	// As without us: VolumeDriver is not for Mounts.
	if v := look(t, e.Socket, "undriven"); !v.ensured("standard") || v.Driver != "local" {
		t.Errorf("the Mount's volume is %+v", v)
	}
	if got := inspectContainer(t, e.Socket, strings.TrimSpace(out)); len(got.Mounts) != 2 || got.Mounts[0]["Name"] == "driven" && got.Mounts[0]["RW"] != false {
		t.Errorf("mounted %v", got.Mounts)
	}
	// A class of the same driver is no contradiction, one of another is.
	makeContainer(t, c.Socket, createBody(`"VolumeDriver":"`+pluginDriver+`","Binds":["agreed:/data"]`, hints("storageClass", "shelf", "storage", "1Ki")))
	if v := look(t, e.Socket, "agreed"); !v.ensured("shelf") || !shelf.has("agreed", map[string]string{"bytes": "1024", "tier": "slow"}) {
		t.Errorf("the volume with class and driver is %+v", v)
	}
	code, said := refusal(t, c.Socket, "/containers/create", createBody(`"VolumeDriver":"`+pluginDriver+`","Binds":["torn:/data"]`, hints("storageClass", "ram")))
	if want := "Labels[" + domain + `storageClass]: volume "torn" is given a driver as well; give a class or a driver, not both`; code != 400 || said != want || look(t, e.Socket, "torn") != nil {
		t.Errorf("got %d %s", code, said)
	}
}

func driverKept(t *testing.T, e *engine.Engine, c *companion, shelf *plugin) {
	c.must(t, "volume", "create", "--driver", pluginDriver, "elsewhere")
	if v := look(t, e.Socket, "elsewhere"); v.ensured("") || len(v.Labels) > 0 || !shelf.has("elsewhere", nil) {
		t.Fatalf("a volume with a driver is not ours to change: %+v", v)
	}
	// Neither the default class nor a hint's makes a conflict; both forms.
	for _, host := range []string{`"Binds":["elsewhere:/data"]`, `"Mounts":[{"Type":"volume","Source":"elsewhere","Target":"/data"}]`} {
		_, warnings := makeContainer(t, c.Socket, createBody(host, nil))
		if len(warnings) > 0 {
			t.Errorf("%s: warned %q", host, warnings)
		}
		_, warnings = makeContainer(t, c.Socket, createBody(host, hints("storageClass", "ram")))
		if want := `volume "elsewhere" exists: storageClass "ram" asked, it has ""`; len(warnings) != 1 || warnings[0] != want {
			t.Errorf("%s: warned %q, want %q", host, warnings, want)
		}
	}
	// That the caller's own driver conflicts, the engine says.
	for _, host := range []string{
		`"VolumeDriver":"local","Binds":["elsewhere:/data"]`,
		`"Mounts":[{"Type":"volume","Source":"elsewhere","Target":"/data","VolumeOptions":{"DriverConfig":{"Name":"local"}}}]`,
	} {
		wantCode, want := refusal(t, e.Socket, "/containers/create", createBody(host, nil))
		if code, said := refusal(t, c.Socket, "/containers/create", createBody(host, nil)); code != wantCode || said != want {
			t.Errorf("%s: %d %s, the engine itself %d %s", host, code, said, wantCode, want)
		}
	}
	// POST /volumes/create of it is answered with the volume as it is.
	code, answer, err := call(t.Context(), c.Socket, http.MethodPost, "/volumes/create", `{"Name":"elsewhere"}`)
	if err != nil || code != http.StatusCreated || !strings.Contains(answer, `"Driver":"`+pluginDriver+`"`) {
		t.Errorf("got %d %s, %v", code, answer, err)
	}
}

func driverBetween(t *testing.T, e *engine.Engine, c *companion, b *between, shelf *plugin) {
	for name, row := range map[string]struct {
		host, class string
		options     map[string]string // nil: none
	}{
		"removed-bind":  {`"Binds":["removed-bind:/data"]`, "ram", nil},
		"removed-mount": {`"Mounts":[{"Type":"volume","Source":"removed-mount","Target":"/data"}]`, "ram", nil},
		"removed-same":  {`"Binds":["removed-same:/data"]`, "shelf", map[string]string{"bytes": "1024", "tier": "slow"}},
		"removed-agree": {`"VolumeDriver":"` + pluginDriver + `","Binds":["removed-agree:/data"]`, "shelf", map[string]string{"bytes": "1024", "tier": "slow"}},
	} {
		c.must(t, "volume", "create", "--driver", pluginDriver, name)
		b.when(removeBefore(t, e.Socket, name), nil)
		_, warnings := makeContainer(t, c.Socket, createBody(row.host, hints("storageClass", row.class, "storage", "1Ki")))
		b.when(nil, nil)
		// With the driver that the removed one had: what the caller was warned of stays true.
		v, class := look(t, e.Socket, name), ""
		if row.options != nil {
			class = row.class
		}
		if !v.ensured(class) || v.Driver != pluginDriver || !shelf.has(name, row.options) || v.Labels[domain+"storage"] != "1Ki" || len(warnings) != 2 {
			t.Errorf("%s: the volume is %+v with the options %v, warned %q", name, v, v.Options, warnings)
		}
	}
}

// conflictBetween: the engine would have refused the caller's driver, had the
// volume been there still. Now it is made with that driver, and not bare.
func conflictBetween(t *testing.T, e *engine.Engine, c *companion, b *between) {
	c.must(t, "volume", "create", "--driver", pluginDriver, "conflict")
	b.when(removeBefore(t, e.Socket, "conflict"), nil)
	makeContainer(t, c.Socket, createBody(`"VolumeDriver":"local","Binds":["conflict:/data"]`, nil))
	b.when(nil, nil)
	if v := look(t, e.Socket, "conflict"); !v.ensured("") || v.Driver != "local" {
		t.Errorf("the volume is %+v", v)
	}
}

func driversWords(t *testing.T, e *engine.Engine, c *companion) {
	code, said := refusal(t, c.Socket, "/containers/create", createBody(`"Binds":["unfit:/data"]`, hints("storageClass", "broken")))
	if code/100 == 2 || !strings.Contains(said, "the shelf is full") || look(t, e.Socket, "unfit") != nil {
		t.Errorf("got %d %s", code, said)
	}
}

// halfMade: the engine lists a container before its create has come to its end.
// If it fails there, its volume has had no container, and stays.
func halfMade(t *testing.T, e *engine.Engine, c *companion, shelf *plugin) {
	sweep := func() {
		t.Helper()
		for range 2 { // the second goes after all of the first's sweep
			id, _ := makeContainer(t, c.Socket, createBody(`"Binds":["sweep:/data"]`, hints("deleteOnSandboxTermination", "true")))
			remove(t, e.Socket, id)
			waitFor(t, "the volume goes with its container", func() bool { return look(t, e.Socket, "sweep") == nil })
		}
	}
	mounting, fail := make(chan struct{}), make(chan struct{})
	shelf.whenMounting(func(string) string {
		close(mounting)
		<-fail
		return "the shelf broke"
	})
	defer shelf.whenMounting(nil)
	ended := make(chan string, 1)
	go func() {
		// Mounted at once, for the image's files to be copied there.
		_, answer, err := call(t.Context(), c.Socket, http.MethodPost, "/containers/create?name=half", createBody(`"Binds":["half:/bin"]`, hints("storageClass", "shelf", "deleteOnSandboxTermination", "true")))
		ended <- fmt.Sprint(answer, err)
	}()
	<-mounting
	sweep()
	if slices.Contains(c.recorded(t), "half") {
		t.Error("recorded as used by a container that is not there yet")
	}
	close(fail)
	if said := <-ended; !strings.Contains(said, "the shelf broke") || get(t, e.Socket, "/containers/half/json", new(container)) {
		t.Errorf("the create ended with %s", said)
	}
	sweep()
	if v := look(t, e.Socket, "half"); !v.ensured("shelf") {
		t.Errorf("the volume is %+v", v)
	}
}
