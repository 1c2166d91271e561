package docker

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// TestExisting: a volume that exists is used as it is. What its hints ask and it
// does not have is a warning that the CLI prints.
func TestExisting(t *testing.T) {
	c := start(t)
	c.must(t, "run", "--rm", "--network", "none", "-v", "exists:/data", "--label", domain+"storage=1Gi", image, "sh", "-c", "echo hello >/data/f")
	direct(t, "volume", "create", "--label", "own=1", "exists-bare")
	first := look(t, shared.Socket, "exists")
	drift := func(name, field, asked, has string) string {
		return fmt.Sprintf("WARNING: volume %q exists: %s %s asked, it has %s", name, field, asked, has)
	}
	for _, row := range []struct {
		rule, volume string
		labels       map[string]string
		warnings     []string
	}{
		{"without hints there is nothing to warn of", "exists", nil, nil},
		{"a larger volume satisfies", "exists", hints("storage", "512Mi", "storageClass", "standard", "deleteOnSandboxTermination", "false"), nil},
		{"the same size, spelled otherwise", "exists", hints("storage", "1024Mi"), nil},
		{"smaller", "exists", hints("storage", "2Gi"), []string{drift("exists", "storage", "2Gi", "1Gi")}},
		{"without a size", "exists-bare", hints("storage", "1Ki"), []string{drift("exists-bare", "storage", "1Ki", "no size")}},
		{"another class", "exists", hints("storageClass", "ram"), []string{drift("exists", "storageClass", `"ram"`, `"standard"`)}},
		{"without a class", "exists-bare", hints("storageClass", "standard"), []string{drift("exists-bare", "storageClass", `"standard"`, `""`)}},
		{"a class that does not exist is no refusal", "exists", hints("storageClass", "gone"), []string{drift("exists", "storageClass", `"gone"`, `"standard"`)}},
		{"not one to go with its last container", "exists", hints("deleteOnSandboxTermination", "true"), []string{drift("exists", "deleteOnSandboxTermination", "true", "false")}},
		{"access modes mean nothing", "exists", hints("accessModes", "RWX"), nil},
		{"it need not be created", "exists", hints("createIfNotExists", "false"), nil},
		{
			"several", "exists-bare", hints("storage", "1Gi", "storageClass", "ram"),
			[]string{drift("exists-bare", "storage", "1Gi", "no size"), drift("exists-bare", "storageClass", `"ram"`, `""`)},
		},
		{"a faulty hint", "exists", hints("storage", "10 GB"), []string{
			`WARNING: volume "exists" exists, a faulty hint has no effect: Labels[` + domain + `storage]: invalid quantity "10 GB"; write it as "10Gi"`,
		}},
	} {
		args := []string{"-v", row.volume + ":/data"}
		for key, value := range row.labels {
			args = append(args, "--label", key+"="+value)
		}
		_, warned := c.create(t, append(args, image, "sh")...)
		if want := strings.Join(row.warnings, "\n"); strings.TrimSpace(warned) != want {
			t.Errorf("%s: warned %q, want %q", row.rule, warned, want)
		}
	}
	if again := look(t, shared.Socket, "exists"); !reflect.DeepEqual(again, first) {
		t.Errorf("the volume was %+v and is %+v", first, again)
	}
	if bare := look(t, shared.Socket, "exists-bare"); !maps.Equal(bare.Labels, map[string]string{"own": "1"}) || len(bare.Options) > 0 {
		t.Errorf("the bare volume is %+v", bare)
	}
	if out, _ := c.must(t, "run", "--rm", "--network", "none", "--mount", "type=volume,src=exists,dst=/data,readonly", image, "cat", "/data/f"); out != "hello\n" {
		t.Errorf("its data is %q", out)
	}
}

// TestWrittenAsMount: an existing volume of a Bind too, so that its removal in
// between cannot make it bare; what the caller's others were, they stay.
func TestWrittenAsMount(t *testing.T) {
	c := start(t)
	direct(t, "volume", "create", "as-mount")
	for _, row := range []struct {
		labels map[string]string
		binds  []string
		mounts int
	}{
		{nil, []string{"/tmp:/t:ro"}, 1},
		{hints("createIfNotExists", "false"), []string{"/tmp:/t:ro", "as-mount:/data:ro"}, 0}, // as it came
	} {
		id, _ := makeContainer(t, c.Socket, createBody(`"Binds":["/tmp:/t:ro","as-mount:/data:ro"]`, row.labels))
		got := inspectContainer(t, shared.Socket, id)
		if !reflect.DeepEqual(got.HostConfig.Binds, row.binds) || len(got.HostConfig.Mounts) != row.mounts {
			t.Errorf("%v: got %+v", row.labels, got.HostConfig)
		}
		for _, m := range got.HostConfig.Mounts {
			if m.Source != "as-mount" || m.Target != "/data" || !m.ReadOnly {
				t.Errorf("the Mount is %+v", m)
			}
		}
	}
}

// TestVolumeCreate: POST /volumes/create without driver and options gets the
// default class and our labels; with either it is the caller's.
func TestVolumeCreate(t *testing.T) {
	c := start(t)
	reconfigured := strings.Replace(config, "defaultClass: standard", "defaultClass: ram", 1)
	for _, row := range []struct {
		body, class string
		options     map[string]string
		own         string
	}{
		{`{"Name":"posted0"}`, "standard", nil, ""},
		{`{"Name":"posted1","Driver":"","DriverOpts":{},"Labels":null}`, "standard", nil, ""},
		{`{"Name":"posted2","Driver":null,"DriverOpts":null,"Labels":{"own":"1","` + domain + `created":"never"}}`, "standard", nil, "1"},
		{`{"Name":"posted3","Driver":"local","Labels":{"own":"1"}}`, "none", nil, "1"},
		{`{"Name":"posted4","DriverOpts":{"type":"tmpfs","device":"tmpfs","o":"size=1"}}`, "none", ram("1"), ""},
		// From here on with a default class that takes a size.
		{`{"Name":"posted5","Labels":{"own":"1"}}`, "ram", ram("1073741824"), "1"},
		{`{"Name":"posted0","Labels":{"own":"1"}}`, "standard", nil, ""}, // it existed: as it is
	} {
		if row.class == "ram" {
			c.reconfigure(t, reconfigured)
		}
		code, answer, err := call(t.Context(), c.Socket, http.MethodPost, "/v1.41/volumes/create", row.body)
		if err != nil || code != http.StatusCreated {
			t.Fatalf("%s: %d %s, %v", row.body, code, answer, err)
		}
		v := look(t, shared.Socket, strings.Split(row.body, `"`)[3])
		if v.ensured(row.class) == (row.class == "none") || !maps.Equal(v.Options, row.options) || v.Labels["own"] != row.own || v.Labels[domain+"created"] == "never" ||
			row.class == "none" && has(v.Labels, "app.kubernetes.io/managed-by") {
			t.Errorf("%s: the volume is %+v", row.body, v)
		}
	}
	code, said := refusal(t, c.Socket, "/volumes/create", `{"Name":"x/../y"}`)
	if code != 400 || !strings.Contains(said, `invalid volume name "x/../y"`) {
		t.Errorf("got %d %s", code, said)
	}
}
