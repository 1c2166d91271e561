package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// arm is one of the ways to the engine.
type arm struct {
	name, socket string
	client       *http.Client
}

// newArm keeps one connection to the socket.
func newArm(name, socket string) *arm {
	return &arm{name, socket, &http.Client{Transport: &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, socket) },
		MaxConnsPerHost: 1,
		// As the docker CLI: else the engine would spend its time on compressing.
		DisableCompression: true,
	}}}
}

func dial(ctx context.Context, socket string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", socket)
}

// call sends a request, in JSON where body is not nil, decodes the answer where
// into is not nil, and returns how long it took from the first byte to the last.
func (a *arm) call(ctx context.Context, method, path string, body, into any) (time.Duration, error) {
	content := []byte{}
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	request, err := a.request(ctx, method, path, bytes.NewReader(content))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	begin := time.Now()
	response, err := a.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	took := time.Since(begin)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s %s: %w", method, path, err)
	case response.StatusCode >= 300:
		return 0, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, said)
	case into != nil:
		err = json.Unmarshal(said, into)
	}
	return took, err
}

func (a *arm) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, method, "http://docker"+path, body)
}
