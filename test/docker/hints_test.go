package docker

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

// TestHints holds the README's column "on Docker", one row a statement: what the
// CLI is given, what becomes of the volume and what the CLI warns of.
func TestHints(t *testing.T) {
	c := start(t)
	for _, row := range []struct {
		rule, volume string
		labels       []string
		class        string // of the volume
		options      map[string]string
		has, lacks   string // labels of the volume, as key=value and as key
		warning      string // all that is printed
	}{
		{rule: "a volume without a hint has the default class", volume: "hint-none", class: "standard", has: "class=standard", lacks: domain + "storage"},
		{
			rule: "claimName is the named volume, by the engine's rule", volume: "Hint_Name.1", labels: []string{"Hint_Name.1." + domain + "storageClass=ram"},
			class: "ram", options: ram("1073741824"),
		},
		{rule: "storage is enforced where the class can", volume: "hint-sized", labels: []string{domain + "storage=1Mi", domain + "storageClass=ram"}, class: "ram", options: ram("1048576"), has: domain + "storage=1Mi"},
		{
			rule: "storage is a warning where it cannot", volume: "hint-unsized", labels: []string{domain + "storage=10Gi"}, class: "standard", has: domain + "storage=10Gi",
			warning: `WARNING: volume "hint-unsized": storage 10Gi is not enforced: class "standard" takes no size`,
		},
		{rule: "without a size the fallback is filled in", volume: "hint-fallback", labels: []string{domain + "storageClass=ram"}, class: "ram", options: ram("1073741824"), has: domain + "storage=1Gi"},
		{rule: "storageClass picks from the configuration, by its other name too", volume: "hint-alias", labels: []string{domain + "storageClassName=ram"}, class: "ram", options: ram("1073741824"), lacks: "class"},
		{rule: "an empty class is explicitly none", volume: "hint-empty", labels: []string{domain + "storageClass="}, lacks: "class"},
		{rule: "accessModes are accepted, without effect", volume: "hint-modes", labels: []string{domain + "accessModes=RWX,ROX"}, class: "standard", lacks: domain + "accessModes"},
		{rule: "createIfNotExists true creates", volume: "hint-create", labels: []string{domain + "createIfNotExists=true"}, class: "standard"},
		{rule: "deleteOnSandboxTermination is kept with the volume", volume: "hint-delete", labels: []string{last}, class: "standard", has: domain + "delete-with-owner=true"},
		{rule: "the structured form", volume: "hint-list", labels: []string{domain + `claims=[{"claimName":"hint-list","storage":"2Mi","storageClass":"ram"}]`}, class: "ram", options: ram("2097152")},
		{
			rule: "a claim's own label wins over one for all", volume: "hint-rank", labels: []string{domain + "storageClass=standard", "hint-rank." + domain + "storageClass=ram"},
			class: "ram", options: ram("1073741824"),
		},
		{
			rule: "a hint for a volume that is not used is a warning", volume: "hint-used", labels: []string{"unused." + domain + "storage=ten"}, class: "standard",
			warning: `WARNING: hints for claim "unused" have no effect: it is not used`,
		},
	} {
		var args []string
		for _, label := range row.labels {
			args = append(args, "--label", label)
		}
		_, warnings := c.create(t, append(args, "-v", row.volume+":/data", image, "sh")...)
		v := look(t, shared.Socket, row.volume)
		key, value, _ := strings.Cut(row.has, "=")
		if !v.ensured(row.class) || v.Driver != "local" || !maps.Equal(v.Options, row.options) || v.Labels[key] != value || row.lacks != "" && has(v.Labels, row.lacks) {
			t.Errorf("%s: the volume is %+v", row.rule, v)
		}
		if strings.TrimSpace(warnings) != row.warning {
			t.Errorf("%s: warned %q, want %q", row.rule, warnings, row.warning)
		}
	}
}

// ram are the options of the class ram, its size filled in.
func ram(bytes string) map[string]string {
	return map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=" + bytes}
}

func has(m map[string]string, key string) bool {
	_, found := m[key]
	return found
}

// TestEnforced: the size is one that a container meets.
func TestEnforced(t *testing.T) {
	c := start(t)
	out, warnings := c.must(t, "run", "--rm", "--network", "none", "-v", "made:/data", "--label", domain+"storageClass=ram",
		"--label", "made."+domain+"storage=1Mi", image, "busybox", "df", "-k", "/data")
	if warnings != "" || !strings.Contains(out, "1024") {
		t.Errorf("got %q and warnings %q, want a tmpfs of 1024 KiB", out, warnings)
	}
}

// TestImagesSayNothing: labels of an image are no hints, good or faulty, although
// the engine gives them to the container.
func TestImagesSayNothing(t *testing.T) {
	c := start(t)
	const hinting = "ensure-volumes.test/hinting:1"
	id := strings.TrimSpace(direct(t, "create", "--network", "none", image, "sh"))
	direct(t, "commit", "--change", "LABEL "+domain+"storageClass=ram", "--change", "LABEL "+domain+"storage=ten",
		"--change", "LABEL "+domain+"createIfNotExists=false", "--change", "LABEL "+last, id, hinting)
	direct(t, "rm", id)
	made, warnings := c.create(t, "-v", "image-labels:/data", hinting, "sh")
	if got := inspectContainer(t, shared.Socket, made); got.Config.Labels[domain+"storage"] != "ten" {
		t.Fatalf("the container does not have the image's labels: %v", got.Config.Labels)
	}
	if v := look(t, shared.Socket, "image-labels"); !v.ensured("standard") || has(v.Labels, domain+"storage") || has(v.Labels, domain+"delete-with-owner") || warnings != "" {
		t.Errorf("the volume is %+v, warned %q", v, warnings)
	}
	remove(t, shared.Socket, made)
	direct(t, "rmi", hinting)
}

// TestOptionsAreTheOperators: no hint reaches the driver's options.
func TestOptionsAreTheOperators(t *testing.T) {
	c := start(t)
	for i, label := range []map[string]string{
		hints("options", "type=none"), hints("driver", "other"), hints("driverOpts", "o=bind"), hints("o", "bind"), hints("device", "/"),
		hints("claims", `[{"claimName":"optioned0","options":{"device":"/"}}]`), hints("claims", `[{"claimName":"optioned0","driver":"local"}]`),
		hints("storageClass", "ram", "storage", "1Mi,device=/"), hints("storageClass", "ram,o=bind"), hints("storageClass", "ram", "storage", "{bytes}"),
	} {
		name := "optioned0"
		code, said := refusal(t, c.Socket, "/containers/create", createBody(`"Binds":["`+name+`:/data"]`, label))
		if code != 400 || !strings.HasPrefix(said, "Labels["+domain) || look(t, shared.Socket, name) != nil {
			t.Errorf("%d: %v: %d %s; the volume is %+v", i, label, code, said, look(t, shared.Socket, name))
		}
	}
	// The size is written by us, however it is spelled.
	for i, spelled := range []string{"1e6", "1000k", "1M", "0.001G"} {
		name := fmt.Sprintf("spelled%d", i)
		makeContainer(t, c.Socket, createBody(`"Binds":["`+name+`:/data"]`, hints("storageClass", "ram", "storage", spelled)))
		if v := look(t, shared.Socket, name); v == nil || !maps.Equal(v.Options, ram("1000000")) {
			t.Errorf("storage %s: the volume is %+v", spelled, v)
		}
	}
}

// TestSeveralVolumes: volumes of Binds and of Mounts are found; what is no named
// volume stays as it is.
func TestSeveralVolumes(t *testing.T) {
	c := start(t)
	id, warnings := makeContainer(t, c.Socket, createBody(`"Binds":["several-a:/a","/tmp:/host","several-b:/b:ro","several-a:/again"],
		"Mounts":[{"Type":"volume","Source":"several-c","Target":"/c"},{"Type":"tmpfs","Target":"/t"},{"Type":"volume","Target":"/anonymous"},{"Type":"bind","Source":"/tmp","Target":"/bound"}]`,
		map[string]string{domain + "storageClass": "ram", "several-b." + domain + "storageClass": "standard", "several-c." + domain + "storage": "1Mi"}))
	for name, class := range map[string]string{"several-a": "ram", "several-b": "standard", "several-c": "ram"} {
		if v := look(t, shared.Socket, name); !v.ensured(class) {
			t.Errorf("volume %s is %+v, want class %s", name, v, class)
		}
	}
	if v := look(t, shared.Socket, "several-c"); !maps.Equal(v.Options, ram("1048576")) {
		t.Errorf("the Mount's volume is %+v", v)
	}
	got := inspectContainer(t, shared.Socket, id)
	at := map[string]string{}
	for _, m := range got.Mounts {
		name, _ := m["Name"].(string)
		if v := look(t, shared.Socket, name); m["Destination"] == "/anonymous" && (v == nil || v.ensured("") || v.ensured("ram")) {
			t.Errorf("the anonymous volume is %+v", v)
		}
		at[fmt.Sprint(m["Destination"])] = name
	}
	if len(warnings) > 0 || len(at) != 8 || at["/a"] != "several-a" || at["/again"] != "several-a" || at["/b"] != "several-b" || at["/c"] != "several-c" {
		t.Errorf("mounted are %v, warned %q", at, warnings)
	}
}
