package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/engine"
)

// config is the companion's: the class adds labels only, so that the engine makes
// the same kind of volume on both sides.
const config = `classes:
  bench:
    driver: local
    labels: {class: bench}
`

// volume is what is looked at of a volume.
type volume struct {
	Name   string
	Labels map[string]string
}

// prepare makes what stays for the whole run, past the companion.
func (b *bench) prepare(ctx context.Context) error {
	b.existing = "existing"
	// As the companion would have made it, so that nothing differs that it would tell.
	classed := map[string]any{"Name": b.existing, "Labels": companionsLabels(time.Now())}
	if _, err := b.direct.call(ctx, "POST", "/volumes/create", classed, nil); err != nil {
		return err
	}
	// In memory, so that no disk slows what is copied.
	ram := map[string]any{"Type": "volume", "Source": "ram", "Target": "/ram", "VolumeOptions": map[string]any{
		"DriverConfig": map[string]any{"Name": "local", "Options": map[string]string{"type": "tmpfs", "device": "tmpfs"}},
	}}
	id, _, err := b.create(ctx, b.direct, map[string]any{"NetworkMode": "none", "Mounts": []any{ram}}, "busybox", "sleep", "1000000")
	if err != nil {
		return err
	}
	b.box = id
	_, err = b.direct.call(ctx, "POST", "/containers/"+id+"/start", nil, nil)
	return err
}

// create makes a container, hints included.
func (b *bench) create(ctx context.Context, a *arm, host map[string]any, command ...string) (id string, took time.Duration, err error) {
	var answer struct {
		ID       string
		Warnings []string
	}
	took, err = a.call(ctx, "POST", "/containers/create", map[string]any{
		"Image": engine.Image, "Cmd": command, "HostConfig": host,
		"Labels": map[string]string{"volumes.opensandbox.io/storageClass": "bench", "volumes.opensandbox.io/createIfNotExists": "true"},
	}, &answer)
	if err == nil && len(answer.Warnings) > 0 {
		err = fmt.Errorf("the create warns, which takes time: %q", answer.Warnings)
	}
	return answer.ID, took, err
}

// remove removes a container past the companion.
func (b *bench) remove(ctx context.Context, id string) error {
	_, err := b.direct.call(ctx, "DELETE", "/containers/"+id+"?force=1", nil, nil)
	return err
}

func (b *bench) lookup(ctx context.Context, a *arm) (time.Duration, error) {
	return a.call(ctx, "GET", "/volumes/"+b.existing, nil, nil)
}

func (b *bench) createBare(ctx context.Context, a *arm) (time.Duration, error) {
	id, took, err := b.create(ctx, a, map[string]any{"NetworkMode": "none"}, "true")
	if err != nil {
		return 0, err
	}
	return took, b.remove(ctx, id)
}

// binding mounts a volume where the image has no folder: the engine would copy what
// is in it into the volume, which takes longer than all the rest.
func binding(name string) map[string]any {
	return map[string]any{"NetworkMode": "none", "Binds": []string{name + ":/target"}}
}

// createWith makes a container that uses a volume. Through the proxies that do nothing of
// their own it is what the companion has to ask of the engine: whether the volume exists,
// which no client asks of it through a proxy, and then a create with the volume written
// as a Mount.
func (b *bench) createWith(ctx context.Context, a *arm, name string) (id string, took time.Duration, err error) {
	if a == b.direct || a == b.companion {
		return b.create(ctx, a, binding(name), "true")
	}
	begin := time.Now()
	looked, err := b.direct.look(ctx, name)
	if err != nil {
		return "", 0, err
	}
	mount := map[string]any{"Type": "volume", "Source": name, "Target": "/target", "VolumeOptions": map[string]any{
		"DriverConfig": map[string]any{"Name": "local"},
		"Labels":       companionsLabels(begin),
	}}
	id, took, err = b.create(ctx, a, map[string]any{"NetworkMode": "none", "Binds": []string{}, "Mounts": []any{mount}}, "true")
	return id, looked + took, err
}

// companionsLabels are those that the companion gives a volume of the class.
func companionsLabels(created time.Time) map[string]string {
	return map[string]string{
		"class": "bench", "volumes.opensandbox.io/storageClass": "bench",
		"app.kubernetes.io/managed-by": "ensure-volumes", "volumes.opensandbox.io/created": created.UTC().Format(time.RFC3339Nano),
	}
}

// look asks for a volume that may be missing.
func (a *arm) look(ctx context.Context, name string) (time.Duration, error) {
	request, err := a.request(ctx, http.MethodGet, "/volumes/"+name, nil)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	response, err := a.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	took := time.Since(begin)
	if err == nil && response.StatusCode != http.StatusOK && response.StatusCode != http.StatusNotFound {
		err = fmt.Errorf("looking for volume %s: %s", name, response.Status)
	}
	return took, err
}

func (b *bench) createExisting(ctx context.Context, a *arm) (time.Duration, error) {
	id, took, err := b.createWith(ctx, a, b.existing)
	if err != nil {
		return 0, err
	}
	return took, b.remove(ctx, id)
}

// createMissing has the engine make a volume: bare directly, else of its class.
func (b *bench) createMissing(ctx context.Context, a *arm) (time.Duration, error) {
	b.made++
	name := fmt.Sprintf("missing-%d", b.made)
	id, took, err := b.createWith(ctx, a, name)
	if err != nil {
		return 0, err
	}
	var v volume
	if _, err := b.direct.call(ctx, "GET", "/volumes/"+name, nil, &v); err != nil {
		return 0, err
	}
	if classed := v.Labels["class"] == "bench"; classed != (a != b.direct) {
		return 0, fmt.Errorf("the volume has the labels %v", v.Labels)
	}
	if err := b.remove(ctx, id); err != nil {
		return 0, err
	}
	_, err = b.direct.call(ctx, "DELETE", "/volumes/"+name, nil, nil)
	return took, err
}

// start starts a container that was made past the companion, and waits for its
// end, which does not count, so that it is not in the next one's way.
func (b *bench) start(ctx context.Context, a *arm) (time.Duration, error) {
	id, _, err := b.create(ctx, b.direct, map[string]any{"NetworkMode": "none"}, "true")
	if err != nil {
		return 0, err
	}
	took, err := a.call(ctx, "POST", "/containers/"+id+"/start", nil, nil)
	if err != nil {
		return 0, err
	}
	if _, err := b.direct.call(ctx, "POST", "/containers/"+id+"/wait", nil, nil); err != nil {
		return 0, err
	}
	return took, b.remove(ctx, id)
}
