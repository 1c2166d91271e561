package dockerproxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
)

// engine asks the engine what the companion itself needs to know.
type engine struct{ transport *http.Transport }

// newEngine speaks to the engine on a Unix socket.
func newEngine(socket string) *engine {
	return &engine{&http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		// A body must come out as it went in, and attaches by the hundred must not wait for each other.
		DisableCompression:  true,
		MaxIdleConnsPerHost: 16,
	}}
}

// volume is a named volume as the engine shows it.
type volume struct {
	Name    string
	Driver  string
	Options map[string]string
	Labels  map[string]string
}

// volume looks a volume up; nil where there is none.
func (e *engine) volume(ctx context.Context, name string) (*volume, error) {
	v := new(volume)
	found, err := e.do(ctx, http.MethodGet, "/volumes/"+url.PathEscape(name), v)
	if err != nil {
		return nil, fmt.Errorf("looking for volume %s: %w", name, err)
	}
	if !found {
		return nil, nil
	}
	return v, nil
}

// exclusive lists the volumes that go with their last container.
func (e *engine) exclusive(ctx context.Context) ([]volume, error) {
	filter, err := json.Marshal(map[string][]string{"label": {keyDeleteLast + "=true"}})
	if err != nil {
		return nil, err
	}
	var list struct{ Volumes []volume }
	if _, err := e.do(ctx, http.MethodGet, "/volumes?filters="+url.QueryEscape(string(filter)), &list); err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	return slices.DeleteFunc(list.Volumes, func(v volume) bool { return !v.exclusive() }), nil
}

// used reports whether any container, running or not, uses the volume.
func (e *engine) used(ctx context.Context, name string) (bool, error) {
	filter, _ := json.Marshal(map[string][]string{"volume": {name}})
	var containers []json.RawMessage
	if _, err := e.do(ctx, http.MethodGet, "/containers/json?all=1&filters="+url.QueryEscape(string(filter)), &containers); err != nil {
		return false, fmt.Errorf("looking for containers that use volume %s: %w", name, err)
	}
	return len(containers) > 0, nil
}

// remove removes a volume; the engine itself refuses where it is used.
func (e *engine) remove(ctx context.Context, name string) error {
	if _, err := e.do(ctx, http.MethodDelete, "/volumes/"+url.PathEscape(name), nil); err != nil {
		return fmt.Errorf("removing volume %s: %w", name, err)
	}
	return nil
}

// Ping reports whether the engine answers.
func (p *Proxy) Ping(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/_ping", nil)
	if err != nil {
		return err
	}
	response, err := p.engine.transport.RoundTrip(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return &statusError{code: response.StatusCode}
	}
	return nil
}

// statusError is an answer of the engine's that is no success.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the engine answered %d: %s", e.code, e.message)
}

// do sends a request and decodes the answer; found is false for a 404.
func (e *engine) do(ctx context.Context, method, path string, into any) (found bool, err error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, nil)
	if err != nil {
		return false, err
	}
	response, err := e.transport.RoundTrip(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return false, err
	case response.StatusCode == http.StatusNotFound:
		return false, nil
	case response.StatusCode >= 300:
		var said struct{ Message string }
		_ = json.Unmarshal(body, &said) // without a message the status alone is told
		return false, &statusError{response.StatusCode, said.Message}
	case into == nil:
		return true, nil
	}
	return true, json.Unmarshal(body, into)
}
