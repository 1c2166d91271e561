package claim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ensure-volumes/ensure-volumes/pkg/jsonscan"
)

// A list of claims needs less of both: three levels (list, object, list), and
// a key for each field.
const (
	maxDepth = 8
	maxKeys  = 64
	fields   = 6 // of a claim, as a rule
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
func parseNode(text string) (node, error) {
	s := jsonscan.New([]byte(text))
	n, err := jsonNode(s, 0)
	// Duplicate keys and depth are faults of valid JSON: YAML would say them less well.
	if err != nil {
		return node{}, err
	}
	if s.End() != nil {
		return yamlDocument(text)
	}
	return n, nil
}

// structureError is what is wrong with a document that is well-formed.
type structureError struct{ text string }

func (e *structureError) Error() string { return e.text }

func structure(format string, args ...any) error {
	return &structureError{fmt.Sprintf(format, args...)}
}

var tooDeep = structure("nested more than %d levels deep; write a list of objects", maxDepth)

func (n *node) add(key string, value node) error {
	for _, k := range n.keys {
		if k == key {
			return structure("key %s stands twice; give it once", Quote(key, 64))
		}
	}
	if len(n.keys) == maxKeys {
		return structure("an object with more than %d keys; write one object a claim", maxKeys)
	}
	if n.keys == nil {
		n.keys, n.items = make([]string, 0, fields), make([]node, 0, fields)
	}
	n.keys, n.items = append(n.keys, key), append(n.items, value)
	return nil
}

// jsonNode reads a value. Its error is a *structureError; what is no JSON is
// for the scanner's end to say.
func jsonNode(s *jsonscan.Scanner, depth int) (n node, err error) {
	switch s.Kind() {
	case jsonscan.Bool:
		var v bool
		s.Bool(&v)
		return node{kind: boolean, text: strconv.FormatBool(v)}, nil
	case jsonscan.Number:
		return node{kind: number, text: s.Number()}, nil
	case jsonscan.String:
		n.kind = text
		s.String(&n.text)
		return n, nil
	case jsonscan.Array, jsonscan.Object:
		if depth == maxDepth {
			return node{}, tooDeep
		}
	default: // null, or no JSON
		s.Discard()
		return node{}, nil
	}
	var item node
	if s.Kind() == jsonscan.Object {
		n.kind = object
		for key := range s.Members() {
			if err == nil {
				name := s.Keep(key)
				if item, err = jsonNode(s, depth+1); err == nil {
					err = n.add(name, item)
				}
			}
		}
		return n, err
	}
	n.kind = list
	for range s.Elements() {
		if err == nil {
			item, err = jsonNode(s, depth+1)
			n.items = append(n.items, item)
		}
	}
	return n, err
}

func yamlDocument(s string) (node, error) {
	if deep(s) {
		return node{}, tooDeep
	}
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

// deep reports whether a YAML document opens more levels on few bytes than a list of
// claims has: its parser would follow them all, and take memory for each. What stands in
// quotes counts as well, since no value of a list has so much of it.
func deep(document string) bool {
	open := 0 // brackets and braces
	for line := range strings.SplitSeq(document, "\n") {
		entries := 0 // "- - - " and the like, which open a level each
		for rest := strings.TrimLeft(line, " "); len(rest) > 1 && strings.IndexByte("-?:", rest[0]) >= 0 && rest[1] == ' '; {
			entries++
			rest = strings.TrimLeft(rest[1:], " ")
		}
		if entries > maxDepth {
			return true
		}
		if before, _, comment := strings.Cut(line, " #"); comment {
			line = before
		}
		for _, c := range []byte(line) {
			switch c {
			case '[', '{':
				open++
			case ']', '}':
				open = max(open-1, 0)
			}
			if open > maxDepth {
				return true
			}
		}
	}
	return false
}

func yamlNode(y *yaml.Node, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, tooDeep
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
