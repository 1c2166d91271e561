package docker

import (
	"maps"
	"strings"
	"sync"
	"testing"
)

func TestMissingVolume(t *testing.T) {
	c := start(t)
	out, warnings := c.must(t, "run", "--rm", "--network", "none", "-v", "made:/data", "--label", domain+"storageClass=ram",
		"--label", "made."+domain+"storage=1Mi", image, "busybox", "df", "-k", "/data")
	if warnings != "" || !strings.Contains(out, "1024") {
		t.Errorf("got %q and warnings %q, want a tmpfs of 1024 KiB", out, warnings)
	}
	v := inspect(t, "made")
	if v == nil || v.Options["o"] != "size=1048576" || v.Labels[domain+"storageClass"] != "ram" || v.Labels[domain+"storage"] != "1Mi" ||
		v.Labels["app.kubernetes.io/managed-by"] != "ensure-volumes" {
		t.Errorf("the volume is %+v", v)
	}
}

func TestData(t *testing.T) {
	c := start(t)
	c.must(t, "run", "--rm", "--network", "none", "-v", "shared:/data", image, "sh", "-c", "echo hello >/data/f")
	first := inspect(t, "shared")
	out, warnings := c.must(t, "run", "--rm", "--network", "none", "--mount", "type=volume,src=shared,dst=/data,readonly", "--label",
		domain+"storageClass=ram", image, "busybox", "cat", "/data/f")
	if out != "hello\n" || !strings.Contains(warnings, `storageClass "ram" asked, it has "standard"`) {
		t.Errorf("got %q and warnings %q", out, warnings)
	}
	if second := inspect(t, "shared"); first == nil || second == nil || !maps.Equal(first.Labels, second.Labels) {
		t.Errorf("the volume was %+v and is %+v", first, second)
	}
}

func TestRefusals(t *testing.T) {
	c := start(t)
	for _, row := range []struct{ label, text string }{
		{"storage=10 GB", `Labels[volumes.opensandbox.io/storage]: invalid quantity "10 GB"; write it as "10Gi"`},
		{"storageClass=slow", `class "slow" does not exist; write one of ram, standard`},
		{"createIfNotExists=false", `volume "never" does not exist and must not be created`},
	} {
		_, errs, code := docker(t, c.Socket, "", "create", "--network", "none", "-v", "never:/data", "--label", domain+row.label, image, "sh")
		if code == 0 || !strings.Contains(errs, "Error response from daemon: ") || !strings.Contains(errs, row.text) {
			t.Errorf("%s: exit code %d: %s", row.label, code, errs)
		}
	}
	if inspect(t, "never") != nil {
		t.Error("the volume was created all the same")
	}
}

func TestSwitchedOff(t *testing.T) {
	c := start(t)
	c.reconfigure(t, "volumeAutoCreate: false\n"+config)
	_, errs, code := docker(t, c.Socket, "", "create", "--pull", "never", "--network", "none", "-v", "off:/data", image, "sh")
	if code == 0 || !strings.Contains(errs, "switched off") || inspect(t, "off") != nil {
		t.Errorf("exit code %d: %s; the volume is %+v", code, errs, inspect(t, "off"))
	}
}

func TestManyAtOnce(t *testing.T) {
	c := start(t)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if _, errs, code := docker(t, c.Socket, "", "create", "--network", "none", "-v", "many:/data", image, "sh"); code != 0 {
				t.Error(errs)
			}
		})
	}
	wg.Wait()
	if v := inspect(t, "many"); v == nil || v.Labels["class"] != "standard" {
		t.Errorf("the volume is %+v", v)
	}
}

// TestVolumeCreate: an OpenSandbox server's sequence; it gives a name and one label, no driver.
func TestVolumeCreate(t *testing.T) {
	c := start(t)
	if code, body := post(t, c.Socket, "/v1.41/volumes/create", `{"Name":"posted","Driver":null,"Labels":{"own":"1"}}`); code != 201 {
		t.Fatalf("%d: %s", code, body)
	}
	if v := inspect(t, "posted"); v == nil || v.Labels["class"] != "standard" || v.Labels["own"] != "1" {
		t.Errorf("the volume is %+v", v)
	}
	c.create(t, "-v", "posted:/data", image, "sh")
}
