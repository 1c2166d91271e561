package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/jsonscan"
)

// tree reads a document as encoding/json would into an any.
func tree(text []byte) (any, error) {
	s := jsonscan.New(text)
	v := value(s)
	return v, s.End()
}

func value(s *jsonscan.Scanner) any {
	switch s.Kind() {
	case jsonscan.Bool:
		var b bool
		s.Bool(&b)
		return b
	case jsonscan.Number:
		return json.Number(s.Number())
	case jsonscan.String:
		here, text := s.Here(), ""
		length := s.Length()
		s.Back(here)
		again := string(s.Text())
		s.Back(here)
		s.String(&text)
		if text != again || len(text) != length {
			return fmt.Errorf("%q, then %q, of %d bytes", text, again, length) // which encoding/json never reads
		}
		return text
	case jsonscan.Array:
		list := []any{}
		for range s.Elements() {
			list = append(list, value(s))
		}
		return list
	case jsonscan.Object:
		m := map[string]any{}
		for key := range s.Members() {
			name := s.Keep(key)
			m[name] = value(s)
		}
		return m
	}
	s.Discard() // null, or what is no value
	return nil
}

// standard reads the same with encoding/json.
func standard(text []byte) (v any, err error) {
	if !json.Valid(text) { // a Decoder would leave what follows the document alone
		return nil, json.Unmarshal(text, &v)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	err = dec.Decode(&v)
	return v, err
}

// FuzzScanner holds that a document is read just as encoding/json reads it:
// refused where it is refused, and else with the same values, whether its
// values are kept or skipped.
func FuzzScanner(f *testing.F) {
	for _, text := range documents {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		check(t, text)
	})
}

// TestDepth is for texts too long to fuzz with.
func TestDepth(t *testing.T) {
	for _, levels := range []int{10000, 10001} {
		check(t, []byte(strings.Repeat("[", levels)+strings.Repeat("]", levels)))
		check(t, []byte(strings.Repeat(`{"a":`, levels)+"1"+strings.Repeat("}", levels)))
		check(t, []byte(strings.Repeat("[", levels)))
	}
}

func check(t *testing.T, text []byte) {
	t.Helper()
	want, refused := standard(text)
	before := bytes.Clone(text)
	got, err := tree(text)
	if (err == nil) != (refused == nil) {
		t.Fatalf("%q: %v, and encoding/json says %v", text, err, refused)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("%q is read as %#v, not as %#v", text, got, want)
	}
	s := jsonscan.New(text)
	s.Discard()
	if skipped := s.End(); (skipped == nil) != (err == nil) {
		t.Errorf("%q: %v when read, %v when skipped", text, err, skipped)
	}
	if !bytes.Equal(text, before) {
		t.Errorf("%q became %q", before, text)
	}
}

// documents are what the fuzzing begins with, and what every plain test run checks.
var documents = []string{
	"", " ", "null", "true", "false", "nul", "truey", "0", "-0", "-", "01", "1.", "1.5e+9", "1e", "1E-0", ".5", "+1",
	`"a"`, `"`, `"\"`, `"\u00e9\ud83d\ude00 \ud800 \ud800\u0041 \udc00\ud800"`, `"\u00g0"`, `"\u00`, `"\x"`, "\"\t\"", "\"\x7f\"",
	"\"\xff\xc3\"", "\"é\u2028\"", "\xff", "\ufeff{}", `"\/\b\f\n\r\t\\\""`,
	"[]", "[ ]", "[,]", "[1,]", "[1 2]", "[1,[2,{}],null]", "[", "]", "[1}",
	"{}", `{"a":1,}`, `{"a"}`, `{"a" 1}`, `{a:1}`, `{"a":1 "b":2}`, `{"a":1,"a":{"b":[]}}`, `{"\u0061":"x","":""}`, "{\"\xff\":1}", `{`, `{"a":`,
	`{} {}`, `{}x`, " {\r\n\t} ", `[true,false,null,"x",-1.5e3,{"a":[[[[]]]]}]`,
}

// TestStringsStay: what was read does not change when more is read, nor when the text does.
func TestStringsStay(t *testing.T) {
	text := []byte(`["first","sec\u006fnd","` + strings.Repeat("x", 10000) + `"]`)
	s := jsonscan.New(text)
	var got []string
	for range s.Elements() {
		var v string
		s.String(&v)
		got = append(got, v)
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	clear(text)
	if want := []string{"first", "second", strings.Repeat("x", 10000)}; !reflect.DeepEqual(got, want) {
		t.Errorf("read %q", got)
	}
}

// TestMaxKept: as much is kept as may be, numbers as well, and one byte more is an error.
func TestMaxKept(t *testing.T) {
	for text, fits := range map[string]bool{`["abc","\u0064",{"e":1}]`: true, `["abc","de",{"f":1}]`: false} {
		s := jsonscan.New([]byte(text))
		s.MaxKept = 6
		value(s)
		if err := s.End(); (err == nil) != fits {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestTypes: a value of another kind is an error that says where; null is none, and changes nothing.
func TestTypes(t *testing.T) {
	text, truth := "before", true
	reads := map[string]func(s *jsonscan.Scanner){
		"a string":  func(s *jsonscan.Scanner) { s.String(&text) },
		"a boolean": func(s *jsonscan.Scanner) { s.Bool(&truth) },
		"an array": func(s *jsonscan.Scanner) {
			for range s.Elements() {
				t.Error("an element")
			}
		},
		"an object": func(s *jsonscan.Scanner) {
			for range s.Members() {
				t.Error("a member")
			}
		},
	}
	values := map[string]string{"a string": `"x"`, "a boolean": "false", "an array": "[]", "an object": "{}", "a number": "7"}
	for want, read := range reads {
		for is, value := range values {
			s := jsonscan.New([]byte(" " + value))
			read(s)
			err := s.End()
			if is == want && err != nil {
				t.Errorf("%s: %v", want, err)
			}
			if says := "byte 1: " + is + " stands where " + want + " must"; is != want && (err == nil || err.Error() != says) {
				t.Errorf("%v, not %q", err, says)
			}
		}
		before, truthBefore := text, truth
		s := jsonscan.New([]byte("null"))
		read(s)
		if err := s.End(); err != nil || text != before || truth != truthBefore {
			t.Errorf("null for %s: %v, %q, %v", want, err, text, truth)
		}
	}
}
