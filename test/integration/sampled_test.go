package integration

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	hints "github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

var sampleSeed = flag.Uint64("sample-seed", 0, "of TestAcceptedHintsMakeClaims; 0: a new one")

// What the hints' parser accepts the API server makes a claim of, and what it
// refuses is refused with its path: on hints that are made up at random, and on
// what the fuzzing of pkg/claim found interesting. Not parallel: it needs a
// webhook that lets any class pass.
func TestAcceptedHintsMakeClaims(t *testing.T) {
	world.restart(t, "--missing-storage-class=off")
	ns := world.namespace(t)
	author := world.author(t)
	seed := *sampleSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("again with -sample-seed=%d", seed)
	samples := append(interesting(t), sampled(rand.New(rand.NewPCG(seed, 0)), 400)...)
	accepted := 0
	for _, annotations := range samples {
		p := pod(ns, "sb1", "data")
		p.Annotations = annotations
		read := hints.Read(hints.Object{Kind: hints.Pod, Annotations: annotations}, []string{"data"})
		want := hints.Resolve("data", resource.MustParse("1Gi"), &read)
		err := author.Create(t.Context(), p, client.DryRunAll)
		if len(want.Faults) == 0 && want.CreateIfNotExists.Value {
			accepted++
			if err != nil {
				t.Errorf("%q is accepted, and then: %v", annotations, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%q is allowed, though %q", annotations, want.Faults)
			continue
		}
		s := status(t, err)
		if s.Code != 422 || len(s.Details.Causes) == 0 {
			t.Errorf("%q: %d %s", annotations, s.Code, s.Message)
			continue
		}
		for i, f := range want.Faults {
			if c := s.Details.Causes[i]; c.Field != f.Path || c.Message != f.Text {
				t.Errorf("%q: the cause %q, not %q", annotations, c, f)
			}
		}
	}
	if accepted == 0 || accepted == len(samples) {
		t.Errorf("%d of %d were accepted", accepted, len(samples))
	}
	world.wantNothingLeft(t, ns)
}

// sampled makes up hints: values that are right, nearly right and wrong, flat and in lists.
func sampled(r *rand.Rand, n int) (all []map[string]string) {
	values := map[string][]string{
		"storage":                    {"1", "10Gi", "1.5Gi", "1e3", "100m", "0", "-1Gi", "8Ei", "7Ei", "1e-9", "9007199254740993"},
		"storageClass":               {"", "fast", "a.b-c", "Fast", "a..b", strings.Repeat("a", 253)},
		"accessModes":                {"RWO", "ROX,RWX", "ReadWriteOncePod", "RWO_ROX", "RWOP,RWO", ","},
		"createIfNotExists":          {"true", "false", "True"},
		"deleteOnSandboxTermination": {"true", "false", "yes"},
	}
	fields := []string{"storage", "storageClass", "accessModes", "createIfNotExists", "deleteOnSandboxTermination"}
	odd := []rune(" \t\u200b-.,_0eEiGé")
	value := func(field string) string {
		v := values[field][r.IntN(len(values[field]))]
		if r.IntN(3) > 0 {
			return v
		}
		other := string(odd[r.IntN(len(odd))])
		at := r.IntN(len(v) + 1)
		return v[:at] + other + v[at:]
	}
	for range n {
		annotations := map[string]string{}
		for range 1 + r.IntN(2) {
			field := fields[r.IntN(len(fields))]
			switch r.IntN(3) {
			case 0:
				annotations[domain+"/"+field] = value(field)
			case 1:
				annotations[scoped("data", field)] = value(field)
			case 2:
				list, _ := json.Marshal([]map[string]string{{"claimName": "data", field: value(field)}}) // of strings: cannot fail
				annotations[domain+"/claims"] = string(list)
			}
		}
		all = append(all, annotations)
	}
	return all
}

// interesting are the committed inputs of pkg/claim's FuzzRead: their values under keys that the API server takes.
func interesting(t *testing.T) (all []map[string]string) {
	t.Helper()
	files, err := filepath.Glob("../../pkg/claim/testdata/fuzz/FuzzRead/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no inputs of FuzzRead: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// "go test fuzz v1", then a line for each argument: key, value, key, value, list.
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(lines) != 6 {
			t.Fatalf("%s has %d lines", file, len(lines))
		}
		var arguments [5]string
		for i, line := range lines[1:] {
			if arguments[i], err = strconv.Unquote(strings.TrimSuffix(strings.TrimPrefix(line, "string("), ")")); err != nil {
				t.Fatalf("%s: %s: %v", file, line, err)
			}
		}
		annotations := map[string]string{}
		for key, value := range map[string]string{
			domain + "/storage": arguments[1], scoped("data", "accessModes"): arguments[3],
			domain + "/claims": strings.ReplaceAll(arguments[4], "home", "data"),
		} {
			if utf8.ValidString(value) { // nothing else survives the way to the webhook
				annotations[key] = value
			}
		}
		all = append(all, annotations)
	}
	return all
}
