package dockerproxy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/jsonscan"
)

// object is a JSON object whose members keep their bytes.
type object struct {
	raw     []byte
	members []member
}

type member struct {
	key        string
	start, end int // of the value
}

// readObject takes an object apart. A key that stands twice, or that one of the
// known keys equals but for its case, is an error: the engine might not read it
// as we do. nil and null are the empty object.
func readObject(raw []byte, known ...string) (object, error) {
	if absent(raw) {
		return object{raw: []byte("{}")}, nil
	}
	o := object{raw: raw}
	s := jsonscan.New(raw)
	if s.Kind() != jsonscan.Object {
		return o, errors.New("it must be a JSON object")
	}
	seen := map[string]bool{}
	var wrong error // the first
	for text := range s.Members() {
		if wrong != nil {
			continue
		}
		key := s.Keep(text)
		start, end := s.Span()
		if seen[key] {
			wrong = fmt.Errorf("key %s stands twice; give it once", claim.Quote(key, 64))
		}
		seen[key] = true
		for _, k := range known {
			if k != key && strings.EqualFold(k, key) {
				wrong = cmp.Or(wrong, fmt.Errorf("unknown key %s; write it as %q", claim.Quote(key, 64), k))
			}
		}
		o.members = append(o.members, member{key: key, start: start, end: end})
	}
	return o, cmp.Or(s.End(), wrong)
}

// value is the member's bytes, nil where there is none.
func (o object) value(key string) []byte {
	for _, m := range o.members {
		if m.key == key {
			return o.raw[m.start:m.end]
		}
	}
	return nil
}

// decode reads a member into a string, a list or a map of strings, as encoding/json
// does; absent members leave it alone. It reads by jsonscan, whose code is there
// already: on a machine that does other work, what a create costs is the code it
// has to fetch.
func decode[T string | []string | map[string]string](o object, key string, into *T) error {
	raw := o.value(key)
	if absent(raw) {
		return nil
	}
	var must string
	s := jsonscan.New(raw)
	switch into := any(into).(type) {
	case *string:
		must = "a string"
		s.String(into)
	case *[]string:
		must = "a list of strings"
		*into = []string{}
		for range s.Elements() {
			var item string
			s.String(&item)
			*into = append(*into, item)
		}
	case *map[string]string:
		must = "an object of strings"
		*into = readMap(s)
	}
	if s.End() != nil { // of a value that is JSON
		return fmt.Errorf("%s: it must be %s", key, must)
	}
	return nil
}

// readMap reads an object of strings.
func readMap(s *jsonscan.Scanner) map[string]string {
	all := map[string]string{}
	for text := range s.Members() {
		key, value := s.Keep(text), ""
		s.String(&value)
		all[key] = value
	}
	return all
}

// with is the object's bytes with one member set. All other bytes stay.
func (o object) with(key string, value []byte) []byte {
	for _, m := range o.members {
		if m.key == key {
			return slices.Concat(o.raw[:m.start], value, o.raw[m.end:])
		}
	}
	name, _ := json.Marshal(key) // a string can always be written
	added := slices.Concat(name, []byte(":"), value)
	if n := len(o.members); n > 0 {
		at := o.members[n-1].end
		return slices.Concat(o.raw[:at], []byte(","), added, o.raw[at:])
	}
	return slices.Concat([]byte("{"), added, []byte("}"))
}

// set is with for a value that is written as JSON.
func (o object) set(key string, v any) (object, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return o, err
	}
	return readObject(o.with(key, value))
}

func absent(raw []byte) bool {
	return len(raw) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

// readArray takes an array apart; nil and null are the empty one.
func readArray(raw []byte) (items [][]byte, err error) {
	if absent(raw) {
		return nil, nil
	}
	s := jsonscan.New(raw)
	for range s.Elements() {
		start, end := s.Span()
		items = append(items, raw[start:end])
	}
	if s.End() != nil { // of a value that is JSON
		return nil, errors.New("it must be a list")
	}
	return items, nil
}
