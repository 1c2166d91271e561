package claim_test

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// TestTextOfFaults holds, over every row, that what a person gets to read is
// safe for a terminal and says what to do.
func TestTextOfFaults(t *testing.T) {
	for _, r := range rows() {
		for _, objects := range r.layers() {
			layers, warnings := read(objects, "home", "data")
			for _, name := range []string{"home", "data"} {
				for _, f := range claim.Resolve(name, fallback(), layers...).Faults {
					checkFault(t, f, name)
					if !strings.Contains(f.Text, "; ") {
						t.Errorf("%s: no fix in %q", r.rule, f.Text)
					}
				}
			}
			for _, w := range warnings {
				if !printable(w) || utf8.RuneCountInString(w) > 120 {
					t.Errorf("%s: warning %q has %d characters", r.rule, w, utf8.RuneCountInString(w))
				}
			}
		}
	}
}

// checkFault holds what is true of any fault of the claim.
func checkFault(t testing.TB, f claim.Fault, name string) {
	t.Helper()
	if f.Path == "" || f.Text == "" || f.Error() != f.Path+": "+f.Text {
		t.Errorf("fault %q is without path or text", f.Error())
	}
	if !printable(f.Path) || !printable(f.Text) {
		t.Errorf("fault %+q is not safe to print", f.Error())
	}
	if f.Claim != "" && f.Claim != name {
		t.Errorf("claim %q has the fault %q of claim %q", name, f.Error(), f.Claim)
	}
}

func printable(s string) bool {
	unprintable := func(r rune) bool { return !strconv.IsPrint(r) }
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unprintable)
}

// TestHostileText holds the same for names, keys and values that mean harm.
func TestHostileText(t *testing.T) {
	for _, hostile := range []string{
		"\x1b[2J", "a\r\nWarning: all is well", "\u202etxt", "\u200b", "\x00", "\x7f", "\u0085", "\u2028", "\xff\xfe", "\ue000",
		strings.Repeat("\x1b", 5000), strings.Repeat("é", 5000), strings.Repeat(`"`, 5000),
	} {
		for _, kind := range []claim.Kind{claim.Pod, claim.Owner, claim.Namespace, claim.Container} {
			for _, object := range []claim.Object{
				{Annotations: keys{every + hostile: hostile, home + hostile: hostile, hostile + "." + every + "storage": "5Gi"}},
				{Annotations: keys{every + "storage": hostile, home + "accessModes": hostile, home + "createIfNotExists": hostile}},
				{Annotations: keys{every + "storageClass": hostile, list: hostile, ext: hostile}},
				{Annotations: keys{list: jsonObject("claimName", hostile)}},
				{Annotations: keys{list: jsonObject("claimName", "home", hostile, hostile)}},
				{Annotations: keys{list: jsonObject("claimName", "home", "storage", hostile, "storageClass", hostile)}},
				{Annotations: keys{list: "- claimName: home\n  " + hostile + ": x\n"}},
			} {
				object.Kind, object.Labels = kind, object.Annotations
				layers, warnings := read([]claim.Object{object}, "home")
				for _, f := range claim.Resolve("home", fallback(), layers...).Faults {
					checkFault(t, f, "home")
					if len(f.Error()) > 2000 {
						t.Errorf("a fault of %d bytes: %q", len(f.Error()), f.Error())
					}
				}
				for _, w := range warnings {
					if !printable(w) || len(w) > 400 {
						t.Errorf("warning %+q is not safe to print", w)
					}
				}
			}
		}
	}
}

// jsonObject is a list of one object with the keys and values, in turn.
func jsonObject(keyValue ...string) string {
	var fields []string
	for i := 0; i < len(keyValue); i += 2 {
		pair := yamlList("x", keyValue[i], keyValue[i+1])
		fields = append(fields, strings.TrimSuffix(strings.TrimPrefix(pair, `[{"claimName":"x",`), `}]`))
	}
	return "[{" + strings.Join(fields, ",") + "}]"
}

// TestWarningsNameTheClaim holds that a claim's name of up to 63 characters
// stands in full in a warning that still fits.
func TestWarningsNameTheClaim(t *testing.T) {
	name := strings.Repeat("a", 62) + "z"
	for _, object := range []claim.Object{
		{Annotations: keys{name + "." + every + "deleteOnSandboxTermination": "true"}},
		{Annotations: keys{list: `[{"claimName":"` + name + `"}]`}},
		{Kind: claim.Owner, Labels: keys{name + "." + every + "storage": "5Gi"}},
		{Kind: claim.Container, Labels: keys{name + "." + every + "storage": "5Gi"}},
	} {
		h := claim.Read(object, []string{"home"})
		if len(h.Warnings) != 1 || !strings.Contains(h.Warnings[0], `"`+name+`"`) || len(h.Warnings[0]) > 120 {
			t.Errorf("got %q, want one of at most 120 characters with %q", h.Warnings, name)
		}
	}
	h := claim.Read(claim.Object{Kind: claim.Namespace, Name: "team", Annotations: keys{
		name + "." + every + "deleteOnSandboxTermination": "true",
	}}, []string{"home"})
	if len(h.Warnings) != 1 || len(h.Warnings[0]) > 120 {
		t.Errorf("got %q, want one of at most 120 characters", h.Warnings)
	}
}

func TestQuote(t *testing.T) {
	for _, c := range []struct {
		s    string
		max  int
		want string
	}{
		{"10 GB", 64, `"10 GB"`},
		{"10\u200bGi", 64, `"10\u200bGi"`},
		{`a"b`, 64, `"a\"b"`},
		{"0123456789", 10, `"0123456789"`},
		{"0123456789a", 10, `"0123...89a"`},
		{"", 10, `""`},
	} {
		if got := claim.Quote(c.s, c.max); got != c.want {
			t.Errorf("Quote(%q, %d) = %s, want %s", c.s, c.max, got, c.want)
		}
		if got := `"` + claim.Printable(c.s, c.max) + `"`; got != c.want {
			t.Errorf("Printable(%q, %d) differs from Quote: %s", c.s, c.max, got)
		}
	}
	if got := claim.Quote(strings.Repeat("é", 100), 20); !utf8.ValidString(got) || strings.Contains(got, `\x`) {
		t.Errorf("a character is cut in two: %s", got)
	}
}

// TestDeterminism holds that the same hints give the same answer in the same
// order, however the maps are walked.
func TestDeterminism(t *testing.T) {
	answer := func() (answers []any) {
		var objects []claim.Object
		for kind := claim.Pod; kind <= claim.Container; kind++ {
			o := claim.Object{Kind: kind, Name: fmt.Sprintf("object %d", kind), Annotations: keys{
				list: `[{"claimName":"home","storage":"3Gi","size":"x"},{"claimName":"gone"},{"claimName":"home"}]`,
				ext:  `[{"claimName":"home","storage":"4Gi"},{"storage":10},{"claimName":"lost"}]`,
			}, Labels: keys{}}
			for i := range 10 {
				o.Annotations[fmt.Sprintf("%stypo%d", every, i)] = "x"
				o.Annotations[fmt.Sprintf("unused%d.%sstorage", i, every)] = "x"
				o.Labels[fmt.Sprintf("%stypo%d", home, i)] = "x"
			}
			for _, field := range []string{"storage", "storageClass", "storageClassName", "accessModes", "createIfNotExists"} {
				o.Annotations[every+field] = "a " + field
				o.Annotations[home+field] = "b " + field
				o.Labels[every+field] = "c " + field
			}
			if o.Kind == claim.Container {
				o.Labels = o.Annotations
			}
			objects = append(objects, o)
		}
		layers, warnings := read(objects, "home", "data")
		return []any{warnings, claim.Resolve("home", fallback(), layers...), claim.Resolve("data", fallback(), layers...)}
	}
	first := answer()
	for range 100 {
		if again := answer(); !reflect.DeepEqual(again, first) {
			t.Fatalf("first\n%v\nthen\n%v", first, again)
		}
	}
}
