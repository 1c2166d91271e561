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
		"documents' starts": {"---\n" + somePod + "\n---\n---\n" + somePod + "\n---\n", 2},
	} {
		t.Run(name, func(t *testing.T) {
			if objects, err := explain.Read(strings.NewReader(tt.manifest)); err != nil || len(objects) != tt.objects {
				t.Errorf("%d objects, %v", len(objects), err)
			}
		})
	}
}

// TestManifestsThatAreRefused: the error names the document and what is wrong with it.
func TestManifestsThatAreRefused(t *testing.T) {
	for manifest, says := range map[string]string{
		"a: [":                         "document 1: ",
		somePod + "\n---\nkind: Pod\n": "document 2: it is no object of Kubernetes: apiVersion or kind is missing",
		"- a\n":                        "it is no object of Kubernetes",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nmetadata: {name: q}\n":      `"metadata" already`,
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","name":"q"}}`:        "duplicate field",
		"apiVersion: v1\nkind: Pod\nmetadata: {annotations: {a: 1}, name: p}\n":      "Pod: metadata: json: cannot unmarshal number",
		"apiVersion: v1\nkind: Pod\n":                                                "Pod: metadata.name is missing",
		`{"apiVersion":"v1","kind":"List","items":[` + somePod + `,{"kind":"Pod"}]}`: "items[1]: it is no object",
		`{"apiVersion":"v1","kind":"Pod"`:                                            "unexpected EOF",
	} {
		if _, err := explain.Read(strings.NewReader(manifest)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, not %q", manifest, err, says)
		}
	}
}
