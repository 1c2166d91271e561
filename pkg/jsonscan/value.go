package jsonscan

import (
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Null reads a null where one is next, and reports whether it was.
func (s *Scanner) Null() bool {
	if s.Kind() != Null {
		return false
	}
	s.literal("null")
	return s.err == nil
}

// Bool reads a boolean. Null leaves v alone; anything else is an error.
func (s *Scanner) Bool(v *bool) {
	if s.Null() || !s.expect(Bool) {
		return
	}
	if s.text[s.at] == 't' {
		s.literal("true")
		*v = s.err == nil
	} else {
		s.literal("false")
		*v = false
	}
}

// Number reads a number and is its text, as written.
func (s *Scanner) Number() string {
	if !s.expect(Number) {
		return ""
	}
	start := s.at
	s.number()
	return s.Keep(s.text[start:s.at])
}

// String reads a string. Null leaves v alone; anything else is an error.
func (s *Scanner) String(v *string) {
	if s.Null() || !s.expect(String) {
		return
	}
	if text := s.unquoted(); s.err == nil {
		*v = s.Keep(text)
	}
}

// Text reads a string and is its bytes, which are good until the next string or key
// is read. It is nil for null; anything else is an error.
func (s *Scanner) Text() []byte {
	if s.Null() || !s.expect(String) {
		return nil
	}
	return s.unquoted()
}

// Length reads a string and is how long its text is, in bytes; 0 for null. Anything else
// is an error.
func (s *Scanner) Length() (n int) {
	if s.Null() || !s.expect(String) {
		return 0
	}
	start := s.at
	plain := s.quoted()
	if s.err != nil {
		return 0
	}
	raw := s.text[start+1 : s.at-1]
	if plain {
		return len(raw)
	}
	for len(raw) > 0 {
		r, size := first(raw)
		n += utf8.RuneLen(r)
		raw = raw[size:]
	}
	return n
}

// Keep is a key, or any other bytes, as a string that stays.
func (s *Scanner) Keep(b []byte) string {
	if s.MaxKept > 0 && s.before+s.kept.Len()+len(b) > s.MaxKept {
		s.fail("what must be kept of the document is longer than %d bytes", s.MaxKept)
		return ""
	}
	if s.kept.Cap()-s.kept.Len() < len(b) {
		s.before += s.kept.Len()
		s.kept = strings.Builder{}
		s.kept.Grow(max(len(b), min(len(s.text), firstKept)))
	}
	start := s.kept.Len()
	s.kept.Write(b)
	return s.kept.String()[start:]
}

// key reads a member's key and what stands before its value.
func (s *Scanner) key() []byte {
	if !s.expect(String) {
		return nil
	}
	key := s.unquoted()
	s.colon()
	return key
}

// unquoted reads the string whose quote is next; its text is good until the next one.
func (s *Scanner) unquoted() []byte {
	start := s.at
	plain := s.quoted()
	if s.err != nil {
		return nil
	}
	raw := s.text[start+1 : s.at-1]
	if !plain {
		s.scratch = unquote(slices.Grow(s.scratch[:0], len(raw)), raw)
		return s.scratch
	}
	return raw
}

func (s *Scanner) colon() {
	if c := s.peek(); c == ':' {
		s.at++
		s.peek()
	} else if s.err == nil {
		s.unexpected("':'")
	}
}

// quoted reads the string whose quote is next. plain reports whether its bytes
// are its text.
func (s *Scanner) quoted() (plain bool) {
	plain = true
	ascii := true
	start := s.at + 1
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case ' ' <= c && c < utf8.RuneSelf && c != '"' && c != '\\': // nearly all there is
			continue
		case c == '"':
			s.at++
			return plain && (ascii || utf8.Valid(s.text[start:s.at-1]))
		case c == '\\':
			plain = false
			s.escape()
		case c >= utf8.RuneSelf:
			ascii = false
		case c < ' ':
			s.fail("%q stands in a string; write it as an escape", c)
		}
		if s.err != nil {
			return false
		}
	}
	s.unexpected(`'"'`)
	return false
}

// escape checks an escape and ends on its last byte.
func (s *Scanner) escape() {
	s.at++
	if s.at == len(s.text) {
		return // quoted says that the string does not end
	}
	switch s.text[s.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return
	case 'u':
		for range 4 {
			if s.at++; s.at == len(s.text) {
				return
			}
			if _, ok := hex(s.text[s.at]); !ok {
				s.unexpected("a hexadecimal digit")
				return
			}
		}
		return
	}
	s.unexpected("an escape")
}

// literal reads null, true or false.
func (s *Scanner) literal(word string) {
	if rest := s.text[s.at:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
		s.at += len(word)
		return
	}
	s.unexpected(word)
}

// number reads a number; its first byte is '-' or a digit.
func (s *Scanner) number() {
	if s.text[s.at] == '-' {
		s.at++
	}
	if s.at < len(s.text) && s.text[s.at] == '0' {
		s.at++
	} else {
		s.digits()
	}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		s.digits()
	}
	if s.at < len(s.text) && (s.text[s.at] == 'e' || s.text[s.at] == 'E') {
		if s.at++; s.at < len(s.text) && (s.text[s.at] == '+' || s.text[s.at] == '-') {
			s.at++
		}
		s.digits()
	}
}

// digits reads at least one.
func (s *Scanner) digits() {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	if s.at == start {
		s.unexpected("a digit")
	}
}

// unquote appends the text of a string, without its quotes, that was checked.
func unquote(to, raw []byte) []byte {
	for len(raw) > 0 {
		r, size := first(raw)
		to = utf8.AppendRune(to, r)
		raw = raw[size:]
	}
	return to
}

// first is the first character of such a string, and how many of its bytes stand for it.
func first(raw []byte) (r rune, size int) {
	switch c := raw[0]; {
	case c >= utf8.RuneSelf:
		return utf8.DecodeRune(raw)
	case c != '\\':
		return rune(c), 1
	case raw[1] != 'u':
		return rune(escaped(raw[1])), 2
	}
	if r = unit(raw); !utf16.IsSurrogate(r) {
		return r, 6
	}
	if pair := utf16.DecodeRune(r, unit(raw[6:])); pair != utf8.RuneError {
		return pair, 12
	}
	return utf8.RuneError, 6
}

// unit is the UTF-16 unit of an escape \uXXXX, or -1 where there is none.
func unit(raw []byte) rune {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range raw[2:6] {
		digit, _ := hex(c)
		r = r<<4 | digit
	}
	return r
}

func escaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func hex(c byte) (digit rune, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0'), true
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10, true
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10, true
	}
	return 0, false
}
