package claim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/ensure-volumes/ensure-volumes/pkg/jsonscan"
)

// A list of claims needs less of each: three levels (list, object, list), a key for
// each field, and, with each on a line of its own, some thirty pieces for each claim.
const (
	maxDepth  = 8
	maxKeys   = 64
	maxPieces = 4096
	fields    = 6 // of a claim, as a rule
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
	if !utf8.ValidString(text) {
		// YAML would read it as UTF-16, where that marks it, and count other bytes than we do.
		return node{}, structure("not UTF-8; write it as UTF-8")
	}
	if full(text) {
		return node{}, structure("more than %d values and lines; list only the claims that are used, %d at most", maxPieces, MaxClaims)
	}
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

// parsing lets few documents be parsed at once: more would not be faster, and each holds
// a tree many times its size.
var parsing = make(chan struct{}, min(runtime.GOMAXPROCS(0), 4))

// yamlDocument parses in a goroutine of its own. The parser goes as deep as the document
// does, and a stack that has grown stays with its goroutine: with that of a connection,
// for as long as that is open.
func yamlDocument(s string) (n node, err error) {
	parsing <- struct{}{}
	defer func() { <-parsing }()
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		n, err = parseYAML(s)
	}()
	<-done
	if panicked != nil {
		panic(panicked) // for the caller's caller, who expects it in this goroutine
	}
	return n, err
}

func parseYAML(s string) (node, error) {
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

// full reports whether a document has more than maxPieces of what begins a value, a key or
// a level, in JSON or YAML: a tree is many times as large as its text, and a parser goes as
// deep as that opens levels. Each beginning but the first has a separator of its own. What
// stands in quotes and comments counts as well, so that nothing is overlooked.
func full(document string) bool {
	pieces := 0
	for i := range len(document) {
		switch document[i] {
		case ',', ':', '[', '{', '?', '\n', '\r':
			pieces++
		case '-':
			if i+1 == len(document) || strings.IndexByte(" \t\r\n\xc2\xe2", document[i+1]) >= 0 {
				pieces++ // a blank or a line break; YAML has some that are no ASCII
			}
		case 0xc2, 0xe2:
			rest := document[i:]
			if strings.HasPrefix(rest, "\u0085") || strings.HasPrefix(rest, "\u2028") || strings.HasPrefix(rest, "\u2029") {
				pieces++
			}
		}
	}
	return pieces > maxPieces
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
