package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// TestDefaults: what the webhook does where nobody says anything.
func TestDefaults(t *testing.T) {
	o, err := parseFlags(nil, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if !o.AutoCreate || !o.DeleteWithOwner || o.DefaultStorage.String() != "1Gi" || o.MissingClass != provision.DenyMissingClass || len(o.OwnerKinds) != 2 {
		t.Errorf("%+v", o.Config)
	}
}

// TestFaultyFlags: the program says which flag is wrong, what it was given and what to write.
func TestFaultyFlags(t *testing.T) {
	for _, tt := range []struct{ flag, says string }{
		{"--default-storage=10 GB", `--default-storage: invalid quantity "10 GB"; write it as "10Gi"`},
		{"--default-storage=0", "not greater than zero"},
		{"--missing-storage-class=maybe", `--missing-storage-class: invalid value "maybe"; write deny, warn or off`},
		{"--certificates=magic", `--certificates: invalid value "magic"; write folder or builtin`},
		{"--ca-secret=ca", `--ca-secret: invalid value "ca"; write it as namespace/name`},
		{"--max-connections=9", `--max-connections: invalid value "9"; write 10 or more`},
		{"--max-connections=many", `invalid value "many" for flag -max-connections`},
		{"--owner-kinds=Sandbox", `--owner-kinds: invalid owner kind "Sandbox"; write it as Kind.group/resource`},
		{"--log-level=loud", "--log-level: "},
		{"--kubeconfig=/does/not/exist", "reading the API server's address and credentials"},
		{"--no-such-flag", "not defined: -no-such-flag"},
		{"argument", `unexpected argument "argument"`},
	} {
		t.Run(tt.flag, func(t *testing.T) {
			var stderr bytes.Buffer
			if err := run(t.Context(), []string{tt.flag}, &stderr); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("said %v, not %q", err, tt.says)
			}
		})
	}
}

// TestHelp: every flag is described.
func TestHelp(t *testing.T) {
	var stderr bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &stderr); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	o, err := parseFlags(nil, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	o.set.VisitAll(func(f *flag.Flag) {
		if f.Usage == "" || !strings.Contains(stderr.String(), "-"+f.Name) {
			t.Errorf("--%s is not described", f.Name)
		}
	})
}

// TestReadmeNamesFlags: the README's flags are flags, with their defaults.
func TestReadmeNamesFlags(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := parseFlags(nil, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"volume-auto-create", "default-storage", "missing-storage-class", "delete-on-sandbox-termination"} {
		row := "| `--" + name + "` | `" + o.set.Lookup(name).DefValue + "` |"
		if !strings.Contains(string(readme), row) {
			t.Errorf("the README has no row %q", row)
		}
	}
}

// TestLogsItsOptions: the first line of the log says how the program was started.
func TestLogsItsOptions(t *testing.T) {
	var stderr bytes.Buffer
	_ = run(t.Context(), []string{"--kubeconfig=/does/not/exist", "--default-storage=7Gi"}, &stderr)
	var line struct {
		Msg     string            `json:"msg"`
		Options map[string]string `json:"options"`
	}
	first, _, _ := strings.Cut(stderr.String(), "\n")
	if err := json.Unmarshal([]byte(first), &line); err != nil || line.Options["default-storage"] != "7Gi" {
		t.Errorf("%v in %s", err, first)
	}
}
