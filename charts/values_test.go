package charts_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// schema is a JSON schema, as much of it as is read here.
type schema struct {
	Ref                  string             `json:"$ref"`
	Description          string             `json:"description"`
	Type                 any                `json:"type"`
	Enum                 []string           `json:"enum"`
	Minimum, Maximum     *int               // integers only
	Properties           map[string]*schema `json:"properties"`
	AdditionalProperties json.RawMessage    `json:"additionalProperties"`
	Required             []string           `json:"required"`
	Items                *schema            `json:"items"`
	Definitions          map[string]*schema `json:"definitions"`
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	root := &schema{}
	text, err := os.ReadFile(chart + "/values.schema.json")
	if err == nil {
		err = json.Unmarshal(text, root)
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// value is one value of the chart: its path, what the schema says of it, and what values.yaml says.
type value struct {
	path      string
	described *schema
	node      *yaml.Node
	comment   string
}

// values are the chart's, in the order of values.yaml. Every one of them is in the schema, and the other way round.
func values(t *testing.T) []value {
	t.Helper()
	root := readSchema(t)
	var document yaml.Node
	text, err := os.ReadFile(chart + "/values.yaml")
	if err == nil {
		err = yaml.Unmarshal(text, &document)
	}
	if err != nil {
		t.Fatal(err)
	}
	delete(root.Properties, "global") // Helm's own; the chart has no use for it
	return collect(t, "", root, document.Content[0])
}

func collect(t *testing.T, path string, s *schema, node *yaml.Node) []value {
	t.Helper()
	if s.Description != "" {
		return []value{{path: path, described: s, node: node}}
	}
	var result []value
	var keys []string
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, content := node.Content[i], node.Content[i+1]
		keys = append(keys, key.Value)
		below := strings.TrimPrefix(path+"."+key.Value, ".")
		property := s.Properties[key.Value]
		if property == nil {
			t.Fatalf("values.yaml has %s, and values.schema.json does not", below)
		}
		if len(property.Properties) == 0 && property.Description == "" {
			t.Errorf("values.schema.json does not describe %s", below)
		}
		found := collect(t, below, property, content)
		if len(found) == 1 && found[0].path == below {
			found[0].comment = words(strings.ReplaceAll(key.HeadComment, "#", ""))
		}
		result = append(result, found...)
	}
	for name := range s.Properties {
		if !slices.Contains(keys, name) {
			t.Errorf("values.schema.json has %s.%s, and values.yaml does not", path, name)
		}
	}
	return result
}

// words are a text's, however it is broken into lines.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

// A person reads values.yaml, an editor the schema: both say the same.
func TestValuesAreDescribedAlike(t *testing.T) {
	for _, v := range values(t) {
		if v.comment != words(v.described.Description) {
			t.Errorf("%s: values.yaml says\n%s\nvalues.schema.json says\n%s", v.path, v.comment, v.described.Description)
		}
	}
}

// What the schema does not know is refused at every level. Open are only maps of strings, such as labels, and global,
// which belongs to whatever chart has this one in it.
func TestSchemaIsClosed(t *testing.T) {
	root := readSchema(t)
	if global := root.Properties["global"]; global == nil || global.Description == "" {
		t.Error("a parent chart could not have this one in it: global is not in the schema")
	}
	delete(root.Properties, "global")
	seen := 0
	var walk func(path string, s *schema)
	walk = func(path string, s *schema) {
		seen++
		if len(s.Properties) > 0 && s.Type != "object" {
			t.Errorf("%s is not said to be an object", path)
		}
		if s.Type == "object" {
			if open := string(s.AdditionalProperties); open != "false" && (words(open) != `{"type": "string"}` || len(s.Properties) > 0) {
				t.Errorf("%s is open: additionalProperties %s", path, open)
			}
		}
		if s.Type == nil && s.Ref == "" && len(s.Enum) == 0 {
			t.Errorf("%s may be anything", path)
		}
		for name, property := range s.Properties {
			walk(path+"."+name, property)
		}
		if s.Items != nil {
			walk(path+"[]", s.Items)
		} else if s.Type == "array" {
			t.Errorf("%s may hold anything", path)
		}
		if name, ok := strings.CutPrefix(s.Ref, "#/definitions/"); s.Ref != "" && (!ok || root.Definitions[name] == nil) {
			t.Errorf("%s is a %s, which is not there", path, s.Ref)
		}
	}
	walk("", root)
	for name, definition := range root.Definitions {
		walk("#"+name, definition)
	}
	if seen < 100 {
		t.Errorf("only %d schemas were found", seen)
	}
}

// A value that is taken away with null is told, instead of becoming nothing in the middle of a manifest. resources may
// lack anything.
func TestValuesAreRequired(t *testing.T) {
	var walk func(path string, s *schema)
	walk = func(path string, s *schema) {
		if s.Description != "" || path == ".resources" {
			return
		}
		for name, property := range s.Properties {
			if name != "global" && !slices.Contains(s.Required, name) {
				t.Errorf("%s.%s is not required", path, name)
			}
			walk(path+"."+name, property)
		}
	}
	root := readSchema(t)
	walk("", root)
}
