package jsonscan

import (
	"fmt"
	"iter"
	"strings"
)

// maxDepth is encoding/json's limit.
const maxDepth = 10000

// firstKept is the room for strings to begin with: the most that a usual review needs.
const firstKept = 2 << 10

// Scanner reads one document from front to back. The first error ends it: every
// loop ends, nothing is read any more, and [Scanner.End] has the error. It is not
// for several goroutines at once.
type Scanner struct {
	text  []byte
	at    int
	depth int
	err   error

	// MaxKept is how many bytes of the document may be kept as strings; what needs more
	// is an error. 0: any number.
	MaxKept int

	// kept holds the strings that were read. It only grows, so they stay as they are; where
	// it has no room another begins, since what it grew out of would stay as well.
	kept    strings.Builder
	before  int    // how much those hold that were kept before it
	scratch []byte // of a string with escapes
}

// New is a Scanner of one document. text must not change before [Scanner.End];
// what was read of it does not refer to it.
func New(text []byte) *Scanner { return &Scanner{text: text} }

// Kind is the kind of the next value.
type Kind uint8

// The kinds of values. Invalid is also what follows an error.
const (
	Invalid Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// String is the kind in words.
func (k Kind) String() string {
	return [...]string{"nothing", "null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// Kind looks at the next value without reading it.
func (s *Scanner) Kind() Kind {
	switch s.peek() {
	case '"':
		return String
	case '{':
		return Object
	case '[':
		return Array
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return Number
	}
	return Invalid
}

// Members opens an object, or null, which has none, and has the key of each
// member. The key is good until the next one. The loop's body reads the value at most once,
// or leaves it to be skipped; it does not break out.
func (s *Scanner) Members() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !s.open(Object) {
			return
		}
		for first := true; s.more(first, '}'); first = false {
			key := s.key()
			start := s.at
			if s.err != nil || !yield(key) {
				return
			}
			if s.at == start {
				s.Discard()
			}
		}
	}
}

// Elements opens an array, or null, which has none, and has the index of each
// element. The loop's body is bound as that of [Scanner.Members] is.
func (s *Scanner) Elements() iter.Seq[int] {
	return func(yield func(int) bool) {
		if !s.open(Array) {
			return
		}
		for i := 0; s.more(i == 0, ']'); i++ {
			s.peek()
			start := s.at
			if !yield(i) {
				return
			}
			if s.at == start {
				s.Discard()
			}
		}
	}
}

// Discard reads one value of whatever kind and forgets it. It takes a byte for each level
// that the value has, and no stack: the goroutine of a connection would keep that.
func (s *Scanner) Discard() {
	var buffer [64]byte
	ends := buffer[:0] // of the arrays and objects that are open
	for s.err == nil {
		first := s.begin()
		switch {
		case first && s.text[s.at-1] == '[':
			ends = append(ends, ']')
		case first:
			ends = append(ends, '}')
		}
		for len(ends) > 0 && !s.more(first, ends[len(ends)-1]) {
			ends, first = ends[:len(ends)-1], false
		}
		if len(ends) == 0 {
			return
		}
		if ends[len(ends)-1] == '}' && s.expect(String) {
			s.quoted()
			s.colon()
		}
	}
}

// begin reads a value, or only the beginning of an array or an object, and reports which.
func (s *Scanner) begin() (open bool) {
	switch s.Kind() {
	case Null:
		s.literal("null")
	case Bool:
		if s.text[s.at] == 't' {
			s.literal("true")
		} else {
			s.literal("false")
		}
	case Number:
		s.number()
	case String:
		s.quoted()
	case Array, Object:
		s.enter()
		return s.err == nil
	default:
		s.unexpected("a value")
	}
	return false
}

// Here is where the next value stands, for Back.
func (s *Scanner) Here() int {
	s.peek()
	return s.at
}

// Back goes back to where the value that was read last stood, to read it once more.
func (s *Scanner) Back(here int) {
	if s.err == nil {
		s.at = here
	}
}

// Span reads one value of whatever kind and is where it stands in the text. After an
// error what it spans is nothing to rely on.
func (s *Scanner) Span() (start, end int) {
	start = s.Here()
	s.Discard()
	return start, s.at
}

// End is the first error, or says that more follows than one document.
func (s *Scanner) End() error {
	if s.peek(); s.at < len(s.text) && s.err == nil {
		s.unexpected("the end")
	}
	return s.err
}

// open reads the beginning of a value of that kind. It is false for null, and
// after an error.
func (s *Scanner) open(want Kind) bool {
	if s.Null() || !s.expect(want) {
		return false
	}
	s.enter()
	return s.err == nil
}

// enter reads the bracket or brace that is next.
func (s *Scanner) enter() {
	if s.depth++; s.depth > maxDepth {
		s.fail("more than %d levels deep", maxDepth)
	}
	s.at++
}

// more reads what stands before the next element, or the end.
func (s *Scanner) more(first bool, end byte) bool {
	switch c := s.peek(); {
	case s.err != nil:
		return false
	case c == end:
		s.at++
		s.depth--
		return false
	case first:
		return true
	case c == ',':
		s.at++
		return true
	}
	s.unexpected("',' or '" + string(end) + "'")
	return false
}

// expect fails where the next value is of another kind.
func (s *Scanner) expect(want Kind) bool {
	kind := s.Kind()
	if s.err == nil && kind != want {
		if kind == Invalid {
			s.unexpected(want.String())
		} else {
			s.fail("%s stands where %s must", kind, want)
		}
	}
	return s.err == nil
}

// peek goes to the next byte that is no space; 0 at the end and after an error.
func (s *Scanner) peek() byte {
	if s.err != nil {
		return 0
	}
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (s *Scanner) unexpected(want string) {
	if s.at >= len(s.text) {
		s.fail("the document ends where %s must be", want)
	} else {
		s.fail("%q stands where %s must be", s.text[s.at], want)
	}
}

func (s *Scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("byte %d: "+format, append([]any{s.at}, args...)...)
	}
}
