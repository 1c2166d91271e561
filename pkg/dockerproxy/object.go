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

// decode reads a member into v; absent members leave v alone.
func (o object) decode(key string, v any) error {
	raw := o.value(key)
	if absent(raw) {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
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
func readArray(raw []byte) ([]json.RawMessage, error) {
	if absent(raw) {
		return nil, nil
	}
	var items []json.RawMessage
	err := json.Unmarshal(raw, &items)
	return items, err
}
