package claim

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Fault is a hint that cannot be followed as it is written. It is text for the
// person who wrote the hint: safe to print on a terminal, short, with the fix.
type Fault struct {
	// Claim is the claim that the fault concerns; empty: every claim of the pod.
	Claim string
	// Path says where the hint stands, e.g.
	// `metadata.annotations[volumes.opensandbox.io/storage]`. For hints of an
	// owner or a Namespace the object comes first.
	Path string
	// Text says what is wrong, the value quoted, and what to do.
	Text string
}

// Error is the path and the text.
func (f Fault) Error() string { return f.Path + ": " + f.Text }

// Origin says where a value was read. The zero Origin is the fallback.
type Origin struct {
	object string // how messages name the object; empty: the pod or the container itself
	list   string // metadata.annotations, metadata.labels or Labels
	key    string
	item   int    // index in a structured list plus one; 0: flat
	field  string // the field of that item
}

// Hinted reports whether the value came from a hint, not from a fallback.
func (o Origin) Hinted() bool { return o.key != "" }

// String is the path of the hint, or "" for the fallback.
func (o Origin) String() string {
	if !o.Hinted() {
		return ""
	}
	var b strings.Builder
	if o.object != "" {
		b.WriteString(o.object)
		b.WriteString(": ")
	}
	b.WriteString(o.list)
	b.WriteByte('[')
	b.WriteString(Printable(o.key, 317))
	b.WriteByte(']')
	if o.item > 0 {
		b.WriteByte('[')
		b.WriteString(strconv.Itoa(o.item - 1))
		b.WriteByte(']')
	}
	if o.field != "" {
		b.WriteByte('.')
		b.WriteString(Printable(o.field, 64))
	}
	return b.String()
}

func (o Origin) at(item int, field string) Origin {
	o.item, o.field = item+1, field
	return o
}

func (o Origin) fault(claim, text string) *Fault {
	return &Fault{Claim: claim, Path: o.String(), Text: text}
}

// Quote quotes a value of the caller's for a message: escaped wherever a
// terminal would not print it, cut in the middle beyond max bytes. With its
// escapes it is at most twice as long.
func Quote(s string, max int) string {
	q := strconv.Quote(elide(s, max))
	if len(q) > 2*max {
		q = strconv.Quote(elide(s, max/5)) // an escape is at most ten bytes for one
	}
	return q
}

// MaxWarning is how long a warning for a caller is at most, in bytes. The API
// server cuts warnings at 256 each and 4096 in all.
const MaxWarning = 120

// Warning is a text about one name, which gets the room that the rest leaves it.
func Warning(before, name, after string) string {
	return before + Quote(name, max(MaxWarning-len(before)-len(after)-len(`""`), 20)) + after
}

// Printable is Quote without the quotes, for text that stands in brackets.
func Printable(s string, max int) string {
	q := Quote(s, max)
	return q[1 : len(q)-1]
}

// elide keeps the ends of a long text, which tell names apart better than its
// beginning alone.
func elide(s string, max int) string {
	if len(s) <= max {
		return s
	}
	head, tail := (max-3+1)/2, (max-3)/2
	for head > 0 && !utf8.RuneStart(s[head]) {
		head--
	}
	for tail > 0 && !utf8.RuneStart(s[len(s)-tail]) {
		tail--
	}
	return s[:head] + "..." + s[len(s)-tail:]
}
