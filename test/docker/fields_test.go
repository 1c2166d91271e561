package docker

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// everything are options of docker create from all corners of the body. None is
// about volumes.
var everything = []string{
	"--hostname", "host1", "--user", "1:2", "--workdir", "/tmp", "--env", "A=ä \"b\" <c>", "--env", "EMPTY=", "--tty", "--interactive",
	"--entrypoint", "busybox", "--expose", "80/udp", "--stop-signal", "SIGUSR1", "--stop-timeout", "7", "--label", "own=\u2028", "--attach", "stdout",
	"--health-cmd", "true", "--health-interval", "7s", "--health-retries", "3", "--health-start-period", "1m1s", "--health-timeout", "2s",
	"--ulimit", "nofile=64:128", "--ulimit", "core=0", "--tmpfs", "/scratch:rw,size=64k,mode=1770", "--sysctl", "net.ipv4.ip_unprivileged_port_start=0",
	"--device", "/dev/null:/dev/nothing:r", "--device-cgroup-rule", "c 1:3 mr", "--log-driver", "json-file", "--log-opt", "max-size=1m", "--log-opt", "max-file=2",
	"--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined", "--cap-add", "SYS_TIME", "--cap-drop", "ALL", "--group-add", "7", "--init",
	"--memory", "64m", "--memory-reservation", "32m", "--memory-swap", "128m", "--cpus", "1.5", "--cpu-shares", "512", "--cpuset-cpus", "0", "--pids-limit", "100", "--shm-size", "1m",
	"--oom-score-adj", "100", "--restart", "on-failure:3", "--read-only", "--add-host", "other:192.0.2.1", "--dns", "192.0.2.2",
	"--dns-opt", "ndots:3", "--dns-search", "example.com", "--ipc", "private", "--pid", "host", "--userns", "host", "--cgroup-parent", "/own",
	"--runtime", "runc", "--volume", "/tmp:/from-host:ro", "--volume", "/anonymous",
}

// TestFieldsSurvive: with hints and volumes among them, a container made through
// the companion is the one that the same command makes without it.
func TestFieldsSurvive(t *testing.T) {
	c := start(t)
	direct(t, "volume", "create", "survivor")
	args := append(slices.Clone(everything), "--mount", "type=volume,src=survivor,dst=/data", "--mount", "type=tmpfs,dst=/more,tmpfs-size=4096", "--label", domain+"storageClass=", image, "sleep", "7")
	through, _ := c.create(t, args...)
	own := strings.TrimSpace(direct(t, append([]string{"create", "--network", "none"}, args...)...))
	got, want := portrait(t, through), portrait(t, own)
	remove(t, shared.Socket, own)
	for _, key := range []string{"Config", "HostConfig"} {
		one, _ := got[key].(map[string]any)
		other, _ := want[key].(map[string]any)
		if len(one) == 0 || len(one) != len(other) {
			t.Fatalf("%s: %d and %d members", key, len(one), len(other))
		}
		for member := range other {
			if !reflect.DeepEqual(one[member], other[member]) {
				t.Errorf("%s.%s is %v, without us %v", key, member, one[member], other[member])
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// portrait is all that the engine says of a container, without what differs
// between any two, and without what we add to a Mount of a volume.
func portrait(t *testing.T, id string) map[string]any {
	t.Helper()
	var c map[string]any
	get(t, shared.Socket, "/containers/"+id+"/json", &c)
	for _, key := range []string{"Id", "Created", "Name", "HostnamePath", "HostsPath", "LogPath", "ResolvConfPath"} {
		delete(c, key)
	}
	host, _ := c["HostConfig"].(map[string]any)
	mounts, _ := host["Mounts"].([]any)
	for _, m := range mounts {
		if m, _ := m.(map[string]any); m["Type"] == "volume" {
			options, _ := m["VolumeOptions"].(map[string]any)
			delete(options, "Labels")
			delete(options, "DriverConfig")
			if len(options) == 0 {
				delete(m, "VolumeOptions")
			}
		}
	}
	// The CLI and the engine have these in an order of chance.
	config, _ := c["Config"].(map[string]any)
	env, _ := config["Env"].([]any)
	slices.SortFunc(env, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	mounted, _ := c["Mounts"].([]any)
	for _, m := range mounted {
		if m, _ := m.(map[string]any); m["Destination"] == "/anonymous" {
			delete(m, "Name")
			delete(m, "Source")
		}
	}
	slices.SortFunc(mounted, func(a, b any) int {
		one, _ := a.(map[string]any)
		other, _ := b.(map[string]any)
		return strings.Compare(one["Destination"].(string), other["Destination"].(string))
	})
	return c
}

// TestUnknownFields: what nobody knows reaches the engine byte for byte, in one
// request that makes volume and container.
func TestUnknownFields(t *testing.T) {
	between := interpose(t, shared.Socket)
	c := startBefore(t, between.socket, config)
	const future = `"Future" : { "x":1.0e3,"X": [1, 2 ,{"x":null}], "x" :"\u00e4\/<", "big":123456789012345678901234567890 }`
	const option = `"FutureOption":  [ 1.50, "binds" ]`
	var arrived string
	between.when(func(r *http.Request) {
		if isCreate(r) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			arrived = string(body)
			r.Body = io.NopCloser(strings.NewReader(arrived))
		}
	}, nil)
	body := `{` + future + `, "Image":"` + image + `","Cmd":["sh"],"HostConfig":{ ` + option + `,"NetworkMode":"none","Binds":["unknown:/data"],
		"Mounts":[{"Type":"volume","Source":"unknown-mount","Target":"/m","FutureMount" : {"y" :2.0}, "VolumeOptions":{"Subpath2" : "a/b" }}] }, "Later":[ ]}`
	makeContainer(t, c.Socket, body)
	for _, text := range []string{future, option, `"FutureMount" : {"y" :2.0}`, `"Subpath2" : "a/b"`, `"Later":[ ]`} {
		if !strings.Contains(arrived, text) {
			t.Errorf("%s is lost in %s", text, arrived)
		}
	}
	var read struct{ HostConfig map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(arrived), &read); err != nil || string(read.HostConfig["Binds"]) != "[]" {
		t.Errorf("the engine got %s: %v", arrived, err)
	}
	if asked := between.requests("POST "); len(asked) != 1 {
		t.Errorf("the engine was asked %q, want one create", asked)
	}
	if !look(t, shared.Socket, "unknown").ensured("standard") || !look(t, shared.Socket, "unknown-mount").ensured("standard") {
		t.Error("a volume is not ensured")
	}
	// Without named volumes the body is the caller's, as it is.
	plain := " " + strings.Replace(strings.Replace(body, `"unknown:/data"`, ``, 1), `"Source":"unknown-mount",`, ``, 1)
	if makeContainer(t, c.Socket, plain); arrived != plain {
		t.Errorf("the engine got %s, want %s", arrived, plain)
	}
}
