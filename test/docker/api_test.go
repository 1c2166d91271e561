package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/engine"
)

// call is one request over a connection of its own, so that nothing is tried
// again behind the test's back.
func call(ctx context.Context, socket, method, path, body string) (code int, answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// get reads what is at the path of an API into v; it reports whether there is something.
func get(t *testing.T, socket, path string, v any) bool {
	t.Helper()
	code, answer, err := call(t.Context(), socket, http.MethodGet, path, "")
	if err == nil && code == http.StatusOK {
		err = json.Unmarshal([]byte(answer), v)
	}
	if err != nil || code != http.StatusOK && code != http.StatusNotFound {
		t.Fatalf("GET %s: %d %s, %v", path, code, answer, err)
	}
	return code == http.StatusOK
}

// look is a volume as an engine shows it; nil where there is none.
func look(t *testing.T, socket, name string) *volume {
	t.Helper()
	v := new(volume)
	if !get(t, socket, "/volumes/"+name, v) {
		return nil
	}
	return v
}

// ensured reports whether a volume was made by a companion with the class.
func (v *volume) ensured(class string) bool {
	return v != nil && v.Labels["app.kubernetes.io/managed-by"] == "ensure-volumes" && v.Labels[domain+"created"] != "" && v.Labels[domain+"storageClass"] == class
}

// container is a container as an engine shows it.
type container struct {
	Name       string
	Config     struct{ Labels map[string]string }
	HostConfig struct {
		Binds  []string
		Mounts []struct {
			Source, Target string
			ReadOnly       bool
			VolumeOptions  struct{ NoCopy bool }
		}
	}
	Mounts []map[string]any // as they are in effect
}

func inspectContainer(t *testing.T, socket, id string) *container {
	t.Helper()
	c := new(container)
	if !get(t, socket, "/containers/"+id+"/json", c) {
		t.Fatalf("there is no container %s", id)
	}
	return c
}

// createBody is the body of a container create with a part of HostConfig, as
// JSON members, and labels.
func createBody(host string, labels map[string]string) string {
	text, err := json.Marshal(labels)
	if err != nil {
		panic(err) // texts can always be written
	}
	return fmt.Sprintf(`{"Image":%q,"Cmd":["sh"],"Labels":%s,"HostConfig":{"NetworkMode":"none",%s}}`, image, text, host)
}

// hints are labels under our domain, in turn key and value.
func hints(keyValue ...string) map[string]string {
	labels := map[string]string{}
	for i := 0; i < len(keyValue); i += 2 {
		labels[domain+keyValue[i]] = keyValue[i+1]
	}
	return labels
}

// makeContainer creates a container and returns its id and the answer's warnings. It is
// removed with the test.
func makeContainer(t *testing.T, socket, body string) (id string, warnings []string) {
	t.Helper()
	code, answer, err := call(t.Context(), socket, http.MethodPost, "/v1.41/containers/create", body)
	var made struct {
		ID       string `json:"Id"`
		Warnings []string
	}
	if err == nil {
		err = json.Unmarshal([]byte(answer), &made)
	}
	if err != nil || code != http.StatusCreated {
		t.Fatalf("%s: %d %s, %v", body, code, answer, err)
	}
	t.Cleanup(func() {
		_, _, _ = call(context.Background(), shared.Socket, http.MethodDelete, "/containers/"+made.ID+"?force=1", "")
	}) // its test may have
	return made.ID, made.Warnings
}

// refusal is a create that must not work: its status and its message.
func refusal(t *testing.T, socket, path, body string) (code int, message string) {
	t.Helper()
	code, answer, err := call(t.Context(), socket, http.MethodPost, path, body)
	var said struct{ Message *string }
	decoder := json.NewDecoder(bytes.NewReader([]byte(answer)))
	decoder.DisallowUnknownFields() // the engine's errors have nothing else
	if err == nil {
		err = decoder.Decode(&said)
	}
	if err != nil || code < 400 || said.Message == nil {
		t.Fatalf("%s: %d %s, %v; want the engine's form of an error", body, code, answer, err)
	}
	return code, *said.Message
}

// remove removes containers past every companion, in the order given.
func remove(t *testing.T, socket string, ids ...string) {
	t.Helper()
	out, err := engine.CLI(t.Context(), socket, append([]string{"rm", "--force"}, ids...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
