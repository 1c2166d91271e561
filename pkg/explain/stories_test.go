package explain_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/pkg/explain"
	"github.com/ensure-volumes/ensure-volumes/pkg/mutate"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// exception is a story that explain does not tell as the webhook does.
type exception struct {
	reason string
	says   string // what explain says instead, in a note or as its error
}

// exceptions are all there are. What the API server answers to a create is not
// told by anybody: for both sides creates are dry runs that succeed.
func exceptions() map[string]exception {
	const (
		permission = "the webhook's service account lacks a permission; explain reads as whoever calls it"
		caches     = "the webhook's caches are not filled; explain has none"
	)
	owner := `reading BatchSandbox sandboxes/sb1`
	return map[string]exception{
		"no_permission_classes":      {permission, "StorageClasses cannot be listed"},
		"no_permission_get":          {permission, ""}, // claims are listed instead
		"no_permission_owner":        {permission, owner},
		"no_permission_owner_strict": {permission, owner},
		"no_permission_volumes":      {permission, "PersistentVolumes cannot be listed"},
		"not_synced":                 {caches, ""},
	}
}

// outcome is what explain and the webhook have to agree on.
type outcome struct {
	Allowed  bool
	Refusal  *explain.Refusal
	Warnings []string
	Created  []map[string]any // in the order of their names
	Trouble  string           // no answer
	notes    []string
}

func (o *outcome) sort() {
	slices.SortFunc(o.Created, func(a, b map[string]any) int {
		return cmp.Compare(a["metadata"].(map[string]any)["name"].(string), b["metadata"].(map[string]any)["name"].(string))
	})
}

// settings are what stories have in config.yaml that concerns decisions.
type settings struct {
	AutoCreate      *bool  `json:"autoCreate"`
	MissingClass    string `json:"missingClass"`
	DeleteWithOwner *bool  `json:"deleteWithOwner"`
	OwnerKinds      string `json:"ownerKinds"`
	DefaultStorage  string `json:"defaultStorage"`
	NotSynced       bool   `json:"notSynced"`
}

func (s settings) config(t *testing.T) provision.Config {
	t.Helper()
	kinds, err := provision.ParseOwnerKinds(cmp.Or(s.OwnerKinds, "BatchSandbox.sandbox.opensandbox.io/batchsandboxes,Sandbox.agents.x-k8s.io/sandboxes"))
	if err != nil {
		t.Fatal(err)
	}
	return provision.Config{
		AutoCreate:      s.AutoCreate == nil || *s.AutoCreate,
		DefaultStorage:  resource.MustParse(cmp.Or(s.DefaultStorage, "1Gi")),
		MissingClass:    provision.ClassPolicy(cmp.Or(s.MissingClass, "deny")),
		DeleteWithOwner: s.DeleteWithOwner == nil || *s.DeleteWithOwner,
		OwnerKinds:      kinds,
	}
}

// TestAgreesOnStories tells each story of package mutate to explain, with the
// story's cluster, and compares with what the webhook's handler answers.
func TestAgreesOnStories(t *testing.T) {
	files, err := filepath.Glob("../mutate/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	unused := exceptions()
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			webhook, explained := tell(t, file)
			agree := canonical(t, webhook) == canonical(t, explained)
			exception, excepted := unused[name]
			delete(unused, name)
			switch {
			case excepted && agree:
				t.Errorf("explain agrees; the exception (%s) is not needed", exception.reason)
			case excepted && !strings.Contains(explained.Trouble+strings.Join(explained.notes, "\n"), exception.says):
				t.Errorf("explain does not say %q: %q, %q", exception.says, explained.Trouble, explained.notes)
			case !excepted && !agree:
				t.Errorf("the webhook:\n%s\nexplain:\n%s", canonical(t, webhook), canonical(t, explained))
			}
		})
	}
	for name := range unused {
		t.Errorf("there is no story %s", name)
	}
}

// tell is one story's outcome with the webhook, and with explain.
func tell(t *testing.T, file string) (webhook, explained outcome) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	section := func(name string) string {
		for _, f := range archive.Files {
			if f.Name == name {
				return string(f.Data)
			}
		}
		return ""
	}
	var s settings
	var all []refusal
	for text, into := range map[string]any{section("config.yaml"): &s, section("refusals.yaml"): &all} {
		if err := yaml.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	refusals := slices.DeleteFunc(all, func(r refusal) bool { return strings.HasPrefix(r.Call, "create") })
	seen := objects(t, section("cluster.yaml"))
	live := append(slices.Clone(seen), objects(t, section("unseen.yaml"))...)
	cached := append(slices.Clone(seen), objects(t, section("stale.yaml"))...)

	review := section("review.json")
	webhook = answered(t, s, newMemory(live, refusals...), newMemory(cached), review)
	explained = explain1(t, s.config(t), newMemory(live, refusals...), review)
	return webhook, explained
}

// answered is what the webhook's handler answers to a review.
func answered(t *testing.T, s settings, live, cached *memory, review string) outcome {
	t.Helper()
	claims := cached.records(t)
	if s.NotSynced {
		claims = &provision.Claims{}
	}
	h := &mutate.Handler{Ensurer: &provision.Ensurer{Live: live, Cached: cached, Claims: claims, Config: s.config(t)}}
	r := httptest.NewRequest(http.MethodPost, "/mutate", strings.NewReader(review))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return outcome{Trouble: strings.TrimSpace(w.Body.String())}
	}
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	o := outcome{Allowed: answer.Response.Allowed, Warnings: answer.Response.Warnings, Created: live.created}
	if status := answer.Response.Result; status != nil {
		o.Refusal = &explain.Refusal{Code: status.Code, Reason: string(status.Reason), Message: status.Message}
		for _, c := range status.Details.Causes {
			o.Refusal.Causes = append(o.Refusal.Causes, explain.Cause{Path: c.Field, Text: c.Message})
		}
	}
	o.sort()
	return o
}

// explain1 is what explain says of the pod of a review.
func explain1(t *testing.T, config provision.Config, cluster client.Reader, review string) outcome {
	t.Helper()
	var r struct {
		Request struct {
			Namespace string          `json:"namespace"`
			Object    json.RawMessage `json:"object"`
		} `json:"request"`
	}
	if err := json.Unmarshal([]byte(review), &r); err != nil {
		t.Fatal(err)
	}
	return explainedBy(t, &explain.Explainer{Config: config, Namespace: r.Request.Namespace, Cluster: cluster}, string(r.Request.Object))
}

// explainedBy is what explain says of the first pod of a manifest.
func explainedBy(t *testing.T, e *explain.Explainer, manifest string) outcome {
	t.Helper()
	read, err := explain.Read(strings.NewReader(manifest))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, manifest)
	}
	report, err := e.Explain(t.Context(), read)
	if err != nil {
		_, trouble, _ := strings.Cut(err.Error(), ": ") // the object comes first
		return outcome{Trouble: trouble}
	}
	if len(report.Pods) == 0 {
		t.Fatalf("no pods in:\n%s", manifest)
	}
	p := report.Pods[0]
	o := outcome{Allowed: p.Allowed, Refusal: p.Refusal, Warnings: p.Warnings, notes: append(p.Notes, report.Notes...)}
	for _, c := range p.Claims {
		if (c.Action == explain.Create) != (c.Manifest != nil) {
			t.Errorf("claim %s: %s, and its manifest is %v", c.Name, c.Action, c.Manifest)
		}
		if c.Manifest != nil {
			o.Created = append(o.Created, c.Manifest)
			checkValues(t, c)
		}
	}
	o.sort()
	return o
}

// checkValues compares the values that are told of a claim with the claim itself.
func checkValues(t *testing.T, c explain.Claim) {
	t.Helper()
	spec := c.Manifest["spec"].(map[string]any)
	told := map[string]explain.Value{}
	for _, v := range c.Values {
		told[v.Field] = v
	}
	var modes []string
	for _, m := range spec["accessModes"].([]any) {
		modes = append(modes, m.(string))
	}
	storage := spec["resources"].(map[string]any)["requests"].(map[string]any)["storage"]
	if told["storage"].Value != storage || told["accessModes"].Value != strings.Join(modes, ",") {
		t.Errorf("told %v of %v", told, spec)
	}
	class, given := spec["storageClassName"]
	if given != (told["storageClass"].From != explain.FromDefault) || given && class != told["storageClass"].Value {
		t.Errorf("told %v of %v", told, spec)
	}
}
