package claim_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// TestGarbage reads hints of a megabyte, which admission sees before anybody
// has limited them, and of just less than a list and all hints may have, for as many claims as a
// pod may have. Whatever grows faster than its input takes minutes here, and
// what becomes a tree a thousand times its size is over the limit of allocations.
// Garbage refuses every claim.
func TestGarbage(t *testing.T) {
	for _, size := range []int{63 << 10, 200 << 10, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) { testGarbage(t, size) })
	}
}

// maxAllocated is what reading may allocate in all, in bytes.
const maxAllocated = 48 << 20

func testGarbage(t *testing.T, size int) {
	repeat := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	many := func(format string) keys {
		m := keys{}
		for i := range size / 40 {
			m[fmt.Sprintf(format, i)] = "1Gi"
		}
		return m
	}
	var used []string
	for i := range claim.MaxClaims {
		used = append(used, fmt.Sprintf("claim%d", i))
	}
	for name, c := range map[string]struct {
		hints   keys
		refused bool
	}{
		"keys of an object":      {keys{list: `[{"claimName":"claim0"` + repeat(`,"k%07d":1`) + `}]`}, true},
		"keys of a YAML object":  {keys{list: "- claimName: claim0\n" + repeat("  k%07d: 1\n")}, true},
		"items":                  {keys{list: `[0` + repeat(`,%d`) + `]`}, true},
		"YAML items":             {keys{list: repeat("- %d\n")}, true},
		"unused claims":          {keys{list: `[null` + repeat(`,{"claimName":"k%07d"}`) + `]`}, true},
		"depth":                  {keys{list: strings.Repeat("[", size)}, true},
		"depth of objects":       {keys{list: strings.Repeat(`{"a":`, size/5)}, true},
		"depth of YAML":          {keys{list: strings.Repeat("- ", size/2)}, true},
		"depth of YAML objects":  {keys{list: strings.Repeat("? ", size/2)}, true},
		"digits":                 {keys{every + "storage": strings.Repeat("9", size)}, true},
		"digits after the point": {keys{every + "storage": "1." + strings.Repeat("9", size)}, true},
		"exponent":               {keys{every + "storage": "1e999999999"}, true},
		"negative exponent":      {keys{every + "storage": "1e-999999999"}, true},
		"modes":                  {keys{every + "accessModes": strings.Repeat("RWO,", size/4)}, true},
		"unknown keys":           {many(every + "k%07d"), true},
		"unused keys":            {many("k%07d." + every + "storage"), size > claim.MaxHints},
		"faults of one claim":    {many("claim0." + every + "k%07d"), true},
	} {
		for kind, object := range map[string]claim.Object{
			"pod": {Annotations: c.hints}, "container": {Kind: claim.Container, Labels: c.hints},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				h := claim.Read(object, used)
				runtime.ReadMemStats(&after)
				if n := after.TotalAlloc - before.TotalAlloc; n > maxAllocated {
					t.Errorf("%d MiB allocated", n>>20)
				}
				for _, name := range used {
					w := claim.Resolve(name, fallback(), &h)
					if (len(w.Faults) > 0) != c.refused || len(w.Faults) > 200 {
						t.Fatalf("claim %s has %d faults", name, len(w.Faults))
					}
				}
			})
		}
	}
}

// TestTooManyHints: those of one object are read up to a length, and none of them beyond it; annotations and labels each
// for themselves.
func TestTooManyHints(t *testing.T) {
	const key = "data.volumes.opensandbox.io/storage"
	long := func(value string, more int) keys {
		return keys{key: value, "a.volumes.opensandbox.io/k": strings.Repeat("k", claim.MaxHints-len(key+value+"a.volumes.opensandbox.io/k")+more)}
	}
	for name, c := range map[string]struct {
		object claim.Object
		want   string
	}{
		"as many as may be": {claim.Object{Annotations: long("1Gi", 0), Labels: long("1Gi", 0)}, ""},
		"a byte more":       {claim.Object{Annotations: long("1Gi", 1)}, "metadata.annotations: " + tooLong},
		"labels":            {claim.Object{Annotations: long("1Gi", 0), Labels: long("1Gi", 1)}, "metadata.labels: " + tooLong},
		"an owner's":        {claim.Object{Kind: claim.Owner, Name: `Sandbox "s"`, Annotations: long("1Gi", 1)}, `Sandbox "s": metadata.annotations: ` + tooLong},
		"a Namespace's":     {claim.Object{Kind: claim.Namespace, Name: "n", Annotations: keys{"volumes.opensandbox.io/storage": strings.Repeat("9", claim.MaxHints)}}, `Namespace "n": metadata.annotations: ` + tooLong},
		"a container's":     {claim.Object{Kind: claim.Container, Labels: long("1Gi", 1)}, "Labels: " + tooLong},
	} {
		t.Run(name, func(t *testing.T) {
			hints := claim.Read(c.object, []string{"data"})
			w := claim.Resolve("data", fallback(), &hints)
			var got []string
			for _, f := range w.Faults {
				got = append(got, f.Error())
			}
			if strings.Join(got, "; ") != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

const tooLong = "the hints are longer than 256 KiB together; write only those of claims that are used, 64 at most"

// TestFullLists: a list is refused for what it is full of before a parser goes through it, wherever that stands; one that is as
// large as it may be, written as widely as can be, is read.
func TestFullLists(t *testing.T) {
	const many = 5000
	for name, text := range map[string]string{
		"values":                  "[" + strings.Repeat("a,", many),
		"JSON values":             "[" + strings.Repeat("1,", many) + "1]",
		"levels":                  strings.Repeat("[", many),
		"levels of objects":       strings.Repeat("{a: ", many),
		"levels in a line":        strings.Repeat("- ", many) + "x",
		"levels by tabs":          strings.Repeat("-\t", many) + "x",
		"levels after a mark":     "\ufeff" + strings.Repeat("- ", many),
		"levels behind quotes":    "[' #'," + strings.Repeat("[", many),
		"levels that seem to end": strings.Repeat("[']',", many),
		"levels on a line's rest": "\r" + strings.Repeat("? ", many),
		"lines":                   strings.Repeat("-\n", many),
		"lines by other breaks":   strings.Repeat("-\u0085", many/2) + strings.Repeat("-\u2028", many/2),
		"lines that are no ASCII": strings.Repeat("a\u2029", many),
		"in quotes":               `["` + strings.Repeat(",", many) + `"]`,
	} {
		hints := claim.Read(claim.Object{Annotations: keys{claim.KeyClaims: text}}, []string{"data"})
		w := claim.Resolve("data", fallback(), &hints)
		if len(w.Faults) != 1 || !strings.HasSuffix(w.Faults[0].Text, " cannot be read: more than 4096 values and lines; list only the claims that are used, 64 at most") {
			t.Errorf("%s: %q", name, w.Faults)
		}
	}
	for _, text := range []string{"\xff\xfe-\x00 \x00a\x00", "[\"\xff\"]"} {
		hints := claim.Read(claim.Object{Annotations: keys{claim.KeyClaims: text}}, []string{"data"})
		w := claim.Resolve("data", fallback(), &hints)
		if len(w.Faults) != 1 || !strings.HasSuffix(w.Faults[0].Text, " cannot be read: not UTF-8; write it as UTF-8") {
			t.Errorf("%q: %q", text, w.Faults)
		}
	}
	var used, list []string
	for i := range claim.MaxClaims {
		used = append(used, fmt.Sprintf("claim%d", i))
		list = append(list, fmt.Sprintf(`
    {
        "claimName": "claim%d",
        "storage": "1Gi",
        "storageClass": "fast",
        "accessModes": [
            "ReadWriteOnce",
            "ReadOnlyMany",
            "ReadWriteMany"
        ],
        "createIfNotExists": true,
        "deleteOnSandboxTermination": false
    }`, i))
	}
	hints := claim.Read(claim.Object{Annotations: keys{claim.KeyClaims: "[" + strings.Join(list, ",") + "\n]\n"}}, used)
	for _, name := range used {
		if w := claim.Resolve(name, fallback(), &hints); len(w.Faults) > 0 || w.StorageClass.Value != "fast" {
			t.Fatalf("%s: %q", name, w.Faults)
		}
	}
}
