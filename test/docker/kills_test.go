package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/engine"
)

// ownEngine starts an engine for one test alone.
func ownEngine(t *testing.T) *engine.Engine {
	t.Helper()
	e, err := engine.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := engine.Import(t.Context(), e.Socket); err != nil {
		t.Fatal(err)
	}
	return e
}

// creators create containers, each with a missing volume of its own, until they
// are told to stop. Every second one is to go with its last container.
type creators struct {
	socket  string
	stopped atomic.Bool
	wg      sync.WaitGroup

	mu      sync.Mutex
	made    map[string]string // ids by volume, of creates that were answered with success
	refused []string          // answers that are neither success nor a lost engine
}

func (c *companion) creators(many int) *creators {
	cs := &creators{socket: c.Socket, made: map[string]string{}}
	for worker := range many {
		cs.wg.Go(func() {
			for i := 0; !cs.stopped.Load(); i++ {
				cs.create(fmt.Sprintf("killed-%d-%d", worker, i), i%2 == 0)
			}
		})
	}
	return cs
}

func (cs *creators) create(name string, last bool) {
	labels := hints("storageClass", "ram", "storage", "1Mi", "deleteOnSandboxTermination", fmt.Sprint(last))
	code, answer, err := call(context.Background(), cs.socket, http.MethodPost, "/containers/create", createBody(fmt.Sprintf(`"Binds":["%s:/data"]`, name), labels))
	var said struct {
		ID string `json:"Id"`
	}
	if err == nil {
		err = json.Unmarshal([]byte(answer), &said)
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch {
	case err != nil: // a companion that is gone
		time.Sleep(time.Millisecond)
	case code == http.StatusCreated:
		cs.made[name] = said.ID
	case code < 500:
		cs.refused = append(cs.refused, fmt.Sprintf("%d %s", code, answer))
	}
}

// stop returns when the last answer is there.
func (cs *creators) stop() {
	cs.stopped.Store(true)
	cs.wg.Wait()
}

// listed is what an engine has: volumes by name, and which volume each container uses.
func listed(t *testing.T, socket string) (volumes map[string]*volume, users map[string]string) {
	t.Helper()
	var all struct {
		Volumes []struct {
			Name string
			volume
		}
	}
	get(t, socket, "/volumes", &all)
	volumes, users = map[string]*volume{}, map[string]string{}
	for _, v := range all.Volumes {
		if v.Driver != "local" {
			continue // of a plugin, which is the machine's and not the engine's
		}
		volumes[v.Name] = look(t, socket, v.Name) // with its options, which the list leaves out
	}
	var containers []struct {
		ID     string `json:"Id"`
		Mounts []struct{ Name string }
	}
	get(t, socket, "/containers/json?all=1", &containers)
	for _, c := range containers {
		if len(c.Mounts) != 1 {
			t.Errorf("container %s has %d mounts", c.ID, len(c.Mounts))
			continue
		}
		users[c.ID] = c.Mounts[0].Name
	}
	return volumes, users
}

// checkWhole: every container has its volume, as it was asked for, and what was
// answered with success is there.
func (cs *creators) checkWhole(t *testing.T, socket string) (volumes map[string]*volume, users map[string]string) {
	t.Helper()
	volumes, users = listed(t, socket)
	for id, name := range users {
		if v := volumes[name]; !v.ensured("ram") || v.Options["o"] != "size=1048576" {
			t.Errorf("container %s has volume %s: %+v", id, name, v)
		}
	}
	for name, id := range cs.made {
		if users[id] != name {
			t.Errorf("container %s was answered with success and has volume %q, want %s", id, users[id], name)
		}
	}
	if len(cs.refused) > 0 {
		t.Errorf("%d creates were refused: %s", len(cs.refused), cs.refused[0])
	}
	return volumes, users
}

// checkRetained: of the volumes those and only those go that have had a
// container and were to go with it.
func (c *companion) checkRetained(t *testing.T, socket string, volumes map[string]*volume, users map[string]string) {
	t.Helper()
	var going, ids []string
	for id, name := range users {
		ids = append(ids, id)
		if v := volumes[name]; v != nil && v.Labels[domain+"delete-with-owner"] == "true" {
			going = append(going, name)
		}
	}
	slices.Sort(going)
	waitFor(t, "all that containers use is recorded", func() bool { return slices.Equal(c.recorded(t), going) })
	remove(t, socket, ids...)
	waitFor(t, "the volumes go with their containers", func() bool { return len(c.recorded(t)) == 0 })
	after, _ := listed(t, socket)
	for name := range volumes {
		if gone, want := after[name] == nil, slices.Contains(going, name); gone != want {
			t.Errorf("volume %s is gone: %v, want %v", name, gone, want)
		}
	}
	t.Logf("%d volumes, %d containers, %d volumes went with theirs", len(volumes), len(users), len(going))
}

// TestKilled: the companion is killed at any moment of many creates.
func TestKilled(t *testing.T) {
	e := ownEngine(t)
	c := startBefore(t, e.Socket, config)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	cs := c.creators(4)
	for range 8 {
		time.Sleep(time.Duration(50+random.IntN(350)) * time.Millisecond)
		c.Kill()
		c.up(t)
	}
	time.Sleep(200 * time.Millisecond)
	cs.stop()
	volumes, users := cs.checkWhole(t, e.Socket)
	for name, v := range volumes {
		if !v.ensured("ram") {
			t.Errorf("volume %s is %+v", name, v)
		}
	}
	if len(cs.made) == 0 {
		t.Error("nothing was created")
	}
	c.checkRetained(t, e.Socket, volumes, users)
}

// TestKilledBeforeRecorded: the engine has made container and volume, and the
// companion dies before it can remember that.
func TestKilledBeforeRecorded(t *testing.T) {
	between := interpose(t, shared.Socket)
	c := startBefore(t, between.socket, config)
	between.when(nil, func(r *http.Request) {
		if isCreate(r) {
			c.Kill() // the engine has answered; nobody hears it
		}
	})
	body := createBody(`"Binds":["unheard:/data"]`, hints("deleteOnSandboxTermination", "true"))
	if code, answer, err := call(t.Context(), c.Socket, http.MethodPost, "/containers/create?name=unheard", body); err == nil {
		t.Fatalf("answered %d %s by a companion that is dead", code, answer)
	}
	between.when(nil, nil)
	t.Cleanup(func() { _ = engine.CLI(context.Background(), shared.Socket, "rm", "--force", "unheard").Run() }) // gone, if all is well
	if got := c.recorded(t); len(got) > 0 || !look(t, shared.Socket, "unheard").ensured("standard") {
		t.Fatalf("recorded are %q; the volume is %+v", got, look(t, shared.Socket, "unheard"))
	}
	c.up(t)
	waitFor(t, "the use is recorded", func() bool { return slices.Equal(c.recorded(t), []string{"unheard"}) })
	remove(t, shared.Socket, "unheard")
	if !gone(t, "unheard") {
		t.Error("the volume outlived its last container")
	}
}

// TestEngineRestarted: the engine is killed, and ended, at any moment of many
// creates. What it leaves of a create that it has not answered is its own affair:
// a volume without labels may be left, but no container with such a one.
func TestEngineRestarted(t *testing.T) {
	e := ownEngine(t)
	c := startBefore(t, e.Socket, config)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	cs := c.creators(3)
	for i := range 4 {
		time.Sleep(time.Duration(200+random.IntN(400)) * time.Millisecond)
		end := e.Down
		if i%2 == 0 {
			end = e.Kill
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := e.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cs.create("after-all", true)
	cs.stop()
	if cs.made["after-all"] == "" {
		t.Error("after the engine's restart the companion creates nothing")
	}
	waitFor(t, "the companion notices", func() bool { return strings.Contains(c.log(t), "the engine answers again") })
	volumes, users := cs.checkWhole(t, e.Socket)
	c.checkRetained(t, e.Socket, volumes, users)
}

// TestLeft: a create that fails after its volume was made leaves the volume, which is counted.
func TestLeft(t *testing.T) {
	c := start(t)
	t.Cleanup(func() { _ = engine.CLI(context.Background(), shared.Socket, "volume", "rm", "left").Run() }) // gone, if all is well
	// Two at one place: the engine notices when it has made the first.
	body := createBody(`"Mounts":[{"Type":"volume","Source":"left","Target":"/data"},{"Type":"volume","Source":"left-second","Target":"/data"}]`,
		hints("deleteOnSandboxTermination", "true"))
	if code, message := refusal(t, c.Socket, "/containers/create", body); code != http.StatusBadRequest || !strings.Contains(message, "Duplicate mount point") {
		t.Errorf("%d %s", code, message)
	}
	if v := look(t, shared.Socket, "left"); !v.ensured("standard") || look(t, shared.Socket, "left-second") != nil {
		t.Errorf("the volume is %+v", v)
	}
	for name, want := range map[string]int{
		"ensure_volumes_volumes_left_total":                           1,
		"ensure_volumes_volumes_created_total":                        1,
		`ensure_volumes_container_creates_total{outcome="failed"}`:    1,
		`ensure_volumes_container_creates_total{outcome="ensured"}`:   0,
		`ensure_volumes_container_creates_total{outcome="unchanged"}`: 0,
	} {
		if got := c.metric(t, name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	// It has had no container: nothing that comes and goes takes it along.
	c.swept(t)
	c.stop(t)
	c.up(t)
	c.swept(t)
	if look(t, shared.Socket, "left") == nil {
		t.Error("a volume that had no container yet is gone")
	}
	// With one it goes.
	id, _ := makeContainer(t, c.Socket, createBody(`"Binds":["left:/data"]`, nil))
	remove(t, shared.Socket, id)
	if !gone(t, "left") {
		t.Error("the volume outlived its last container")
	}
}

// TestOtherStorageDriver: an engine that is started with another storage driver
// hides the containers it had, which are there all the same.
func TestOtherStorageDriver(t *testing.T) {
	e := ownEngine(t)
	c := startBefore(t, e.Socket, config)
	cs := &creators{socket: c.Socket, made: map[string]string{}}
	cs.create("hidden", true)
	restart := func(flags ...string) {
		if err := e.Down(); err != nil {
			t.Fatal(err)
		}
		e.Flags = flags
		if err := e.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	restart("--storage-driver=overlay2")
	waitFor(t, "the companion notices", func() bool { return strings.Contains(c.log(t), "these are kept") })
	if _, users := listed(t, e.Socket); len(users) > 0 {
		t.Fatalf("the engine shows %v; this test is for one that hides them", users)
	}
	if look(t, e.Socket, "hidden") == nil {
		t.Fatal("a volume that a hidden container uses is gone")
	}
	restart()
	volumes, users := cs.checkWhole(t, e.Socket)
	c.checkRetained(t, e.Socket, volumes, users)
}
