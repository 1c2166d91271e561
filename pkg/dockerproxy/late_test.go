package dockerproxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestGivenUp: a client is gone before the engine has made the container, which
// it does all the same. That the volume is used gets recorded.
func TestGivenUp(t *testing.T) {
	state, err := OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	arrived, abandoned := make(chan struct{}), make(chan struct{})
	var label atomic.Pointer[string] // of the volume, once there is one
	var whole atomic.Bool
	socket, p := standInProxy(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch path := r.URL.Path; {
		case r.Method == http.MethodPost:
			body, _ := io.ReadAll(r.Body) // only then the server hears of the client's end
			close(arrived)
			<-r.Context().Done()
			label.Store(labelIn(body))
			close(abandoned)
		case strings.HasSuffix(path, "/events"):
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case strings.HasSuffix(path, "/volumes") && label.Load() != nil:
			_ = json.NewEncoder(w).Encode(map[string]any{"Volumes": []*volume{going(*label.Load(), "then")}})
		case strings.HasSuffix(path, "/containers/json") && label.Load() != nil:
			_, _ = io.WriteString(w, `[{"Id":"1","Mounts":[{"Type":"volume","Name":"data"}]}]`)
		case strings.HasSuffix(path, "/containers/1/json") && whole.Swap(true): // not yet at the first look
			_, _ = io.WriteString(w, `{"Id":"1"}`)
		case strings.HasSuffix(path, "/volumes"):
			_, _ = io.WriteString(w, `{}`)
		case strings.HasSuffix(path, "/containers/json"):
			_, _ = io.WriteString(w, `[]`)
		default:
			writeError(w, http.StatusNotFound, "no such volume")
		}
	}, state, "1.42")
	p.aftermath = 100 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); p.Retain(ctx) }()
	defer func() { cancel(); <-ended }()

	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"Labels":{"volumes.opensandbox.io/deleteOnSandboxTermination":"true"},"HostConfig":{"Binds":["data:/d"]}}`
	fmt.Fprintf(conn, "POST /containers/create HTTP/1.1\r\nHost: docker\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	<-arrived
	hangUp(conn)
	<-abandoned
	for range 200 {
		if all := state.All(); len(all) == 1 && all[0].Used {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("that the volume is used was never recorded")
}

// TestLateCreate: a companion has ended before the engine came to its end with a
// create. The next one finds the container, though there is none at its start.
func TestLateCreate(t *testing.T) {
	state, err := OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	soon := time.Now().UTC().Format(time.RFC3339Nano)
	if err := state.Intend(soon, "data"); err != nil {
		t.Fatal(err)
	}
	var listed atomic.Int32
	_, p := standInProxy(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/events"):
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case strings.HasSuffix(path, "/volumes") && listed.Add(1) > 1: // not at the first look
			_ = json.NewEncoder(w).Encode(map[string]any{"Volumes": []*volume{going(soon, "then")}})
		case strings.HasSuffix(path, "/volumes"):
			_, _ = io.WriteString(w, `{}`)
		case strings.HasSuffix(path, "/containers/json") && listed.Load() > 2: // nor at the second
			_, _ = io.WriteString(w, `[{"Id":"1","Mounts":[{"Type":"volume","Name":"data"}]}]`)
		case strings.HasSuffix(path, "/containers/json"):
			_, _ = io.WriteString(w, `[]`)
		default:
			_, _ = io.WriteString(w, `{"Id":"1"}`)
		}
	}, state, "1.42")
	p.aftermath = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); p.Retain(ctx) }()
	defer func() { cancel(); <-ended }()
	for range 500 {
		if all := state.All(); len(all) == 1 && all[0].Used {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("that the volume is used was never recorded")
}
