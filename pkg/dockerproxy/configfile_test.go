package dockerproxy

import (
	"strings"
	"testing"
)

func TestReadConfig(t *testing.T) {
	c, err := ReadConfig([]byte("volumeAutoCreate: false\ndefaultStorage: 2Gi\ndefaultClass: ram\nclasses:\n  ram:\n    driver: local\n    options: {o: \"size={bytes}\"}\n    labels: {team: a}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if ram := c.Classes["ram"]; c.AutoCreate || c.DefaultStorage.String() != "2Gi" || c.DefaultClass != "ram" || ram.Driver != "local" ||
		ram.options(c.DefaultStorage)["o"] != "size=2147483648" || ram.Labels["team"] != "a" {
		t.Errorf("got %+v", c)
	}
	for _, empty := range []string{"", "# nothing\n", "{}", "null"} {
		if c, err := ReadConfig([]byte(empty)); err != nil || !c.AutoCreate || c.DefaultStorage.String() != "1Gi" {
			t.Errorf("%q: got %+v, %v", empty, c, err)
		}
	}
}

func TestFaultyConfig(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"[]", "line 1: the file must be a mapping"},
		{"a: [", "line 1: this is no YAML: "},
		{"a: 1\n\tb: 2", "line 2: this is no YAML: "},
		{"volumeAutoCreate: true\n---\nvolumeAutoCreate: false", "line 2: a second document is not read"},
		{"classes:\n  fast:\n    driver: local\n    labels:\n      volumes.opensandbox.io/delete-with-owner: \"true\"", "line 5: label \"volumes.opensandbox.io/delete-with-owner\" is the companion's own"},
		{"\nvolumeautocreate: true", `line 2: unknown key "volumeautocreate"`},
		{"volumeAutoCreate: \"yes\"", "line 1: volumeAutoCreate: invalid boolean"},
		{"defaultStorage: 10 GB", `line 1: defaultStorage: invalid quantity "10 GB"; write it as "10Gi"`},
		{"defaultStorage: 10", `line 1: defaultStorage must be a string; quote it: "10"`},
		{"\n\ndefaultClass: fast", `line 3: defaultClass: class "fast" is not among the classes`},
		{"classes:\n  Fast:\n    driver: local", `line 2: invalid class name "Fast"`},
		{"classes:\n  fast: {}", `line 2: class "fast" has no driver`},
		{"classes:\n  fast:\n    driver: local\n    size: 1", `line 4: unknown key "size"`},
		{"classes:\n  fast:\n    driver: local\n    driver: nfs", `line 4: key "driver" stands twice`},
		{"classes:\n  fast:\n    driver: local\n    options:\n      mode: 0777", `line 5: options.mode must be a string; quote it: "0777"`},
	} {
		if _, err := ReadConfig([]byte(row.text)); err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want %s", row.text, err, row.want)
		}
	}
}
