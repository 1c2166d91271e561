package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	hints "github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/test/process"
	"github.com/ensure-volumes/ensure-volumes/test/standin"
)

// The guide's rows of what differs between OpenSandbox's PVC model and a hint, by their first cells.
const (
	rowTooLarge = "`storage` of `8Ei` and more"
	rowNoClass  = "`storageClass` that does not exist"
	rowBooleans = "booleans as `1`, `\"True\"`, `\"yes\"`, `\"off\"`"
	rowSnake    = "fields in snake case (`claim_name`)"
	rowUnknown  = "fields that nobody knows"
	rowTwice    = "the same claim twice in one list"
	rowNull     = "`null` for a boolean"
	rowWider    = "names with dots, sizes like `10G` and `1e3`, modes like `RWX`"
	rowDefault  = "the default size"
)

// beyond is a difference that needs no API server: a list of hints, and what the schema says of its first object.
type beyond struct {
	row, list string
	refused   bool   // by OpenSandbox's schema
	fault     string // of the hint; "": none
}

func beyondTheSchema() []beyond {
	return []beyond{
		{rowTwice, `[{"claimName":"home"},{"claimName":"home"}]`, false, "home"},
		{rowNull, `[{"claimName":"home","createIfNotExists":null}]`, true, ""},
		{rowNull, `[{"claimName":"home","deleteOnSandboxTermination":null}]`, true, ""},
		{rowWider, `[{"claimName":"alice.home"}]`, true, ""},
		{rowWider, `[{"claimName":"home","storage":"10G"}]`, true, ""},
		{rowWider, `[{"claimName":"home","storage":"1e3"}]`, true, ""},
		{rowWider, `[{"claimName":"home","accessModes":["RWX"]}]`, false, ""}, // the API server refuses it
	}
}

// What only the one or only the other accepts, beyond what a claim shows.
func TestDifferencesFromTheSchema(t *testing.T) {
	t.Parallel()
	for _, test := range beyondTheSchema() {
		name := "home"
		if strings.Contains(test.list, "alice.home") {
			name = "alice.home"
		}
		read := hints.Read(hints.Object{Kind: hints.Pod, Annotations: map[string]string{extensions: test.list}}, []string{name})
		want := hints.Resolve(name, resource.MustParse("1Gi"), &read)
		if test.fault == "" && (len(want.Faults) > 0 || len(read.Warnings) > 0) ||
			test.fault != "" && (len(want.Faults) == 0 || !strings.Contains(fmt.Sprint(want.Faults), test.fault)) {
			t.Errorf("%s: faults %v, warnings %v, want %q", test.list, want.Faults, read.Warnings, test.fault)
		}
		var pvcs []standin.PVC
		err := json.Unmarshal([]byte(test.list), &pvcs)
		if err == nil && (!standin.PatternClaimName.MatchString(pvcs[0].ClaimName) || pvcs[0].Storage != "" && !standin.PatternStorage.MatchString(pvcs[0].Storage)) {
			err = errors.New("a pattern does not match")
		}
		if refused := err != nil; refused != test.refused {
			t.Errorf("%s: by OpenSandbox's schema: %v", test.list, err)
		}
	}
	// The default size is the operator's, unless the Namespace has one of its own.
	pod := hints.Read(hints.Object{Kind: hints.Pod, Annotations: map[string]string{extensions: `[{"claimName":"home"}]`}}, []string{"home"})
	namespace := hints.Read(hints.Object{Kind: hints.Namespace, Annotations: map[string]string{domain + "/storage": "3Gi"}}, []string{"home"})
	for want, layers := range map[string][]*hints.Hints{"5Gi": {&pod}, "3Gi": {&pod, &namespace}} {
		if got := hints.Resolve("home", resource.MustParse("5Gi"), layers...); got.Storage.Value.Cmp(resource.MustParse(want)) != 0 {
			t.Errorf("the default size is %s, want %s", &got.Storage.Value, want)
		}
	}
}

// The guide lists what these tests hold, and no more.
func TestTheGuideListsTheDifferences(t *testing.T) {
	t.Parallel()
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "opensandbox.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "| value | OpenSandbox's server | as a hint |\n|---|---|---|\n")
	if !ok {
		t.Fatal("the guide has no table of the differences")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var listed []string
	for line := range strings.Lines(table) {
		listed = append(listed, strings.TrimSpace(strings.Split(line, "|")[1]))
	}
	held := []string{rowDefault}
	for _, c := range pvcCases() {
		if c.row != "" {
			held = append(held, c.row)
		}
	}
	for _, b := range beyondTheSchema() {
		held = append(held, b.row)
	}
	slices.Sort(held)
	slices.Sort(listed)
	if held = slices.Compact(held); !slices.Equal(held, listed) {
		t.Errorf("the guide lists %q, the tests hold %q", listed, held)
	}
}
