package docker

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const last = domain + "deleteOnSandboxTermination=true"

// gone gives a volume about ten seconds to go.
func gone(t *testing.T, name string) bool {
	t.Helper()
	for range 100 {
		if look(t, shared.Socket, name) == nil {
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	return false
}

// swept returns when the companion has gone through all that it knows at least
// once since: of two canaries the second goes after all of the first's sweep.
func (c *companion) swept(t *testing.T) {
	t.Helper()
	for range 2 {
		id, _ := makeContainer(t, c.Socket, createBody(`"Binds":["canary:/data"]`, hints("deleteOnSandboxTermination", "true")))
		remove(t, shared.Socket, id)
		if !gone(t, "canary") {
			t.Fatal("a volume outlived its last container")
		}
		waitFor(t, "the state forgets the volume", func() bool { return !slices.Contains(c.recorded(t), "canary") })
	}
}

func TestGoesWithItsLastContainer(t *testing.T) {
	c := start(t)
	first, _ := c.create(t, "-v", "with:/data", "--label", last, image, "sh")
	second, _ := c.create(t, "-v", "with:/data", image, "sh")
	kept, _ := c.create(t, "-v", "without:/data", image, "sh")
	direct(t, "rm", first, kept)
	c.swept(t)
	if look(t, shared.Socket, "with") == nil || look(t, shared.Socket, "without") == nil {
		t.Fatal("a volume with a container, or without the hint, is gone")
	}
	c.must(t, "rm", second) // through us, as well
	if !gone(t, "with") {
		t.Error("the volume outlived its last container")
	}
	if look(t, shared.Socket, "without") == nil {
		t.Error("a volume without the hint is gone")
	}
	waitFor(t, "the state forgets the volume", func() bool { return len(c.recorded(t)) == 0 })
	c.must(t, "run", "--rm", "--network", "none", "-v", "auto:/data", "--label", last, image, "touch", "/data/file")
	if !gone(t, "auto") {
		t.Error("the volume outlived docker run --rm")
	}
	// The hint of one volume is not another's.
	id, _ := c.create(t, "-v", "one:/one", "-v", "other:/other", "--label", "one."+last, image, "sh")
	direct(t, "rm", id)
	if !gone(t, "one") || look(t, shared.Socket, "other") == nil {
		t.Error("the volume with the hint is kept, or the one without is gone")
	}
}

func TestCatchesUp(t *testing.T) {
	c := start(t)
	id, _ := c.create(t, "-v", "meanwhile:/data", "--label", last, image, "sh")
	again, _ := c.create(t, "-v", "remade:/data", "--label", last, image, "sh")
	c.stop(t)
	direct(t, "rm", id, again)
	// Another volume of the same name, that no container of ours has used.
	forge(t, "remade", "2026-01-01T00:00:00Z")
	c.up(t)
	if !gone(t, "meanwhile") {
		t.Error("the volume outlived a container that was removed meanwhile")
	}
	c.swept(t)
	if look(t, shared.Socket, "remade") == nil {
		t.Error("a volume that had no container yet is gone")
	}
}

// forge makes a volume with all labels of one that goes with its last container,
// in place of one of that name.
func forge(t *testing.T, name, created string) {
	t.Helper()
	if look(t, shared.Socket, name) != nil {
		direct(t, "volume", "rm", name)
	}
	direct(t, "volume", "create", "--label", "app.kubernetes.io/managed-by=ensure-volumes", "--label", domain+"created="+created,
		"--label", domain+"delete-with-owner=true", "--label", domain+"storageClass=standard", name)
}

// TestCutOff: a companion that cannot see the engine while containers go catches
// up when it can.
func TestCutOff(t *testing.T) {
	between := interpose(t, shared.Socket)
	c := startBefore(t, between.socket, config)
	id, _ := makeContainer(t, c.Socket, createBody(`"Binds":["cut-off:/data"]`, hints("deleteOnSandboxTermination", "true")))
	between.down(t)
	waitFor(t, "the companion notices", func() bool { return strings.Contains(c.log(t), "lost the engine's events") })
	remove(t, shared.Socket, id)
	code, said := refusal(t, c.Socket, "/containers/create", createBody(`"Binds":["cut-off:/data"]`, nil))
	if code != 502 || look(t, shared.Socket, "cut-off") == nil {
		t.Errorf("without an engine: %d %s", code, said)
	}
	between.up(t)
	if !gone(t, "cut-off") {
		t.Error("the volume outlived its last container")
	}
}

// TestStateLost: without its state the companion knows nothing of a volume, and keeps it.
func TestStateLost(t *testing.T) {
	c := start(t)
	id, _ := c.create(t, "-v", "in-doubt:/data", "--label", last, image, "sh")
	if got := c.recorded(t); !slices.Equal(got, []string{"in-doubt"}) {
		t.Fatalf("recorded by the time the client knows are %q", got)
	}
	c.stop(t)
	if err := os.Remove(filepath.Join(c.StateDir, "volumes.json")); err != nil {
		t.Fatal(err)
	}
	c.up(t)
	again, warnings := c.create(t, "-v", "in-doubt:/data", "--label", last, image, "sh")
	if !strings.Contains(warnings, "deleteOnSandboxTermination true asked, it has false") {
		t.Errorf("warned %q", warnings)
	}
	remove(t, shared.Socket, id, again)
	c.swept(t)
	if look(t, shared.Socket, "in-doubt") == nil {
		t.Error("a volume without an entry is gone")
	}
}

// TestKept: what the companion must not remove, whatever goes and comes.
func TestKept(t *testing.T) {
	c := start(t)
	// Made through us to go with its last container, but it has had none.
	code, answer, err := call(t.Context(), c.Socket, http.MethodPost, "/volumes/create", `{"Name":"kept-unused","Labels":{"`+domain+`delete-with-owner":"true"}}`)
	if err != nil || code != http.StatusCreated || !look(t, shared.Socket, "kept-unused").ensured("standard") {
		t.Fatalf("%d %s, %v", code, answer, err)
	}
	// Of other people: bare, and with all our labels but none of our doing.
	direct(t, "volume", "create", "kept-foreign")
	forge(t, "kept-forged", "2026-01-01T00:00:00Z")
	// Without one of our labels each.
	direct(t, "volume", "create", "--label", domain+"delete-with-owner=true", "--label", domain+"created=2026-01-01T00:00:00Z", "kept-unmanaged")
	direct(t, "volume", "create", "--label", domain+"delete-with-owner=true", "--label", "app.kubernetes.io/managed-by=ensure-volumes", "kept-undated")
	// With containers: one that is left, and one that came past us.
	held, _ := c.create(t, "-v", "kept-held:/data", "--label", last, image, "sh")
	past := strings.TrimSpace(direct(t, "create", "--network", "none", "-v", "kept-held:/data", image, "sh"))
	// A copy of one of ours, under another name and with all its labels.
	forge(t, "kept-copy", look(t, shared.Socket, "kept-held").Labels[domain+"created"])
	// Their containers, with the hint and through us, make them none of ours.
	var ids []string
	for _, name := range []string{"kept-foreign", "kept-unmanaged", "kept-undated", "kept-copy"} {
		id, warnings := c.create(t, "-v", name+":/data", "--label", last, image, "sh")
		if ids = append(ids, id); !strings.Contains(warnings, "deleteOnSandboxTermination true asked, it has false") {
			t.Errorf("%s: warned %q", name, warnings)
		}
	}
	// A container that came past us and went, while nothing was recorded.
	forgedUser := strings.TrimSpace(direct(t, "create", "--network", "none", "-v", "kept-forged:/data", image, "sh"))
	remove(t, shared.Socket, append(ids, held, forgedUser)...)
	all := []string{"kept-unused", "kept-foreign", "kept-forged", "kept-unmanaged", "kept-undated", "kept-held", "kept-copy"}
	check := func(when string) {
		c.swept(t)
		for _, name := range all {
			if look(t, shared.Socket, name) == nil {
				t.Errorf("%s: volume %s is gone", when, name)
			}
		}
	}
	check("while it runs")
	c.stop(t)
	c.up(t)
	check("after a restart")
	if got := c.recorded(t); !slices.Equal(got, []string{"kept-held"}) {
		t.Errorf("recorded are %q", got)
	}
	remove(t, shared.Socket, past)
	if !gone(t, "kept-held") {
		t.Error("the volume outlived its last container")
	}
}
