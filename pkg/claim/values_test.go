package claim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

func storageRows() []row {
	var rows []row
	for _, good := range [][2]string{
		{"10Gi", "10Gi"}, {"1024Mi", "1Gi"}, {"1.5Gi", "1536Mi"}, {"1", "1"}, {"1000", "1k"}, {"1k", "1k"},
		{"5M", "5M"}, {"5G", "5G"}, {"5T", "5T"}, {"5P", "5P"}, {"9E", "9E"}, {"1Ki", "1Ki"}, {"1Ti", "1Ti"},
		{"1Pi", "1Pi"}, {"7Ei", "7Ei"}, {"1e9", "1e9"}, {"2E3", "2e3"}, {"0.5Gi", "512Mi"}, {".5Gi", "512Mi"},
		{"9223372036854775806", "9223372036854775806"},
	} {
		rows = append(rows,
			row{
				rule:  fmt.Sprintf("storage %q is a size", good[0]),
				hints: keys{home + "storage": good[0]},
				home:  ok("storage=" + good[1]),
			},
			row{
				rule:  fmt.Sprintf("storage %q is a size in a list", good[0]),
				hints: keys{list: fmt.Sprintf(`[{"claimName":"home","storage":%q}]`, good[0])},
				home:  ok("storage=" + good[1]),
			})
	}
	for _, bad := range []string{
		"", " ", "0", "0Gi", "0.0", "-0", "-1", "-1Gi", "1e99Gi", "1e99", "NaN", "Inf", "10 GB", "10 Gi", "10GB", "10gi",
		"10gb", "10GiB", " 10Gi", "10Gi ", "10\u200bGi", "\u200b10Gi", "１０Gi", "1,5Gi", "1_000", "0x10", "Gi", "ten",
		"8Ei", "9999Ei", "9223372036854775808", "10Gi\n", "10Gi\x00", "1.2.3Gi", "--1",
		"99999999999999999999999999999999Gi", "1e99999999", "1e-99999999",
	} {
		rows = append(rows,
			row{
				rule:  fmt.Sprintf("storage %+q is no size", bad),
				hints: keys{home + "storage": bad},
				home:  refused(home+"storage", fmt.Sprintf("%q", bad)),
			},
			row{
				rule:  fmt.Sprintf("storage %+q is no size in a list", bad),
				hints: keys{list: yamlList("home", "storage", bad)},
				home:  refused(list+"][0].storage", fmt.Sprintf("%q", bad)),
			})
	}
	return rows
}

// yamlList is a list of one claim with one field, the value written so that
// JSON and YAML read it alike.
func yamlList(name, field, value string) string {
	var b strings.Builder
	for _, r := range value {
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return fmt.Sprintf(`[{"claimName":%q,%q:"%s"}]`, name, field, b.String())
}

func valueRows() []row {
	return []row{
		{
			rule:  "a class by name",
			hints: keys{home + "storageClass": "fast"}, home: ok("class=fast"),
		},
		{
			rule:  "storageClassName is another name for storageClass",
			hints: keys{home + "storageClassName": "fast"}, home: ok("class=fast"),
		},
		{
			rule:  "an empty class is explicitly none",
			hints: keys{home + "storageClass": ""}, home: ok("class="),
		},
		{
			rule:   "an empty class is explicitly none in a label",
			labels: keys{home + "storageClass": ""}, home: ok("class="),
		},
		{
			rule:  "an empty class is explicitly none in a list",
			hints: keys{list: `[{"claimName":"home","storageClass":""}]`}, home: ok("class="),
		},
		{
			rule:  "a class may have dots and dashes",
			hints: keys{home + "storageClass": "fast.ssd-1.example.com"}, home: ok("class=fast.ssd-1.example.com"),
		},
		{
			rule:  "a class that cannot be the name of one",
			hints: keys{home + "storageClass": "Fast SSD"}, home: refused("storageClass", `"Fast SSD"`),
		},
		{
			rule:  "a class with a line break",
			hints: keys{home + "storageClass": "fast\n"}, home: refused("storageClass", `"fast\n"`),
		},
		{
			rule:  "a class longer than a name may be",
			hints: keys{every + "storageClass": strings.Repeat("a", 254)}, both: refused("storageClass", `aaa`),
		},
	}
}

func modeRows() []row {
	var rows []row
	for _, good := range [][2]string{
		{"ReadWriteOnce", "ReadWriteOnce"}, {"ReadOnlyMany", "ReadOnlyMany"}, {"ReadWriteMany", "ReadWriteMany"},
		{"ReadWriteOncePod", "ReadWriteOncePod"},
		{"RWO", "ReadWriteOnce"}, {"ROX", "ReadOnlyMany"}, {"RWX", "ReadWriteMany"}, {"RWOP", "ReadWriteOncePod"},
		{"RWO,ROX", "ReadWriteOnce+ReadOnlyMany"}, {"RWO_ROX", "ReadWriteOnce+ReadOnlyMany"},
		{"ROX,RWO", "ReadWriteOnce+ReadOnlyMany"},
		{"ReadWriteMany,ROX", "ReadOnlyMany+ReadWriteMany"},
		{"ReadWriteOnce_ReadOnlyMany_ReadWriteMany", "ReadWriteOnce+ReadOnlyMany+ReadWriteMany"},
	} {
		rows = append(rows, row{
			rule:  fmt.Sprintf("accessModes %q", good[0]),
			hints: keys{home + "accessModes": good[0]}, home: ok("modes=" + good[1]),
		})
		if !strings.Contains(good[0], ",") {
			rows = append(rows, row{
				rule:   fmt.Sprintf("accessModes %q in a label", good[0]),
				labels: keys{home + "accessModes": good[0]}, home: ok("modes=" + good[1]),
			})
		}
		quoted := strings.NewReplacer(",", `","`, "_", `","`).Replace(good[0])
		rows = append(rows, row{
			rule:  fmt.Sprintf("accessModes %q in a list", good[0]),
			hints: keys{list: fmt.Sprintf(`[{"claimName":"home","accessModes":["%s"]}]`, quoted)},
			home:  ok("modes=" + good[1]),
		})
	}
	for _, bad := range []string{
		"", ",", "_", "_RWO", "RWO_", "rwo", "readwriteonce", "RWO,", ",RWO", "RWO,,ROX", "[RWO]", "RWO;ROX", "RWO ROX", "ReadWriteTwice",
		"RWOP,RWO", "RWO_RWOP", "RW\u200bO",
	} {
		rows = append(rows, row{
			rule:  fmt.Sprintf("accessModes %+q are none", bad),
			hints: keys{home + "accessModes": bad}, home: refused(home+"accessModes", quotedMode(bad)),
		})
	}
	return rows
}

func boolRows() []row {
	var rows []row
	for _, field := range [][2]string{{"createIfNotExists", "create"}, {"deleteOnSandboxTermination", "delete"}} {
		for _, good := range []string{"true", "false"} {
			rows = append(rows,
				row{
					rule:  field[0] + " " + good,
					hints: keys{home + field[0]: good}, home: ok(field[1] + "=" + good),
				},
				row{
					rule:   field[0] + " " + good + " in a label",
					labels: keys{home + field[0]: good}, home: ok(field[1] + "=" + good),
				},
				row{
					rule:  field[0] + " " + good + " in a list",
					hints: keys{list: `[{"claimName":"home","` + field[0] + `":` + good + `}]`}, home: ok(field[1] + "=" + good),
				})
		}
		for _, bad := range []string{"", "True", "FALSE", "yes", "no", "on", "1", "0", "t", " true", "true\u200b", "null"} {
			rows = append(rows, row{
				rule:  fmt.Sprintf("%s %+q is no boolean", field[0], bad),
				hints: keys{home + field[0]: bad}, home: refused(home+field[0], fmt.Sprintf("%q", bad)),
			})
		}
	}
	return rows
}

// quotedMode is how a fault may quote faulty modes: all of them, or the one
// that is no mode.
func quotedMode(modes string) string {
	if strings.Contains(modes, "RWOP") {
		return "ReadWriteOncePod"
	}
	return `"`
}

func TestNames(t *testing.T) {
	for _, good := range []string{"a", "home", "alice-home", "alice.home-1", "0", strings.Repeat("a", 253)} {
		if problem := claim.CheckName(good); problem != "" {
			t.Errorf("CheckName(%q) = %q", good, problem)
		}
	}
	for _, bad := range []string{
		"", "Home", "a_b", "-a", "a-", ".a", "a.", "a..b", "a b", "a/b", "hömé", "a\n", "a\u200b", strings.Repeat("a", 254),
	} {
		if claim.CheckName(bad) == "" {
			t.Errorf("CheckName(%q) finds nothing wrong", bad)
		}
	}
}

func TestVolumeNames(t *testing.T) {
	for _, good := range []string{"ab", "home", "Alice_Home.1", "0-", "a.", "x__y", strings.Repeat("a", 255)} {
		if problem := claim.CheckVolumeName(good); problem != "" {
			t.Errorf("CheckVolumeName(%q) = %q", good, problem)
		}
	}
	for _, bad := range []string{"", "a", "-ab", ".ab", "_ab", "a b", "a/b", "./ab", "hömé", "ab\n", "ab\x00", strings.Repeat("a", 256)} {
		if claim.CheckVolumeName(bad) == "" {
			t.Errorf("CheckVolumeName(%q) finds nothing wrong", bad)
		}
	}
}

func TestModes(t *testing.T) {
	both := claim.ReadWriteOnce | claim.ReadOnlyMany
	if got := both.Missing(claim.ReadWriteOnce); got != claim.ReadOnlyMany {
		t.Errorf("RWO,ROX of RWO lacks %q", got)
	}
	if got := claim.ReadWriteOnce.Missing(both); got != 0 {
		t.Errorf("RWO of RWO,ROX lacks %q", got)
	}
	if got := both.String(); got != "ReadWriteOnce,ReadOnlyMany" {
		t.Errorf("RWO,ROX reads %q", got)
	}
	if got := both.Short(); got != "RWO,ROX" {
		t.Errorf("RWO,ROX in short reads %q", got)
	}
	if got := claim.Modes(0).Names(); len(got) != 0 {
		t.Errorf("no modes read %q", got)
	}
	for _, bad := range []string{"", "rwo", "RWO,ROX", " RWO", "ReadWriteOnce\n"} {
		if m, found := claim.ParseMode(bad); found || m != 0 {
			t.Errorf("ParseMode(%q) = %q, %v", bad, m, found)
		}
	}
}

func TestMaxClaims(t *testing.T) {
	if claim.MaxClaims != 64 {
		t.Errorf("a pod may have %d claims, want 64", claim.MaxClaims)
	}
}
