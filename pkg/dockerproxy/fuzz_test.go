package dockerproxy

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"
)

// FuzzWrite holds that the engine reads in a body what we do, that what is not ours
// is the same before and after, in its order and byte for byte, that writing twice
// gives the same, and that what was written is understood again and then stays.
func FuzzWrite(f *testing.F) {
	f.Add(`{"a":{"b":[1,{"c":null}]},"HostConfig":{"Binds":["data:/d:ro","/x:/y"],"Mounts":[{"Type":"volume","Source":"more","n":1}],"k":"v"}}`)
	f.Add(`{"HostConfig":{"Mounts":[{"Type":"volume","Source":"a","X":1e400,"VolumeOptions":{"Subpath":"s","DriverConfig":{"Name":"nfs"},"Labels":{"a":"<b>"}}},{"Type":"bind","Z":[ 1]}],"Binds":["b:/c:Z","d:/e:ro,nocopy"]}}`)
	f.Add(`{"HostConfig":null,"Labels":{"data.volumes.opensandbox.io/storage":"5Gi"}}`)
	// Were these understood, the engine would read them otherwise than we do.
	f.Add(`{"hostconfig":{"Binds":["a:/b"]}}`)
	f.Add(`{"HostConfig":{"Binds":["a:/b"],"binds":["c:/d"]}}`)
	f.Add(`{"HostConfig":{"Mounts":[{"Type":"bind","type":"volume","Source":"a"}]},"Labels":{},"labels":{"k":"v"}}`)
	f.Fuzz(func(t *testing.T, body string) {
		if !json.Valid([]byte(body)) {
			return
		}
		b, err := readCreate([]byte(body))
		if err != nil {
			return
		}
		sameToEngine(t, body, b)
		specs := map[string]spec{}
		for _, name := range b.names() {
			specs[name] = spec{Driver: "local", Labels: map[string]string{"k": "v"}}
		}
		out, err := b.write(specs)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := b.write(specs); err != nil || !bytes.Equal(same, out) {
			t.Errorf("%s became %s, then %s, %v", body, out, same, err)
		}
		again, err := readCreate(out)
		if err != nil {
			t.Fatalf("%s became %s: %v", body, out, err)
		}
		if stays, err := again.write(specs); err != nil || !bytes.Equal(stays, out) {
			t.Errorf("%s became %s, written again %s, %v", body, out, stays, err)
		}
		if got, want := slices.Sorted(slices.Values(again.names())), slices.Sorted(slices.Values(b.names())); !slices.Equal(got, want) {
			t.Errorf("the volumes were %q and are %q", want, got)
		}
		if got, want := rest(again.top, "HostConfig"), rest(b.top, "HostConfig"); !reflect.DeepEqual(got, want) {
			t.Errorf("%q became %q", want, got)
		}
		if got, want := rest(again.host, "Binds", "Mounts"), rest(b.host, "Binds", "Mounts"); !reflect.DeepEqual(got, want) {
			t.Errorf("HostConfig's %q became %q", want, got)
		}
		sameMounts(t, b, again)
	})
}

// sameToEngine compares with what the standard library's decoder, which the engine
// has, makes of a body.
func sameToEngine(t *testing.T, body string, b *createBody) {
	t.Helper()
	type engineMount struct{ Type, Source string }
	var theirs struct {
		Labels     map[string]string
		HostConfig struct {
			Binds        []string
			Mounts       []engineMount
			VolumeDriver string
		}
	}
	if json.Unmarshal([]byte(body), &theirs) != nil {
		return // it refuses
	}
	var mounts []engineMount
	for _, raw := range b.mounts {
		var m engineMount
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		mounts = append(mounts, m)
	}
	var used, named []string
	for _, m := range theirs.HostConfig.Mounts {
		if m.Type == "volume" && m.Source != "" {
			named = append(named, m.Source)
		}
	}
	for _, u := range b.uses {
		if u.mount != nil {
			used = append(used, u.name)
		}
	}
	if !maps.Equal(b.labels, theirs.Labels) || !slices.Equal(b.binds, theirs.HostConfig.Binds) || b.volumeDriver != theirs.HostConfig.VolumeDriver ||
		!slices.Equal(mounts, theirs.HostConfig.Mounts) || !slices.Equal(used, named) {
		t.Errorf("of %s the engine reads %+v, we read labels %q, Binds %q, driver %q, Mounts of %q", body, theirs, b.labels, b.binds, b.volumeDriver, used)
	}
}

// sameMounts compares the caller's Mounts, which come first, and the Binds that
// name no volume, which stay.
func sameMounts(t *testing.T, before, after *createBody) {
	t.Helper()
	ours := map[int]bool{}
	moved := map[int]bool{}
	for _, u := range before.uses {
		ours[u.index] = ours[u.index] || u.mount != nil
		moved[u.index] = moved[u.index] || u.bind != nil && u.bind.unsayable == ""
	}
	for i, raw := range before.mounts {
		got := after.mounts[i]
		if !ours[i] {
			if !bytes.Equal(got, raw) {
				t.Errorf("the Mount %s became %s", raw, got)
			}
			continue
		}
		was, is := mustObject(t, raw), mustObject(t, got)
		if got, want := rest(is, "VolumeOptions"), rest(was, "VolumeOptions"); !slices.Equal(got, want) {
			t.Errorf("the Mount's %q became %q", want, got)
		}
		got2, want2 := rest(mustObject(t, is.value("VolumeOptions")), "Labels", "DriverConfig"), rest(mustObject(t, was.value("VolumeOptions")), "Labels", "DriverConfig")
		if !slices.Equal(got2, want2) {
			t.Errorf("VolumeOptions' %q became %q", want2, got2)
		}
	}
	var stay []string
	for i, bind := range before.binds {
		if !moved[i] {
			stay = append(stay, bind)
		}
	}
	if !slices.Equal(after.binds, stay) {
		t.Errorf("of the Binds %q there are %q", before.binds, after.binds)
	}
}

func mustObject(t *testing.T, raw []byte) object {
	t.Helper()
	o, err := readObject(raw)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// rest are an object's members in their order, without some.
func rest(o object, without ...string) []string {
	var members []string
	for _, member := range o.members {
		if !slices.Contains(without, member.key) {
			members = append(members, member.key, string(o.value(member.key)))
		}
	}
	return members
}
