package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// auditEvent is what the API server's audit log says of one answered request,
// as much of it as is read.
type auditEvent struct {
	Verb       string `json:"verb"`
	RequestURI string `json:"requestURI"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	ImpersonatedUser struct {
		Username string `json:"username"`
	} `json:"impersonatedUser"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	ObjectRef struct {
		Resource  string `json:"resource"`
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"objectRef"`
	Annotations map[string]string `json:"annotations"`
}

// who is the user that a request counts as.
func (e auditEvent) who() string {
	if e.ImpersonatedUser.Username != "" {
		return e.ImpersonatedUser.Username
	}
	return e.User.Username
}

// events are the requests in the audit log whose line holds a text, such as a
// namespace's name. The API server writes each before it answers.
func (g *ground) events(t *testing.T, text string) []auditEvent {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(g.cp.Dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	var events []auditEvent
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), []byte(text)) {
			continue
		}
		var event auditEvent
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			continue // the last line may be half written, and is another's then
		}
		events = append(events, event)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}

// calls are the webhook's calls in a namespace so far, dry runs left out, each
// as its verb and resource.
func (g *ground) calls(t *testing.T, ns string) []string {
	t.Helper()
	var calls []string
	for _, event := range g.events(t, ns) {
		if event.User.Username == account && event.ObjectRef.Namespace == ns && !strings.Contains(event.RequestURI, "dryRun=") {
			calls = append(calls, event.Verb+" "+event.ObjectRef.Resource)
		}
	}
	return calls
}

// times is how often a call is among calls.
func times(calls []string, call string) (n int) {
	for _, c := range calls {
		if c == call {
			n++
		}
	}
	return n
}

// metrics are the samples that the webhook shows, by name with labels.
func (g *ground) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.webhook.MetricsURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("GET /metrics: %s\n%s", response.Status, body)
	}
	samples := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if value == "" {
			name, value, _ = strings.Cut(name, " ")
		} else {
			name += "}"
		}
		if samples[name], err = strconv.ParseFloat(value, 64); err != nil {
			t.Fatalf("GET /metrics: line %q: %v", line, err)
		}
	}
	return samples
}

// reviews is how many reviews the webhook has answered.
func (g *ground) reviews(t *testing.T) int {
	t.Helper()
	n := 0.0
	for name, value := range g.metrics(t) {
		if strings.HasPrefix(name, "ensure_volumes_admission_duration_seconds_count{") {
			n += value
		}
	}
	return int(n)
}

// only is the one pod of a namespace.
func (g *ground) only(ctx context.Context, ns string) (corev1.Pod, error) {
	var pods corev1.PodList
	if err := g.admin.List(ctx, &pods, client.InNamespace(ns)); err != nil {
		return corev1.Pod{}, err
	}
	if len(pods.Items) != 1 {
		return corev1.Pod{}, fmt.Errorf("there are %d pods", len(pods.Items))
	}
	return pods.Items[0], nil
}

// quiet makes a namespace that is not enabled and in which pods can be created.
func (g *ground) quiet(t *testing.T) string {
	t.Helper()
	ns := g.bareNamespace(t, nil)
	wait(t, "pods can be created in "+ns, func(ctx context.Context) error {
		return g.admin.Create(ctx, pod(ns, "probe"), client.DryRunAll)
	})
	return ns
}
