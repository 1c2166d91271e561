package dockerproxy

import "testing"

// TestBindModes: what the engine refuses in a Bind must not become a Mount that it takes.
func TestBindModes(t *testing.T) {
	for mode, unsayable := range map[string]string{
		"": "", "ro": "", "rw,z,nocopy,cached": "", "delegated,ro": "",
		"Z": "Z", "z,Z": "Z", "rshared": "rshared", "nonsense": "nonsense",
		"ro,ro": "ro,ro", "rw,ro": "rw,ro", "z,z": "z,z", "nocopy,z,nocopy": "nocopy,z,nocopy", "cached,delegated": "cached,delegated",
	} {
		_, b, err := readBind("data:/d:" + mode)
		if err != nil || b.unsayable != unsayable {
			t.Errorf("%q: got %+v, %v", mode, b, err)
		}
	}
}
