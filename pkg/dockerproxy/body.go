package dockerproxy

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// createBody is the body of a container create, taken apart as far as named
// volumes and hints go.
type createBody struct {
	top, host    object
	labels       map[string]string
	binds        []string
	mounts       [][]byte
	volumeDriver string
	uses         []use
}

// use is one mention of a named volume.
type use struct {
	name  string
	index int // in Binds or in Mounts
	bind  *bind
	mount *volumeMount
}

// bind is an entry of HostConfig.Binds: NAME:TARGET[:MODE].
type bind struct {
	target           string
	readOnly, noCopy bool
	consistency      string
	unsayable        string // the part of the mode that a Mount cannot express
}

// volumeMount is an entry of HostConfig.Mounts.
type volumeMount struct {
	object, options object
	labels          map[string]string
	driver          driverJSON // as the caller gave it
}

// configured reports whether the caller gave a driver or its options.
func (m *volumeMount) configured() bool { return m.driver.Name != "" || len(m.driver.Options) > 0 }

// readCreate reads a body that is JSON. What it does not understand is an error,
// text for a person.
func readCreate(raw []byte) (*createBody, error) {
	b := new(createBody)
	var err error
	b.top, err = readObject(raw, "HostConfig", "Labels", "Binds", "Mounts", "VolumeDriver")
	if err != nil {
		return nil, err
	}
	// The engine still reads these from the top level, as clients of 2014 wrote them.
	for _, key := range []string{"Binds", "Mounts", "VolumeDriver"} {
		if v := string(b.top.value(key)); v != "" && v != "null" && v != `""` && v != "[]" {
			return nil, fmt.Errorf("%s: at the top level it is not read; write it into HostConfig", key)
		}
	}
	if _, err := readObject(b.top.value("Labels")); err != nil {
		return nil, at("Labels", err)
	}
	if err := decode(b.top, "Labels", &b.labels); err != nil {
		return nil, err
	}
	if b.host, err = readObject(b.top.value("HostConfig"), "Binds", "Mounts", "VolumeDriver", "Tmpfs"); err != nil {
		return nil, at("HostConfig", err)
	}
	var tmpfs map[string]string
	err = errors.Join(decode(b.host, "VolumeDriver", &b.volumeDriver), decode(b.host, "Binds", &b.binds), decode(b.host, "Tmpfs", &tmpfs))
	if err == nil {
		if b.mounts, err = readArray(b.host.value("Mounts")); err != nil {
			err = at("Mounts", err)
		}
	}
	if err == nil {
		err = b.readUses()
	}
	if err == nil {
		err = b.hidden(tmpfs)
	}
	if err != nil {
		return nil, at("HostConfig", err)
	}
	return b, nil
}

func (b *createBody) readUses() error {
	for i, text := range b.binds {
		name, parsed, err := readBind(text)
		if err != nil {
			return err
		}
		if name != "" {
			b.uses = append(b.uses, use{name: name, index: i, bind: parsed})
		}
	}
	for i, raw := range b.mounts {
		name, parsed, err := readMount(raw)
		if err != nil {
			return at(fmt.Sprintf("Mounts[%d]", i), err)
		}
		if name != "" {
			b.uses = append(b.uses, use{name: name, index: i, mount: parsed})
		}
	}
	return nil
}

// hidden refuses a Bind of a volume at a place where a tmpfs comes to lie, as the
// engine does. Of a Mount, which we make of it, the engine does not look.
func (b *createBody) hidden(tmpfs map[string]string) error {
	places := map[string]bool{}
	for place := range tmpfs {
		places[path.Clean(place)] = true
	}
	for _, u := range b.uses {
		if u.bind != nil && places[path.Clean(u.bind.target)] {
			return fmt.Errorf("Duplicate mount point: %s", claim.Quote(u.bind.target, 128)) //nolint:staticcheck // the engine's words
		}
	}
	return nil
}

// names are the named volumes, each once, as they come.
func (b *createBody) names() []string {
	var names []string
	seen := map[string]bool{}
	for _, u := range b.uses {
		if !seen[u.name] {
			seen[u.name] = true
			names = append(names, u.name)
		}
	}
	return names
}

// readBind reads a Bind by the engine's rule. The name is empty where it names
// no volume: a path of the host, or an anonymous one.
func readBind(text string) (name string, b *bind, err error) {
	parts := strings.Split(text, ":")
	if parts[0] == "" || len(parts) > 3 {
		return "", nil, fmt.Errorf("invalid volume specification: %s", claim.Quote(text, 128))
	}
	if len(parts) == 1 || path.IsAbs(parts[0]) {
		return "", nil, nil
	}
	b = &bind{target: parts[1]}
	if len(parts) == 2 || parts[2] == "" {
		return parts[0], b, nil
	}
	given, contradicts := map[string]bool{}, false
	for mode := range strings.SplitSeq(parts[2], ",") {
		kind := mode
		switch mode {
		case "rw": // what a Mount has by itself
			kind = "access"
		case "ro":
			kind, b.readOnly = "access", true
		case "z": // what a Mount has by itself
		case "nocopy":
			b.noCopy = true
		case "consistent", "cached", "delegated":
			kind, b.consistency = "consistency", mode
		default:
			b.unsayable = cmp.Or(mode, parts[2])
		}
		contradicts = contradicts || given[kind]
		given[kind] = true
	}
	if b.unsayable == "" && contradicts {
		b.unsayable = parts[2] // one mode of each kind: the engine's to refuse
	}
	return parts[0], b, nil
}

func readMount(raw []byte) (name string, m *volumeMount, err error) {
	m = new(volumeMount)
	if m.object, err = readObject(raw, "Type", "Source", "VolumeOptions"); err != nil {
		return "", nil, err
	}
	var kind string
	if err := errors.Join(decode(m.object, "Type", &kind), decode(m.object, "Source", &name)); err != nil {
		return "", nil, err
	}
	if kind != "volume" || name == "" {
		return "", nil, nil
	}
	if m.options, err = readObject(m.object.value("VolumeOptions"), "Labels", "DriverConfig"); err != nil {
		return "", nil, at("VolumeOptions", err)
	}
	driver, err := readObject(m.options.value("DriverConfig"), "Name", "Options")
	if err != nil {
		return "", nil, at("DriverConfig", err)
	}
	err = errors.Join(decode(m.options, "Labels", &m.labels), decode(driver, "Name", &m.driver.Name), decode(driver, "Options", &m.driver.Options))
	return name, m, err
}

// at says where in the body an error is.
func at(place string, err error) error { return fmt.Errorf("%s: %w", place, err) }
