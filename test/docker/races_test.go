package docker

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestHundredAtOnce: a hundred containers of one missing volume, of which every
// create has found it missing before the engine gets the first.
func TestHundredAtOnce(t *testing.T) {
	const many = 100
	between := interpose(t, shared.Socket)
	c := startBefore(t, between.socket, config)
	var arrived sync.WaitGroup
	arrived.Add(many)
	between.when(func(r *http.Request) {
		if isCreate(r) {
			arrived.Done()
			arrived.Wait()
		}
	}, nil)
	var running sync.WaitGroup
	ids, body := make([]string, many), createBody(`"Binds":["hundred:/data"]`, hints("storageClass", "ram", "storage", "1Mi", "deleteOnSandboxTermination", "true"))
	for i := range many {
		running.Go(func() { ids[i], _ = makeContainer(t, c.Socket, body) })
	}
	running.Wait()
	if t.Failed() {
		return
	}
	if looked := between.requests("GET /volumes/hundred"); len(looked) < many {
		t.Errorf("%d creates looked %d times", many, len(looked))
	}
	v := look(t, shared.Socket, "hundred")
	if !v.ensured("ram") || !maps.Equal(v.Options, ram("1048576")) || v.Labels[domain+"storage"] != "1Mi" {
		t.Errorf("the volume is %+v", v)
	}
	for _, id := range ids {
		if got := inspectContainer(t, shared.Socket, id); len(got.Mounts) != 1 || got.Mounts[0]["Name"] != "hundred" {
			t.Errorf("mounted %v", got.Mounts)
		}
	}
	if got := c.recorded(t); !slices.Equal(got, []string{"hundred"}) {
		t.Errorf("recorded are %q", got)
	}
	remove(t, shared.Socket, ids[1:]...)
	time.Sleep(300 * time.Millisecond) // of no consequence if too short
	if look(t, shared.Socket, "hundred") == nil {
		t.Error("the volume is gone before its last container")
	}
	remove(t, shared.Socket, ids[0])
	if !gone(t, "hundred") {
		t.Error("the volume outlived its last container")
	}
}

// TestRemovedBetween: a volume that is removed after the companion has looked and
// before the engine does is made as its hints ask.
func TestRemovedBetween(t *testing.T) {
	between := interpose(t, shared.Socket)
	c := startBefore(t, between.socket, config)
	for i, row := range []struct {
		rule, host, class string // %s in host is the volume
		labels, options   map[string]string
	}{
		{"a Bind", `"Binds":["%s:/data"]`, "standard", nil, nil},
		{"a Bind with a mode", `"Binds":["/tmp:/t","%s:/data:ro,nocopy,z"]`, "standard", nil, nil},
		{"a Mount", `"Mounts":[{"Type":"volume","Source":"%s","Target":"/data"}]`, "standard", nil, nil},
		{"of another class", `"Binds":["%s:/data"]`, "ram", hints("storageClass", "ram", "storage", "1Mi"), ram("1048576")},
		{"a Mount of another class", `"Mounts":[{"Type":"volume","Source":"%s","Target":"/data"}]`, "ram", hints("storageClass", "ram", "storage", "1Mi"), ram("1048576")},
		{"of a class that does not exist", `"Binds":["%s:/data"]`, "", hints("storageClass", "gone"), nil},
		{"with a faulty hint", `"Binds":["%s:/data"]`, "standard", hints("storage", "ten"), nil},
		{"with its driver given", `"VolumeDriver":"local","Binds":["%s:/data"]`, "", nil, nil},
		{
			"with driver and options given", `"Mounts":[{"Type":"volume","Source":"%s","Target":"/data","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"tmpfs","device":"tmpfs","o":"size=1"}}}}]`,
			"", nil, ram("1"),
		},
	} {
		name := fmt.Sprintf("between%d", i)
		direct(t, "volume", "create", name)
		between.when(removeBefore(t, shared.Socket, name), nil)
		makeContainer(t, c.Socket, createBody(fmt.Sprintf(row.host, name), row.labels))
		if looked := between.requests("GET /volumes/" + name); len(looked) == 0 {
			t.Errorf("%s: the companion did not look first", row.rule)
		}
		if v := look(t, shared.Socket, name); !v.ensured(row.class) || !maps.Equal(v.Options, row.options) {
			t.Errorf("%s: the volume is %+v", row.rule, v)
		}
	}
	// One that is made anew goes with its last container, if its hint says so.
	direct(t, "volume", "create", "between-last")
	between.when(removeBefore(t, shared.Socket, "between-last"), nil)
	id, _ := makeContainer(t, c.Socket, createBody(`"Binds":["between-last:/data"]`, hints("deleteOnSandboxTermination", "true")))
	between.when(nil, nil)
	if got := c.recorded(t); !slices.Equal(got, []string{"between-last"}) {
		t.Errorf("recorded are %q", got)
	}
	remove(t, shared.Socket, id)
	if !gone(t, "between-last") {
		t.Error("the volume outlived its last container")
	}
}

// TestRemovedBetweenExceptions holds the limits that docs/docker.md states: what
// is forwarded as it came, the engine makes bare.
func TestRemovedBetweenExceptions(t *testing.T) {
	between := interpose(t, shared.Socket)
	c := startBefore(t, between.socket, config)
	for i, row := range []struct {
		rule, mode string
		labels     map[string]string
		off        bool
	}{
		{"a mode that a Mount cannot say", ":Z", nil, false},
		{"createIfNotExists false", "", hints("createIfNotExists", "false"), false},
		{"the switch off", "", nil, true},
	} {
		if row.off {
			c.reconfigure(t, "volumeAutoCreate: false\n"+config)
		}
		name := fmt.Sprintf("exception%d", i)
		direct(t, "volume", "create", "--label", "before=1", name)
		between.when(removeBefore(t, shared.Socket, name), nil)
		makeContainer(t, c.Socket, createBody(`"Binds":["`+name+`:/data`+row.mode+`"]`, row.labels))
		if v := look(t, shared.Socket, name); v == nil || len(v.Labels) > 0 || len(v.Options) > 0 {
			t.Errorf("%s: the volume is %+v; if it is bare no more, say so in docs/docker.md", row.rule, v)
		}
	}
}

// TestMadeBetween: a volume that somebody else makes in between is used as it is,
// and does not go with its last container, which is not ours to decide.
func TestMadeBetween(t *testing.T) {
	between := interpose(t, shared.Socket)
	c := startBefore(t, between.socket, config)
	between.when(func(r *http.Request) {
		if isCreate(r) {
			if code, answer, err := call(r.Context(), shared.Socket, http.MethodPost, "/volumes/create", `{"Name":"theirs","Labels":{"own":"1"}}`); err != nil || code != http.StatusCreated {
				t.Errorf("%d %s, %v", code, answer, err)
			}
		}
	}, nil)
	id, _ := makeContainer(t, c.Socket, createBody(`"Binds":["theirs:/data"]`, hints("storageClass", "ram", "deleteOnSandboxTermination", "true")))
	between.when(nil, nil)
	if v := look(t, shared.Socket, "theirs"); v == nil || !maps.Equal(v.Labels, map[string]string{"own": "1"}) || len(v.Options) > 0 {
		t.Errorf("the volume is %+v", v)
	}
	remove(t, shared.Socket, id)
	c.swept(t)
	if look(t, shared.Socket, "theirs") == nil {
		t.Error("a volume of somebody else's is gone")
	}
}
