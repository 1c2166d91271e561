package config_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/yaml"
)

// installedBinary is where companion.service expects the binary.
const installedBinary = "/usr/local/bin/companion"

// companionBinary is the companion that `make build` makes.
func companionBinary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../bin/companion")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("the companion's files are tried with its binary: %v; `make build` makes it", err)
	}
	return path
}

func text(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// companionFlags are the companion's flags with their defaults, as its help has them.
func companionFlags(t *testing.T) map[string]string {
	t.Helper()
	help, err := exec.CommandContext(t.Context(), companionBinary(t), "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("companion --help: %v\n%s", err, help)
	}
	flags := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^  -([a-z-]+).*\n.*?(?:\(default (.*)\))?$`).FindAllStringSubmatch(string(help), -1) {
		flags[m[1]] = strings.Trim(m[2], `"`)
	}
	if flags["drain"] == "" || flags["listen"] == "" {
		t.Fatalf("the help reads as %q", flags)
	}
	return flags
}

// drain is how long a companion may take to end.
func drain(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(companionFlags(t)["drain"])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// wantKnown holds that a command line has only flags that the companion knows.
func wantKnown(t *testing.T, arguments []string) {
	t.Helper()
	flags := companionFlags(t)
	for _, argument := range arguments {
		name, _, _ := strings.Cut(strings.TrimPrefix(argument, "--"), "=")
		if _, known := flags[name]; !known || !strings.HasPrefix(argument, "--") {
			t.Errorf("the companion has no flag %q", argument)
		}
	}
}

// TestCompanionUnit: systemd understands every line of the unit, and the unit gives the companion the places and the time
// that its flags ask for.
func TestCompanionUnit(t *testing.T) {
	unit := text(t, "companion/companion.service")
	file := filepath.Join(t.TempDir(), "companion.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(unit, installedBinary, companionBinary(t))), 0o600); err != nil {
		t.Fatal(err)
	}
	// It tells what it does not know and goes on; what it says of other units is not ours.
	said, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", file).CombinedOutput()
	if err != nil || strings.Contains(string(said), "companion") {
		t.Errorf("systemd-analyze verify (of Debian's package systemd): %v\n%s", err, said)
	}

	settings := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^([A-Z][A-Za-z]+)=(.*)$`).FindAllStringSubmatch(unit, -1) {
		settings[m[1]] = append(settings[m[1]], m[2])
	}
	the := func(key string) string {
		if len(settings[key]) != 1 {
			t.Errorf("%s is given %d times", key, len(settings[key]))
			return ""
		}
		return settings[key][0]
	}
	command := strings.Fields(the("ExecStart"))
	if len(command) == 0 || command[0] != installedBinary {
		t.Fatalf("it starts %q", command)
	}
	wantKnown(t, command[1:])
	if reload := settings["ExecReload"]; len(reload) != 2 || !slices.Contains(command, "--config="+strings.TrimPrefix(reload[0], installedBinary+" check ")) {
		t.Errorf("a reload checks %q, it starts with %q", reload, command)
	}
	if grace, err := time.ParseDuration(the("TimeoutStopSec") + "s"); err != nil || grace <= drain(t) {
		t.Errorf("it is killed after %s, and drains for %s", grace, drain(t))
	}
	flags := companionFlags(t)
	if got, want := "/var/lib/"+the("StateDirectory"), flags["state-dir"]; got != want {
		t.Errorf("the state is in %s, it may write %s", want, got)
	}
	if got, want := "/run/"+the("RuntimeDirectory"), filepath.Dir(flags["listen"]); got != want {
		t.Errorf("the socket is in %s, it may write %s", want, got)
	}
}

// TestCompanionCompose: without variables the compose file has the companion's own places; that it works is tried on an
// engine, in test/docker.
func TestCompanionCompose(t *testing.T) {
	usual := regexp.MustCompile(`\$\{[A-Z_]+:-([^}]*)\}`).ReplaceAllString(text(t, "companion/compose.yaml"), "$1")
	var file struct {
		Services map[string]struct {
			Image           string
			Command         []string
			Volumes         []string
			StopGracePeriod string `json:"stop_grace_period"`
		}
	}
	data, err := yaml.ToJSON([]byte(usual))
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	service := file.Services["companion"]
	wantKnown(t, service.Command)
	flags := companionFlags(t)
	for _, want := range []string{"--metrics-listen=" + flags["metrics-listen"], "--config=/etc/ensure-volumes/companion.yaml"} {
		if !slices.Contains(service.Command, want) {
			t.Errorf("%q lacks %s", service.Command, want)
		}
	}
	for _, place := range []string{flags["engine"], filepath.Dir(flags["listen"]), flags["state-dir"], "/etc/ensure-volumes"} {
		if !slices.ContainsFunc(service.Volumes, func(v string) bool { return strings.TrimSuffix(v, ":ro") == place+":"+place }) {
			t.Errorf("%q lacks %s", service.Volumes, place)
		}
	}
	if grace, err := time.ParseDuration(service.StopGracePeriod); err != nil || grace <= drain(t) {
		t.Errorf("it is killed after %s, and drains for %s", grace, drain(t))
	}
	if !strings.Contains(text(t, "../Makefile"), "-name "+service.Image+" ") {
		t.Errorf("make image makes no %s", service.Image)
	}
}

// TestCompanionConfiguration: the example is accepted, also with its comments taken for what they show.
func TestCompanionConfiguration(t *testing.T) {
	const example = "companion/companion.yaml"
	full := filepath.Join(t.TempDir(), "full.yaml")
	if err := os.WriteFile(full, []byte(regexp.MustCompile(`(?m)^  # (  |[a-z]+:$)`).ReplaceAllString(text(t, example), "  $1")), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, classes := range map[string]string{example: "2 classes", full: "4 classes"} {
		said, err := exec.CommandContext(t.Context(), companionBinary(t), "check", file).CombinedOutput()
		if err != nil || !strings.Contains(string(said), classes) {
			t.Errorf("companion check: %v: %s", err, said)
		}
	}
}
