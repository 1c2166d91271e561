package explain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	strictjson "sigs.k8s.io/json"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// decode reads JSON as the API server does: a key in another case is another key.
// Its errors say where what stands that does not belong there.
func decode(raw []byte, into any) error {
	err := strictjson.UnmarshalCaseSensitivePreserveInts(raw, into)
	if err == nil {
		return nil
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		path, _ := find(raw, func(_ string, _ json.Token, end int64) bool { return end == wrong.Offset })
		if path == "" {
			path = "it"
		}
		return fmt.Errorf("%s is %s; %s", path, said(wrong.Value), meant(wrong.Type, wrong.Value))
	}
	// A type that reads itself does not say where it stood.
	var problem string
	path, ok := find(raw, func(path string, value json.Token, _ int64) bool {
		text, isText := value.(string)
		if !isText || !strings.Contains(path, "requests.") && !strings.Contains(path, "limits.") && !strings.Contains(path, "capacity.") {
			return false
		}
		_, err := resource.ParseQuantity(text)
		_, problem = claim.ParseStorage(text)
		return err != nil
	})
	if ok {
		return fmt.Errorf("%s: %s", path, problem)
	}
	return fmt.Errorf("it cannot be read: %w", err)
}

// said is what a value is that does not belong where it stands.
func said(value string) string {
	switch value {
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "bool":
		return "a boolean"
	case "string", "number":
		return "a " + value
	}
	return strings.TrimPrefix(value, "number ") // one that is too large, or of the wrong kind
}

// meant is what belongs there.
func meant(t reflect.Type, value string) string {
	switch t.Kind() {
	case reflect.String:
		if value == "array" || value == "object" {
			return "it must be a string"
		}
		return "it must be a string: quote it"
	case reflect.Bool:
		return "write true or false, not quoted"
	case reflect.Slice:
		return "it must be a list"
	case reflect.Map, reflect.Struct:
		return "it must be an object"
	}
	return fmt.Sprintf("it must be a whole number of %d bits, not quoted", t.Bits()) // no other kinds are read
}

// find goes through JSON that can be read, and returns the path of the first
// value that is the one sought: of a list or an object its beginning is shown.
// end is where in raw the value's text, or that beginning, ends.
func find(raw []byte, sought func(path string, value json.Token, end int64) bool) (path string, ok bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	var walk func(path string) (string, bool)
	walk = func(path string) (string, bool) {
		value, err := d.Token()
		if err != nil || sought(path, value, d.InputOffset()) {
			return path, err == nil
		}
		begin, nested := value.(json.Delim)
		if !nested {
			return "", false
		}
		for i := 0; d.More(); i++ {
			inner := path + "[" + strconv.Itoa(i) + "]"
			if begin == '{' {
				key, _ := d.Token()
				inner = under(path, fmt.Sprint(key))
			}
			if found, ok := walk(inner); ok {
				return found, true
			}
		}
		_, _ = d.Token() // its end
		return "", false
	}
	return walk("")
}

// under is the path of a field, or of a key that may look like several.
func under(path, key string) string {
	switch {
	case strings.ContainsAny(key, "./"):
		return path + "[" + key + "]"
	case path == "":
		return key
	}
	return path + "." + key
}
