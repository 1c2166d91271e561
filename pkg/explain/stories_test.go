package explain_test

import (
	"cmp"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/pkg/explain"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// exception is a story that explain does not tell as the webhook does.
type exception struct {
	reason string
	says   string // what explain says instead, in its table or as its error
}

// exceptions are all there are. What the API server answers to a create is not
// told by anybody: for both sides creates are dry runs that succeed.
func exceptions() map[string]exception {
	const (
		permission = "the webhook's service account lacks a permission; explain reads as whoever calls it"
		caches     = "the webhook's caches are not filled; explain has none"
		owner      = `reading BatchSandbox sandboxes/sb1: batchsandboxes.sandbox.opensandbox.io "sb1" is forbidden`
	)
	return map[string]exception{
		"no_permission_classes":      {permission, "StorageClasses cannot be listed with these credentials"},
		"no_permission_get":          {permission, `refused: spec.volumes[0].persistentVolumeClaim.claimName: claim "data" does not exist and createIfNotExists is false`},
		"no_permission_owner":        {permission, owner},
		"no_permission_owner_strict": {permission, owner},
		"no_permission_volumes":      {permission, "PersistentVolumes cannot be listed with these credentials"},
		"not_synced":                 {caches, "sandboxes/sb1-0: allowed CLAIM ACTION FIELD VALUE FROM data create storage 1Gi default"},
	}
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
			webhook, report, trouble := tell(t, file)
			var problems []string
			if report != nil {
				problems = disagree(t, webhook, &report.Pods[0])
				trouble = shown(t, report)
			} else if trouble != "file: document 1: Pod sb1-0: "+webhook.Trouble {
				problems = []string{"the webhook: " + webhook.Trouble + "\nexplain: " + trouble}
			}
			exception, excepted := unused[name]
			delete(unused, name)
			switch {
			case excepted && len(problems) == 0:
				t.Errorf("explain agrees; the exception (%s) is not needed", exception.reason)
			case excepted:
				wants(t, trouble, exception.says)
			case len(problems) > 0:
				t.Error(strings.Join(problems, "\n"))
			}
		})
	}
	for name := range unused {
		t.Errorf("there is no story %s", name)
	}
}

// tell is one story's outcome with the webhook, and what explain says of it.
func tell(t *testing.T, file string) (webhook outcome, report *explain.Report, trouble string) {
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
	var r struct {
		Request struct {
			Namespace string          `json:"namespace"`
			Object    json.RawMessage `json:"object"`
		} `json:"request"`
	}
	if err := json.Unmarshal([]byte(review), &r); err != nil {
		t.Fatal(err)
	}
	e := &explain.Explainer{Config: s.config(t), Namespace: r.Request.Namespace, Cluster: newMemory(live, refusals...)}
	report, trouble = explained(t, e, string(r.Request.Object))
	return webhook, report, trouble
}
