package dockerproxy

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// spec is how a volume is made, or would be were it removed just now.
type spec struct {
	Driver  string
	Options map[string]string
	Labels  map[string]string
}

// The engine's Mount, as far as a Bind of a named volume needs it.
type mountJSON struct {
	Type          string
	Source        string
	Target        string
	ReadOnly      bool   `json:",omitempty"`
	Consistency   string `json:",omitempty"`
	VolumeOptions optionsJSON
}

type optionsJSON struct {
	NoCopy       bool              `json:",omitempty"`
	Labels       map[string]string `json:",omitempty"`
	DriverConfig driverJSON
}

type driverJSON struct {
	Name    string            `json:",omitempty"`
	Options map[string]string `json:",omitempty"`
}

// write is the body with the volumes that have a spec written as Mounts. Binds
// that become Mounts come after the caller's own Mounts; everything else stays
// as and where it was. Without any spec it is the body itself, byte for byte.
func (b *createBody) write(specs map[string]spec) ([]byte, error) {
	if len(specs) == 0 {
		return b.top.raw, nil
	}
	moved, changed := map[int]bool{}, false
	mounts := slices.Clone(b.mounts)
	for _, u := range b.uses {
		s, ok := specs[u.name]
		switch {
		case !ok:
		case u.mount != nil:
			raw, err := u.mount.write(s)
			if err != nil {
				return nil, err
			}
			mounts[u.index], changed = raw, true
		case u.bind.unsayable == "":
			raw, err := json.Marshal(mountJSON{
				Type: "volume", Source: u.name, Target: u.bind.target, ReadOnly: u.bind.readOnly, Consistency: u.bind.consistency,
				VolumeOptions: optionsJSON{NoCopy: u.bind.noCopy, Labels: s.Labels, DriverConfig: driverJSON{s.Driver, s.Options}},
			})
			if err != nil {
				return nil, err
			}
			mounts = append(mounts, raw)
			moved[u.index] = true
		}
	}
	host := b.host
	var err error
	if len(moved) > 0 {
		binds := []string{}
		for i, text := range b.binds {
			if !moved[i] {
				binds = append(binds, text)
			}
		}
		if host, err = host.set("Binds", binds); err != nil {
			return nil, err
		}
	}
	if changed || len(moved) > 0 {
		// By hand: json.Marshal would compact and escape the caller's own entries.
		if host, err = readObject(host.with("Mounts", slices.Concat([]byte("["), bytes.Join(mounts, []byte(",")), []byte("]")))); err != nil {
			return nil, err
		}
	}
	return b.top.with("HostConfig", host.raw), nil
}

// withLabels are a volume's labels: ours, and those of the caller that do not look
// like ours. What ours say must be true, also where they are not there.
func withLabels(callers, ours map[string]string) map[string]string {
	labels := map[string]string{}
	for key, value := range callers {
		if !reserved(key) {
			labels[key] = value
		}
	}
	maps.Copy(labels, ours)
	return labels
}

// reserved reports whether a label of a volume is the companion's to give.
func reserved(key string) bool {
	return key == keyManagedBy || strings.HasPrefix(key, claim.Domain+"/")
}

// write keeps the driver that the caller gave, and those of its labels that are
// the caller's to give.
func (m *volumeMount) write(s spec) ([]byte, error) {
	options, err := m.options.set("Labels", withLabels(m.labels, s.Labels))
	if err == nil && !m.configured() {
		options, err = options.set("DriverConfig", driverJSON{s.Driver, s.Options})
	}
	if err != nil {
		return nil, err
	}
	return m.object.with("VolumeOptions", options.raw), nil
}
