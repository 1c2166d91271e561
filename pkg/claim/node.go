package claim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A list of claims needs less of both: three levels (list, object, list), and
// a key for each field.
const (
	maxDepth = 8
	maxKeys  = 64
)

// node is a JSON or YAML value: just enough of one to tell a string from a
// number and to see every key, twice where it stands twice.
type node struct {
	kind  kind
	text  string // of a scalar, as written
	keys  []string
	items []node
}

type kind uint8

const (
	null kind = iota
	text
	boolean
	number // and whatever else YAML resolves to: a date, say
	list
	object
)

func (k kind) String() string {
	return [...]string{"null", "a string", "a boolean", "a number", "a list", "an object"}[k]
}

// parseNode reads one JSON or YAML document. JSON is tried first: it is what
// machines write, and YAML's readers refuse some of it (tabs).
func parseNode(s string) (node, error) {
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	n, err := jsonNode(dec, 0)
	if err == nil {
		if _, rest := dec.Token(); errors.Is(rest, io.EOF) {
			return n, nil
		}
	}
	// Duplicate keys and depth are faults of valid JSON: YAML would say them less well.
	var f *structureError
	if errors.As(err, &f) {
		return node{}, err
	}
	return yamlDocument(s)
}

// structureError is what is wrong with a document that is well-formed.
type structureError struct{ text string }

func (e *structureError) Error() string { return e.text }

func structure(format string, args ...any) error {
	return &structureError{fmt.Sprintf(format, args...)}
}

func (n *node) add(key string, value node) error {
	for _, k := range n.keys {
		if k == key {
			return structure("key %s stands twice; give it once", Quote(key, 64))
		}
	}
	if len(n.keys) == maxKeys {
		return structure("an object with more than %d keys; write one object a claim", maxKeys)
	}
	n.keys, n.items = append(n.keys, key), append(n.items, value)
	return nil
}

func jsonNode(dec *json.Decoder, depth int) (node, error) {
	tok, err := dec.Token()
	if err != nil {
		return node{}, err
	}
	switch v := tok.(type) {
	case string:
		return node{kind: text, text: v}, nil
	case bool:
		return node{kind: boolean, text: fmt.Sprint(v)}, nil
	case json.Number:
		return node{kind: number, text: v.String()}, nil
	case json.Delim:
		if depth == maxDepth {
			return node{}, structure("nested more than %d levels deep; write a list of objects", maxDepth)
		}
		n := node{kind: list}
		if v == '{' {
			n.kind = object
		}
		for dec.More() {
			var name string
			if n.kind == object {
				tok, err := dec.Token()
				if err != nil {
					return node{}, err
				}
				name, _ = tok.(string)
			}
			item, err := jsonNode(dec, depth+1)
			if err != nil {
				return node{}, err
			}
			if n.kind == list {
				n.items = append(n.items, item)
			} else if err := n.add(name, item); err != nil {
				return node{}, err
			}
		}
		_, err := dec.Token()
		return n, err
	}
	return node{}, nil
}

func yamlDocument(s string) (node, error) {
	dec := yaml.NewDecoder(bytes.NewReader([]byte(s)))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return node{}, nil
	} else if err != nil {
		return node{}, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return node{}, structure("more than one document; write one list")
	}
	return yamlNode(&doc, 0)
}

func yamlNode(y *yaml.Node, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, structure("nested more than %d levels deep; write a list of objects", maxDepth)
	}
	n := node{kind: list}
	switch y.Kind {
	case yaml.DocumentNode:
		return yamlNode(y.Content[0], depth)
	case yaml.AliasNode:
		return node{}, structure("line %d: YAML aliases are not read; write the value out", y.Line)
	case yaml.ScalarNode:
		return node{kind: yamlKind(y), text: y.Value}, nil
	case yaml.MappingNode:
		n.kind = object
		for i := 0; i+1 < len(y.Content); i += 2 {
			if y.Content[i].Kind != yaml.ScalarNode {
				return node{}, structure("line %d: a key is no string; write a list of objects", y.Content[i].Line)
			}
			value, err := yamlNode(y.Content[i+1], depth+1)
			if err != nil {
				return node{}, err
			}
			if err := n.add(y.Content[i].Value, value); err != nil {
				return node{}, err
			}
		}
	case yaml.SequenceNode:
		for _, c := range y.Content {
			item, err := yamlNode(c, depth+1)
			if err != nil {
				return node{}, err
			}
			n.items = append(n.items, item)
		}
	}
	return n, nil
}

func yamlKind(y *yaml.Node) kind {
	switch y.ShortTag() {
	case "!!null":
		return null
	case "!!str":
		return text
	case "!!bool":
		return boolean
	}
	return number
}
