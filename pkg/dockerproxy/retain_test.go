package dockerproxy

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestSettle holds which volume is removed, which is forgotten and which is
// recorded, for one that goes with its last container.
func TestSettle(t *testing.T) {
	const then, later = "2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"
	made, soon := "2026-01-02T03:04:05.000000001Z", time.Now().UTC().Format(time.RFC3339Nano)
	used := &Entry{Name: "data", Label: made, Used: true, CreatedAt: then, Engine: standInID}
	old := &Entry{Name: "data", Label: made, Used: true, Engine: standInID} // recorded where CreatedAt does not last
	elsewhere := &Entry{Name: "data", Label: made, Used: true, CreatedAt: then, Engine: "ID /root overlay2"}
	global := going(made, then)
	global.Scope = "global"
	unused := &Entry{Name: "data", Label: made}
	other := going(made, then)
	other.Labels[keyManagedBy] = "somebody"
	for _, row := range []struct {
		rule      string
		version   string // of the API; "1.42" if empty
		known     *Entry
		volume    *volume
		container bool
		conflict  bool
		silent    bool
		removed   bool
		after     *Entry
	}{
		{rule: "lost its last container", known: used, volume: going(made, then), removed: true},
		{rule: "has a container", known: used, volume: going(made, then), container: true, after: used},
		{rule: "had no container yet", known: unused, volume: going(made, then), after: unused},
		{rule: "a container that nobody has recorded", known: unused, volume: going(made, then), container: true, after: used},
		{rule: "not made by us, but for its labels", volume: going(made, then)},
		{rule: "not made by us, with a container", volume: going(made, then), container: true},
		{rule: "gone", known: used},
		{rule: "never came into being", known: unused},
		{rule: "is about to come into being", known: &Entry{Name: "data", Label: soon}, after: &Entry{Name: "data", Label: soon}},
		{rule: "another one of that name", known: used, volume: going("2", then)},
		{rule: "another one of that name, with a container", known: used, volume: going("2", then), container: true},
		{rule: "a copy with its labels", known: used, volume: going(made, later)},
		{rule: "a copy with its labels, with a container", known: used, volume: going(made, later), container: true},
		{rule: "where the engine's times move", version: "1.41", known: old, volume: going(made, later), removed: true},
		{rule: "in use where the engine's times move", version: "1.41", known: unused, volume: going(made, later), container: true, after: old},
		{rule: "after an upgrade to an engine whose times last", known: old, volume: going(made, then), removed: true},
		{rule: "after a downgrade to one whose times move", version: "1.41", known: used, volume: going(made, then)},
		{rule: "its labels are somebody else's", known: used, volume: other},
		{rule: "used with another engine or storage driver", known: elsewhere, volume: going(made, then), after: elsewhere},
		{rule: "used with another engine, and gone here", known: elsewhere, after: elsewhere},
		{rule: "used with another engine, and now with this one", known: elsewhere, volume: going(made, then), container: true, after: used},
		{rule: "other engines may use it", known: used, volume: global},
		{rule: "its driver does not answer", known: used, silent: true, after: used},
		{rule: "a create under way", known: used, volume: going(made, then), conflict: true, removed: true, after: used},
	} {
		t.Run(row.rule, func(t *testing.T) {
			state, err := OpenState(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if row.known != nil {
				err := state.Intend(row.known.Label, "data")
				if row.known.Used {
					err = errors.Join(err, state.Use(*row.known))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			var removed atomic.Bool
			version := cmp.Or(row.version, "1.42")
			_, p := standInProxy(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				path := r.URL.Path[strings.Index(r.URL.Path[1:], "/")+1:] // without its version
				switch {
				case r.Method == http.MethodDelete:
					removed.Store(true)
					if row.conflict {
						writeError(w, http.StatusConflict, "volume is in use")
					}
				case path == "/containers/json" && row.container:
					_, _ = io.WriteString(w, `[{"Id":"1","Mounts":[{"Type":"bind","Name":""},{"Type":"volume","Name":"data"}]}]`)
				case path == "/containers/json":
					_, _ = io.WriteString(w, `[]`)
				case path == "/volumes" && row.volume != nil:
					_ = json.NewEncoder(w).Encode(map[string]any{"Volumes": []*volume{row.volume}})
				case path == "/volumes":
					_, _ = io.WriteString(w, `{"Volumes":[]}`)
				case row.silent:
					writeError(w, http.StatusInternalServerError, "the plugin does not answer")
				case row.volume == nil:
					writeError(w, http.StatusNotFound, "no such volume")
				default:
					_ = json.NewEncoder(w).Encode(row.volume)
				}
			}, state, version)
			if err := p.settle(t.Context()); (err != nil) != row.silent {
				t.Fatal(err)
			}
			if removed.Load() != row.removed {
				t.Errorf("removed: %v", removed.Load())
			}
			counted := testutil.ToFloat64(p.metrics.removed)
			if want := row.removed && !row.conflict; (counted == 1) != want {
				t.Errorf("%v removals counted", counted)
			}
			var want []Entry
			if row.after != nil {
				want = append(want, *row.after)
			}
			if got := state.All(); !slices.Equal(got, want) {
				t.Errorf("the state has %+v, want %+v", got, want)
			}
		})
	}
}

func going(label, createdAt string) *volume {
	return &volume{Name: "data", Driver: "local", CreatedAt: createdAt, Labels: map[string]string{keyManagedBy: managedBy, keyCreated: label, keyDeleteLast: "true"}}
}

// labelIn is the label of its creation that a body gives a volume.
func labelIn(body []byte) *string {
	_, rest, _ := strings.Cut(string(body), `"`+keyCreated+`":"`)
	label, _, _ := strings.Cut(rest, `"`)
	return &label
}

// TestLeft: what a failed create leaves is counted, whoever failed, and only
// where it was made for that create.
func TestLeft(t *testing.T) {
	for _, row := range []struct {
		rule          string
		code          int // of the engine's answer; 0: it hangs up
		mine, started bool
		want          float64
	}{
		{"the engine refuses", 400, true, false, 1},
		{"the engine hangs up", 0, true, false, 1},
		{"the engine hangs up, with a container", 0, true, true, 0},
		{"another's volume came between", 400, false, false, 0},
		{"all is well", 201, true, true, 0},
	} {
		t.Run(row.rule, func(t *testing.T) {
			var made atomic.Pointer[volume]
			socket, p := standInProxy(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch {
				case r.Method == http.MethodPost:
					body, _ := io.ReadAll(r.Body)
					label := *labelIn(body)
					if !row.mine {
						label = "another's"
					}
					made.Store(going(label, ""))
					if row.code == 0 {
						panic(http.ErrAbortHandler)
					}
					w.WriteHeader(row.code)
					_, _ = io.WriteString(w, `{"message":"no"}`)
				case strings.HasSuffix(r.URL.Path, "/containers/json") && row.started:
					_, _ = io.WriteString(w, `[{"Id":"1","Mounts":[{"Type":"volume","Name":"data"}]}]`)
				case strings.HasSuffix(r.URL.Path, "/containers/json"):
					_, _ = io.WriteString(w, `[]`)
				case made.Load() != nil:
					_ = json.NewEncoder(w).Encode(made.Load())
				default:
					writeError(w, http.StatusNotFound, "no such volume")
				}
			}, nil, "1.42")
			ask(t, socket, "/containers/create", `{"HostConfig":{"Binds":["data:/d"]}}`)
			if got := testutil.ToFloat64(p.metrics.left); got != row.want {
				t.Errorf("%v volumes counted as left", got)
			}
			outcome := outcomeFailed
			if row.code == 201 {
				outcome = outcomeEnsured
			}
			if got := testutil.ToFloat64(p.metrics.creates.WithLabelValues(outcome)); got != 1 {
				t.Errorf("%v creates counted as %s", got, outcome)
			}
			want := 0.0
			if row.mine {
				want = 1
			}
			// Where all is well the client has its answer before.
			for deadline := time.Now().Add(10 * time.Second); testutil.ToFloat64(p.metrics.created) < want && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			if got := testutil.ToFloat64(p.metrics.created); got != want {
				t.Errorf("%v volumes counted as created", got)
			}
		})
	}
}
