package dockerproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"
	mobyvolume "github.com/moby/moby/api/types/volume"
	moby "github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"github.com/ensure-volumes/ensure-volumes/pkg/jsonscan"
)

// idle is how many connections to the engine wait for use, of what is passed on
// and of our own questions each.
const idle = 16

// chunk holds one of the chunks of 32 KiB in which net/http sends a body, head and
// end included: in less room each would take three writes, and wake the engine as often.
const chunk = 33 << 10

// engine is the one behind us: an http.RoundTripper for what is passed on, and what
// the companion itself asks.
type engine struct {
	transport *http.Transport // for bodies that come while they are sent
	exchanger *exchanger      // for all others, and for what we write ourselves
	client    *moby.Client
	known     atomic.Pointer[string] // what identity has found
}

// newEngine speaks to the engine on a Unix socket. It does not connect.
func newEngine(socket string) (*engine, error) {
	e := &engine{exchanger: &exchanger{socket: socket}, transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableCompression:  true, // a body must come out as it went in
		MaxIdleConnsPerHost: idle,
		WriteBufferSize:     chunk,
		ReadBufferSize:      chunk,
	}}
	own := &http.Transport{MaxIdleConns: idle, MaxIdleConnsPerHost: idle, IdleConnTimeout: 30 * time.Second}
	var err error
	// The scheme is told, since the client takes a cloned transport for one with TLS.
	e.client, err = moby.New(moby.WithHTTPClient(&http.Client{Transport: own, CheckRedirect: moby.CheckRedirect}),
		moby.WithHost("unix://"+socket), moby.WithScheme("http"))
	if err != nil {
		return nil, fmt.Errorf("making a client of the engine at %s: %w", socket, err)
	}
	return e, nil
}

// RoundTrip passes a request on.
func (e *engine) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil && r.Header.Get("Upgrade") == "" {
		return e.exchanger.RoundTrip(r)
	}
	return e.transport.RoundTrip(r)
}

// volume is a named volume as the engine shows it.
type volume struct {
	Name, Driver string
	CreatedAt    string // as the engine writes it; empty where it does not last
	Scope        string
	Labels       map[string]string
	exclusive    bool // it goes with its last container; set by look
}

// volume looks a volume up; nil where there is none. Creates of containers wait for
// this, so it is asked by hand and not through the moby client, which takes longer.
func (e *engine) volume(ctx context.Context, name string) (*volume, error) {
	v, err := e.inspect(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("looking for volume %s: %w", name, err)
	}
	return v, nil
}

func (e *engine) inspect(ctx context.Context, name string) (*volume, error) {
	response, err := e.exchanger.exchange(ctx, nil, []byte("GET /volumes/"+url.PathEscape(name)+" HTTP/1.1\r\nHost: engine\r\n\r\n"))
	if err != nil {
		return nil, lostError{err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return nil, lostError{err}
	case response.StatusCode == http.StatusNotFound:
		return nil, nil
	case response.StatusCode != http.StatusOK:
		var said struct{ Message string }
		_ = json.Unmarshal(body, &said) // without a message the code must do
		return nil, &engineError{response.StatusCode, said.Message}
	}
	v, err := readVolume(body)
	if err != nil {
		return nil, err
	}
	v.date(response.Header.Get("Api-Version"))
	return v, nil
}

// readVolume reads a volume as the engine writes it.
func readVolume(text []byte) (*volume, error) {
	v := new(volume)
	s := jsonscan.New(text)
	for key := range s.Members() {
		switch string(key) {
		case "Name":
			s.String(&v.Name)
		case "Driver":
			s.String(&v.Driver)
		case "CreatedAt":
			s.String(&v.CreatedAt)
		case "Scope":
			s.String(&v.Scope)
		case "Labels":
			v.Labels = readMap(s)
		}
	}
	if err := s.End(); err != nil {
		return nil, fmt.Errorf("the engine's volume is not understood: %w", err)
	}
	return v, nil
}

// engineError is an answer of the engine's that nobody has asked for.
type engineError struct {
	code int
	text string
}

func (e *engineError) Error() string {
	return fmt.Sprintf("the engine answers %d: %s", e.code, e.text)
}

// lostError is that no answer came.
type lostError struct{ error }

// lost reports whether an error is that the engine did not answer.
func lost(err error) bool {
	return errors.As(err, new(lostError)) || moby.IsErrConnectionFailed(err)
}

// exclusive are the volumes whose labels say that they go with their last
// container, by their names.
func (e *engine) exclusive(ctx context.Context) (map[string]*volume, error) {
	list, err := e.client.VolumeList(ctx, moby.VolumeListOptions{Filters: make(moby.Filters).Add("label", keyDeleteLast+"=true")})
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	exclusive := map[string]*volume{}
	for _, got := range list.Items {
		exclusive[got.Name] = e.show(got)
	}
	return exclusive, nil
}

// used are the ids of the containers, running or not, by the volumes they use.
// The engine lists a container before its create has come to its end.
func (e *engine) used(ctx context.Context) (map[string][]string, error) {
	list, err := e.client.ContainerList(ctx, moby.ContainerListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	used := map[string][]string{}
	for _, c := range list.Items {
		for _, m := range c.Mounts {
			if m.Type == mount.TypeVolume {
				used[m.Name] = append(used[m.Name], c.ID)
			}
		}
	}
	return used, nil
}

// whole reports whether the create of one of the containers has come to its end:
// until then the engine shows a container in lists only.
func (e *engine) whole(ctx context.Context, ids []string) (bool, error) {
	for _, id := range ids {
		_, err := e.client.ContainerInspect(ctx, id, moby.ContainerInspectOptions{})
		switch {
		case err == nil:
			return true, nil
		case !errdefs.IsNotFound(err):
			return false, fmt.Errorf("looking for container %s: %w", id, err)
		}
	}
	return false, nil
}

// remove removes a volume; the engine itself refuses where it is used.
func (e *engine) remove(ctx context.Context, name string) error {
	if _, err := e.client.VolumeRemove(ctx, name, moby.VolumeRemoveOptions{}); err != nil {
		return fmt.Errorf("removing volume %s: %w", name, err)
	}
	return nil
}

// removals are the engine's events of removed containers and volumes, from when
// it has returned until ctx ends or the engine does.
func (e *engine) removals(ctx context.Context) (<-chan events.Message, <-chan error) {
	got := e.client.Events(ctx, moby.EventsListOptions{Filters: make(moby.Filters).
		Add("type", string(events.ContainerEventType), string(events.VolumeEventType)).Add("event", string(events.ActionDestroy))})
	return got.Messages, got.Err
}

// show is a volume as far as it matters here.
func (e *engine) show(got mobyvolume.Volume) *volume {
	v := &volume{Name: got.Name, Driver: got.Driver, Scope: got.Scope, Labels: got.Labels, CreatedAt: got.CreatedAt}
	v.date(e.client.ClientVersion()) // agreed on with the engine by the request that has brought the volume
	return v
}

// date leaves out a CreatedAt that does not last, by the engine's API version: before
// 1.42 (Engine 23.0) it moves when something is written into the volume's root
// (moby/moby#44719).
func (v *volume) date(version string) {
	if versions.LessThan(version, "1.42") {
		v.CreatedAt = ""
	}
}

// identity tells whose containers the engine shows: an engine that is started on
// another data root, or with another storage driver, shows others, and hides those
// it had. It is asked once until forgetIdentity.
func (e *engine) identity(ctx context.Context) (string, error) {
	if known := e.known.Load(); known != nil {
		return *known, nil
	}
	got, err := e.client.Info(ctx, moby.InfoOptions{})
	if err != nil {
		return "", fmt.Errorf("asking which engine it is: %w", err)
	}
	identity := strings.Join([]string{got.Info.ID, got.Info.DockerRootDir, got.Info.Driver}, " ")
	e.known.Store(&identity)
	return identity, nil
}

func (e *engine) forgetIdentity() { e.known.Store(nil) }

// Ping reports whether the engine answers.
func (p *Proxy) Ping(ctx context.Context) error {
	if _, err := p.engine.client.Ping(ctx, moby.PingOptions{}); err != nil {
		return fmt.Errorf("asking the engine: %w", err)
	}
	return nil
}
