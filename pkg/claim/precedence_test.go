package claim_test

import (
	"fmt"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// ranks write a field for the claim home at one rank of the precedence, the
// highest first.
var ranks = []struct {
	name string
	put  func(r *row, field, value string)
}{
	{"the pod's claim-scoped annotation", func(r *row, f, v string) { put(&r.hints, home+f, v) }},
	{"the pod's claim-scoped label", func(r *row, f, v string) { put(&r.labels, home+f, v) }},
	{"the pod's pod-wide annotation", func(r *row, f, v string) { put(&r.hints, every+f, v) }},
	{"the pod's pod-wide label", func(r *row, f, v string) { put(&r.labels, every+f, v) }},
	{"the owner's claim-scoped annotation", func(r *row, f, v string) { put(&r.owner, home+f, v) }},
	{"the owner's claim-scoped label", func(r *row, f, v string) { put(&r.ownerLabels, home+f, v) }},
	{"the owner's pod-wide annotation", func(r *row, f, v string) { put(&r.owner, every+f, v) }},
	{"the owner's pod-wide label", func(r *row, f, v string) { put(&r.ownerLabels, every+f, v) }},
	{"the Namespace's annotation", func(r *row, f, v string) { put(&r.namespace, every+f, v) }},
}

func put(m *keys, key, value string) {
	if *m == nil {
		*m = keys{}
	}
	(*m)[key] = value
}

// TestPrecedence holds for every field that each rank wins over each lower
// one, and over all of them together, and that the lowest wins over the fallback.
// A container, which has two of the ranks, is asked wherever it can say the same.
func TestPrecedence(t *testing.T) {
	fields := []struct{ field, high, low, want string }{
		{"storage", "5Gi", "6Gi", "storage=5Gi"},
		{"storageClass", "", "fast", "class="},
		{"storageClassName", "slow", "fast", "class=slow"},
		{"accessModes", "RWX", "RWO", "modes=ReadWriteMany"},
		{"createIfNotExists", "true", "false", "create=true"},
		{"deleteOnSandboxTermination", "false", "true", "delete=false"},
	}
	for _, f := range fields {
		for i, higher := range ranks {
			all := row{}
			higher.put(&all, f.field, f.high)
			for _, lower := range ranks[i+1:] {
				r := row{}
				higher.put(&r, f.field, f.high)
				lower.put(&r, f.field, f.low)
				lower.put(&all, f.field, f.low)
				t.Run(fmt.Sprintf("%s/%s over %s", f.field, higher.name, lower.name), func(t *testing.T) {
					checkHome(t, r, f.want)
				})
			}
			t.Run(fmt.Sprintf("%s/%s over all below", f.field, higher.name), func(t *testing.T) {
				checkHome(t, all, f.want)
			})
		}
	}
}

func checkHome(t *testing.T, r row, fields string) {
	t.Helper()
	run := r.layers()
	for _, objects := range [][]claim.Object{run["pod"], run["container"]} {
		if objects != nil {
			layers, _ := read(objects, "home", "data")
			compare(t, "home", layers, ok(fields))
		}
	}
}

// rankRows are the rules of precedence that are not about two ranks: what is
// one rank, and what each field takes from another one.
func rankRows() []row {
	return []row{
		{
			rule: "each field takes its own rank", on: onPods,
			hints: keys{
				home + "storage": "5Gi", every + "storage": "6Gi", every + "accessModes": "RWX",
			},
			labels:    keys{home + "storageClass": "fast", every + "createIfNotExists": "false"},
			owner:     keys{home + "storageClass": "slow", home + "deleteOnSandboxTermination": "true"},
			namespace: keys{every + "accessModes": "ROX"},
			home:      ok("storage=5Gi class=fast modes=ReadWriteMany create=false delete=true"),
			data:      ok("storage=6Gi modes=ReadWriteMany create=false"),
		},
		{
			rule:  "the structured form has the rank of a claim's own annotation",
			hints: keys{list: `[{"claimName":"home","storage":"5Gi"}]`, every + "storage": "6Gi"},
			home:  ok("storage=5Gi"), data: ok("storage=6Gi"),
		},
		{
			rule: "the structured form wins over a claim's own label", on: onPods,
			hints: keys{ext: `[{"claimName":"home","storage":"5Gi"}]`}, labels: keys{home + "storage": "6Gi"},
			home: ok("storage=5Gi"),
		},
		{
			rule: "the pod's pod-wide label wins over the owner's list", on: onPods,
			hints: keys{every + "storage": "5Gi"}, owner: keys{ext: `[{"claimName":"home","storage":"6Gi","storageClass":"fast"}]`},
			home: ok("storage=5Gi class=fast"), data: ok("storage=5Gi"),
		},
		{
			rule:  "flat and structured agree, compared parsed",
			hints: keys{list: `[{"claimName":"home","storage":"1Gi","accessModes":["RWO"]}]`, home + "storage": "1024Mi", home + "accessModes": "ReadWriteOnce"},
			home:  ok("storage=1Gi modes=ReadWriteOnce"),
		},
		{
			rule:  "flat and structured conflict",
			hints: keys{list: `[{"claimName":"home","storage":"2Gi"},{"claimName":"data","storage":"2Gi"}]`, home + "storage": "1Gi"},
			home:  refused("storage", `"1Gi"`), data: ok("storage=2Gi"),
		},
		{
			rule:  "flat and structured conflict in access modes",
			hints: keys{list: `[{"claimName":"home","accessModes":["RWO","ROX"]}]`, home + "accessModes": "RWO"},
			home:  refused("accessModes", `"ReadWriteOnce"`),
		},
		{
			rule:  "flat and structured conflict in a boolean",
			hints: keys{list: `[{"claimName":"home","createIfNotExists":true}]`, home + "createIfNotExists": "false"},
			home:  refused("createIfNotExists", `false`),
		},
		{
			rule:  "no class and a class conflict",
			hints: keys{home + "storageClass": "", home + "storageClassName": "fast"}, home: refused("storageClass", `"fast"`),
		},
		{
			rule:  "the two names of the class agree",
			hints: keys{home + "storageClass": "fast", home + "storageClassName": "fast"}, home: ok("class=fast"),
		},
		{
			rule:   "the two names of the class conflict in labels",
			labels: keys{home + "storageClass": "fast", home + "storageClassName": "slow"}, home: refused("storageClass", `"slow"`),
		},
		{
			rule:  "the alias at a lower rank is the same field",
			hints: keys{home + "storageClassName": "fast", every + "storageClass": "slow"},
			home:  ok("class=fast"), data: ok("class=slow"),
		},
		{
			rule: "different values at two ranks are no conflict", on: onPods,
			hints: keys{home + "storage": "5Gi"}, labels: keys{home + "storage": "6Gi", every + "storage": "7Gi"},
			home: ok("storage=5Gi"), data: ok("storage=7Gi"),
		},
	}
}
