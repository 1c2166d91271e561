package docker

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestModes: the mode of a Bind means for a missing volume what it means for one
// that the engine is asked for directly.
func TestModes(t *testing.T) {
	c := start(t)
	for i, mode := range []string{"", "rw", "ro", "z", "nocopy", "ro,z", "nocopy,ro", "consistent", "cached,ro", "delegated"} {
		name := fmt.Sprintf("mode%d", i)
		args := func(name string) []string { return []string{"-v", name + ":/bin:" + mode, image, "sh"} }
		if mode == "" {
			args = func(name string) []string { return []string{"-v", name + ":/bin", image, "sh"} }
		}
		id, warnings := c.create(t, args(name)...)
		own := strings.TrimSpace(direct(t, append([]string{"create", "--network", "none"}, args(name+"-direct")...)...))
		got, want := inspectContainer(t, shared.Socket, id), inspectContainer(t, shared.Socket, own)
		if len(got.Mounts) != 1 || len(want.Mounts) != 1 || got.Mounts[0]["Name"] != name || got.Mounts[0]["Destination"] != "/bin" ||
			got.Mounts[0]["RW"] != want.Mounts[0]["RW"] || got.Mounts[0]["Propagation"] != want.Mounts[0]["Propagation"] {
			t.Errorf("mode %q: mounted %v, the engine itself %v", mode, got.Mounts, want.Mounts)
		}
		if how, _ := got.Mounts[0]["Mode"].(string); strings.Contains(mode, "z") && how != "z" {
			t.Errorf("mode %q: mounted with mode %q", mode, how)
		}
		// nocopy is seen in the volume: without it the image's files are in there.
		if files, asked := copied(t, name), !strings.Contains(mode, "nocopy"); files != asked || copied(t, name+"-direct") != asked {
			t.Errorf("mode %q: the image's files are in the volume: %v, want %v", mode, files, asked)
		}
		if v := look(t, shared.Socket, name); !v.ensured("standard") || warnings != "" {
			t.Errorf("mode %q: the volume is %+v, warned %q", mode, v, warnings)
		}
		remove(t, shared.Socket, own)
	}
}

// copied reports whether a volume has files.
func copied(t *testing.T, name string) bool {
	t.Helper()
	var v struct{ Mountpoint string }
	get(t, shared.Socket, "/volumes/"+name, &v)
	files, err := os.ReadDir(v.Mountpoint)
	if err != nil {
		t.Fatal(err)
	}
	return len(files) > 0
}

// TestUnsayableModes: what a Mount cannot say is refused with the way out while
// the volume is missing, and forwarded as it came when it exists.
func TestUnsayableModes(t *testing.T) {
	c := start(t)
	for i, mode := range []string{"Z", "ro,Z", "rslave", "rw,rshared", "nonsense"} {
		name := fmt.Sprintf("unsayable%d", i)
		body := createBody(`"Binds":["/tmp:/t","`+name+`:/data:`+mode+`"]`, nil)
		unsayable := mode[strings.LastIndex(mode, ",")+1:]
		way := fmt.Sprintf("HostConfig.Binds[1]: volume %q does not exist and cannot be created with mode %q; create it first, or leave the mode out", name, unsayable)
		if code, said := refusal(t, c.Socket, "/containers/create", body); code != 400 || said != way || look(t, shared.Socket, name) != nil {
			t.Errorf("mode %s, missing: %d %s", mode, code, said)
		}
		// The way out.
		c.must(t, "volume", "create", name)
		if unsayable != "Z" { // the engine does not take the others for volumes
			wantCode, want := refusal(t, shared.Socket, "/containers/create", body)
			if code, said := refusal(t, c.Socket, "/containers/create", body); code != wantCode || said != want {
				t.Errorf("mode %s, existing: %d %s, the engine itself %d %s", mode, code, said, wantCode, want)
			}
			continue
		}
		id, warnings := makeContainer(t, c.Socket, body)
		if got := inspectContainer(t, shared.Socket, id); !reflect.DeepEqual(got.HostConfig.Binds, []string{"/tmp:/t", name + ":/data:" + mode}) || len(got.HostConfig.Mounts) > 0 || len(warnings) > 0 {
			t.Errorf("mode %s, existing: got %+v, warned %q", mode, got.HostConfig, warnings)
		}
	}
}

// TestMountOptions: what the caller says of a Mount stays, beside what is ours.
func TestMountOptions(t *testing.T) {
	c := start(t)
	id, warnings := c.create(t, "--label", domain+"storage=1Mi",
		"--mount", "type=volume,src=mount-plain,dst=/bin,readonly,volume-nocopy,volume-label=own=1,volume-label=class=mine",
		"--mount", `type=volume,src=mount-own,dst=/own,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=4096`, image, "sh")
	plain, own := look(t, shared.Socket, "mount-plain"), look(t, shared.Socket, "mount-own")
	if !plain.ensured("standard") || plain.Labels["own"] != "1" || plain.Labels["class"] != "standard" || copied(t, "mount-plain") {
		t.Errorf("the volume with labels is %+v", plain)
	}
	// A driver or options of the caller's are in place of a class.
	if !own.ensured("") || has(own.Labels, "class") || !maps.Equal(own.Options, ram("4096")) {
		t.Errorf("the volume with options is %+v", own)
	}
	if !strings.Contains(warnings, `volume "mount-own": storage 1Mi is not enforced: it has no class`) {
		t.Errorf("warned %q", warnings)
	}
	for _, m := range inspectContainer(t, shared.Socket, id).HostConfig.Mounts {
		if m.Source == "mount-plain" && (!m.ReadOnly || !m.VolumeOptions.NoCopy) {
			t.Errorf("the Mount is %+v", m)
		}
	}
	code, said := refusal(t, c.Socket, "/containers/create", createBody(
		`"Mounts":[{"Type":"volume","Source":"both","Target":"/b","VolumeOptions":{"DriverConfig":{"Name":"local"}}}]`, hints("storageClass", "ram")))
	if want := "Labels[" + domain + `storageClass]: volume "both" is given a driver as well; give a class or a driver, not both`; code != 400 || said != want {
		t.Errorf("a class and a driver: %d %s", code, said)
	}
}

// TestVolumeDriver: the CLI's --volume-driver is for the volumes of Binds.
func TestVolumeDriver(t *testing.T) {
	c := startBefore(t, shared.Socket, strings.Replace(config, "defaultClass: standard", "defaultClass: ram", 1))
	_, _ = c.create(t, "--volume-driver", "local", "-v", "carried:/data", "--mount", "type=volume,src=beside,dst=/mount", image, "sh")
	// Asked for by the caller, without options: not the default class.
	if v := look(t, shared.Socket, "carried"); !v.ensured("") || len(v.Options) > 0 {
		t.Errorf("the Bind's volume is %+v", v)
	}
	if v := look(t, shared.Socket, "beside"); !v.ensured("ram") {
		t.Errorf("the Mount's volume is %+v", v)
	}
}
