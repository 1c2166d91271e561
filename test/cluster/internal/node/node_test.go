package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAddressesOfACluster(t *testing.T) {
	n := number(201)
	for got, want := range map[string]string{
		n.all().String():      "10.201.0.0/16",
		n.services().String(): "10.201.0.0/24",
		n.pods().String():     "10.201.1.0/24",
		n.outer().String():    "10.201.2.1",
		n.inner().String():    "10.201.2.2",
		n.link():              "ensurevol201",
		n.cgroup():            "ensure-volumes-201",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if len(highest.link()) > 15 {
		t.Errorf("%s is too long for an interface", highest.link())
	}
}

func TestRoutesAreRead(t *testing.T) {
	// On a machine of little-endian order, such as all that we know.
	for line, want := range map[string]string{
		"eth0 0002A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0":                       "192.168.2.0/24",
		"eth0 00000000 0102A8C0 0003 0 0 0 00000000 0 0 0":                       "0.0.0.0/0",
		"vpn  0000000A 00000000 0001 0 0 0 000000FF 0 0 0":                       "10.0.0.0/8",
		"Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT": "none",
	} {
		got := "none"
		if prefix, ok := route(line); ok {
			got = prefix.String()
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", line, got, want)
		}
	}
}

func TestAStateFolderWhereItIsSeen(t *testing.T) {
	for _, dir := range []string{"/run/x", "/var/lib/x", "/var/log", "/tmp/a,b", "/tmp/a:b"} {
		if _, err := checked(dir); err == nil {
			t.Errorf("%s is taken", dir)
		}
	}
	if dir, err := checked("/tmp/../running"); err != nil || dir != "/running" {
		t.Errorf("got %s, %v", dir, err)
	}
}

func TestOneClusterHasTheFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "node"), 0o700); err != nil {
		t.Fatal(err)
	}
	first, err := lockState(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { first.Close() })
	second, err := lockState(t.Context(), dir)
	if err != nil {
		t.Fatalf("after the first has gone: %v", err)
	}
	defer second.Close()
	begin := time.Now()
	if _, err := lockState(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "another cluster runs") {
		t.Errorf("beside the second: %v", err)
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("said after %s", took)
	}
}

func TestConfigurationsAreFilledIn(t *testing.T) {
	i := Inside{Dir: t.TempDir(), Number: 200}
	if err := i.writeConfigs(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		i.path("kubelet.yaml"):         `address: "10.200.2.2"`,
		i.path("containerd.toml"):      `root = "` + i.path("containerd") + `"`,
		i.path("cni", "pods.conflist"): `"subnet": "10.200.1.0/24"`,
		i.path("cluster.yaml"):         `name: "` + provisioner + `"`,
	} {
		content, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(content), want) {
			t.Errorf("%s: %v, lacks %s:\n%s", path, err, want, content)
		}
	}
}

func TestAControlGroupGoesWithThoseBelow(t *testing.T) {
	group := filepath.Join(t.TempDir(), "group")
	if err := os.MkdirAll(filepath.Join(group, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(group); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(group); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if err := removeTree(group); err != nil {
		t.Errorf("once it is gone: %v", err)
	}
}
