package explain_test

import (
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/explain"
)

const somePod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}`

// TestManifestsThatAreRead: YAML and JSON, one after the other, and lists.
func TestManifestsThatAreRead(t *testing.T) {
	for name, tt := range map[string]struct {
		manifest string
		objects  int
	}{
		"nothing":           {"", 0},
		"comments":          {"# nothing\n---\n# here\n", 0},
		"JSON":              {somePod, 1},
		"JSON with tabs":    {"\n{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\",\n\t\"metadata\": {\"name\": \"p\"}}\n", 1},
		"JSON after JSON":   {somePod + "\n" + somePod, 2},
		"JSON after YAML":   {"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n---\n" + somePod, 2},
		"a list":            {`{"apiVersion":"v1","kind":"List","items":[` + somePod + "," + somePod + "]}", 2},
		"a list of a kind":  {"apiVersion: v1\nkind: PodList\nitems:\n- " + somePod + "\n", 1},
		"lists in a list":   {`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"List","items":[` + somePod + "]}]}", 1},
		"an empty list":     {`{"apiVersion":"v1","kind":"List","items":[]}`, 0},
		"a list of null":    {`{"apiVersion":"v1","kind":"PodList","items":null}`, 0},
		"no list":           {`{"apiVersion":"example.com/v1","kind":"AllowList","metadata":{"name":"a"}}`, 1},
		"documents' starts": {"---\n" + somePod + "\n---\n---\n" + somePod + "\n---\n", 2},
	} {
		t.Run(name, func(t *testing.T) {
			if objects, err := explain.Read("file", strings.NewReader(tt.manifest)); err != nil || len(objects) != tt.objects {
				t.Errorf("%d objects, %v", len(objects), err)
			}
		})
	}
}

// TestManifestsThatAreRefused: the error names the file, the document, the object
// and the path, and says what is wrong in words that are not Go's.
func TestManifestsThatAreRefused(t *testing.T) {
	const set = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: x}\nspec: "
	const well = "---\n" + somePod + "\n---\n"
	for _, tt := range []struct{ manifest, says string }{
		{"a: [", "document 1: yaml: "},
		{well + "apiVersion: v1\n", "document 2: it is no object of Kubernetes: kind is missing"},
		{well + "kind: Pod\n", "document 2: Pod: apiVersion is missing"},
		{well + "Kind: Pod\napiVersion: v1\n", "document 2: it is no object of Kubernetes: kind is missing"},
		{"- a\n", "document 1: it is no object of Kubernetes: it is a list; it must be an object"},
		{"apiVersion: 1\nkind: Pod\n", "document 1: Pod: apiVersion is a number; it must be a string: quote it"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nmetadata: {name: q}\n", `document 1: yaml: unmarshal errors: line 4: key "metadata" already set in map`},
		{`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","name":"q"}}`, `document 1: duplicate field "metadata.name"`},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {a.b/c: 1}}\n", "document 1: Pod p: metadata.annotations[a.b/c] is a number; it must be a string: quote it"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {a: true}}\n", "document 1: Pod p: metadata.labels.a is a boolean; it must be a string: quote it"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: [p]}\n", "document 1: Pod: metadata.name is a list; it must be a string"},
		{"apiVersion: v1\nkind: Pod\nmetadata: p\n", "document 1: Pod: metadata is a string; it must be an object"},
		{"apiVersion: v1\nkind: Pod\n", "document 1: Pod: metadata.name is missing"},
		{`{"apiVersion":"v1","kind":"List","items":[` + somePod + `,{"kind":"Pod"}]}`, "document 1: items[1]: Pod: apiVersion is missing"},
		{`{"apiVersion":"v1","kind":"List","items":[` + somePod + `,5]}`, "document 1: items[1]: it is no object of Kubernetes: it is a number; it must be an object"},
		{`{"apiVersion":"v1","kind":"List","items":{}}`, "document 1: List: items is an object; it must be a list"},
		{`{"apiVersion":"v1","kind":"List"}`, "document 1: List: items is missing"},
		{`{"apiVersion":"v1","kind":"Pod"`, "document 1: unexpected EOF"},
		// What only some kinds have is read later, and told in the same way.
		{well + "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {volumes: home}\n", "document 2: Pod p: spec.volumes is a string; it must be a list"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {generateName: p-}\nspec: {volumes: [{}, {persistentVolumeClaim: {claimName: 5}}]}\n",
			"document 1: Pod p-*: spec.volumes[1].persistentVolumeClaim.claimName is a number; it must be a string: quote it"},
		{set + "x\n", "document 1: StatefulSet x: spec is a string; it must be an object"},
		{set + "{template: {spec: {volumes: {v: w}}}}\n", "document 1: StatefulSet x: spec.template.spec.volumes is an object; it must be a list"},
		{set + "{template: {spec: {volumes: [v]}}}\n", "document 1: StatefulSet x: spec.template.spec.volumes[0] is a string; it must be an object"},
		{set + "{template: {metadata: {annotations: {a: [b]}}, spec: {}}}\n", "document 1: StatefulSet x: spec.template.metadata.annotations.a is a list; it must be a string"},
		{set + "{replicas: '2', template: {spec: {}}}\n", "document 1: StatefulSet x: spec.replicas is a string; it must be a whole number of 32 bits, not quoted"},
		{set + "{replicas: 1.5, template: {spec: {}}}\n", "document 1: StatefulSet x: spec.replicas is 1.5; it must be a whole number of 32 bits, not quoted"},
		{set + "{ordinals: {start: 2147483648}, template: {spec: {}}}\n", "document 1: StatefulSet x: spec.ordinals.start is 2147483648; it must be a whole number of 32 bits, not quoted"},
		{set + "{template: {spec: {}}, volumeClaimTemplates: [{spec: {resources: {requests: {storage: 10 GB}}}}]}\n",
			`document 1: StatefulSet x: spec.volumeClaimTemplates[0].spec.resources.requests.storage: invalid quantity "10 GB"; write it as "10Gi"`},
		{set + "{template: {spec: {}}, volumeClaimTemplates: [{metadata: {creationTimestamp: today}}]}\n", "document 1: StatefulSet x: it cannot be read: parsing time"},
		{set + "{Template: {spec: {}}}\n", "document 1: StatefulSet x: spec.template.spec is missing"},
		{"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x}\nspec: {jobTemplate: {spec: {template: {}}}}\n", "document 1: CronJob x: spec.jobTemplate.spec.template.spec is missing"},
		{"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x}\nspec: {jobTemplate: {metadata: x}}\n", "document 1: CronJob x: spec.jobTemplate.metadata is a string; it must be an object"},
		{"apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: x}\nallowVolumeExpansion: 'no'\n", "document 1: StorageClass x: allowVolumeExpansion is a string; write true or false, not quoted"},
	} {
		objects, err := explain.Read("a.yaml", strings.NewReader(tt.manifest))
		if err == nil {
			_, err = (&explain.Explainer{Config: settings{}.config(t)}).Explain(t.Context(), objects)
		}
		if err == nil || !strings.HasPrefix(err.Error(), "a.yaml: "+tt.says) {
			t.Errorf("%q: %v, not %q", tt.manifest, err, tt.says)
		}
	}
}

// TestKeysInAnotherCase: they are other keys, as for the API server.
func TestKeysInAnotherCase(t *testing.T) {
	for _, manifest := range []string{
		"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {volumes: [{persistentvolumeclaim: {claimName: home}}]}\n",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {Volumes: [{persistentVolumeClaim: {claimName: home}}]}\n",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: p}\nspec: {template: {spec: {volumes: [{persistentvolumeclaim: {claimName: home}}]}}}\n",
		"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: p}\nspec: {VOLUMECLAIMTEMPLATES: [{metadata: {name: home}}], template: {spec: {}}}\n",
	} {
		if got := table(t, manifest); !strings.Contains(got, ": allowed note: it uses no claim") || strings.Contains(got, "home") {
			t.Errorf("%s: %s", manifest, got)
		}
	}
	pvc := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: home}\nspec: {resources: {requests: {storage: 9Gi}}, StorageClassName: fast}\n---\n"
	if got := table(t, pvc+aPod); !strings.Contains(got, "storage 9Gi") || strings.Contains(got, "fast") {
		t.Errorf("said %s", got)
	}
}
