package claim_test

import (
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// flatRows are the rules of the flat form: which keys are ours, which of
// those are hints, and which claim they are for.
func flatRows() []row {
	rows := []row{
		{
			rule:  "no hints, the defaults",
			hints: keys{"example.com/team": "blue"},
		},
		{
			rule:  "a pod-wide key is for every claim",
			hints: keys{every + "storage": "5Gi"}, both: ok("storage=5Gi"),
		},
		{
			rule:   "a pod-wide label is for every claim",
			labels: keys{every + "storage": "5Gi"}, both: ok("storage=5Gi"),
		},
		{
			rule:  "a claim's own key is for that claim",
			hints: keys{home + "storage": "5Gi"}, home: ok("storage=5Gi"),
		},
		{
			rule:  "a pod-wide key is for the claims without a value of their own",
			hints: keys{home + "storage": "5Gi", every + "storage": "6Gi", every + "storageClass": "fast"},
			home:  ok("storage=5Gi class=fast"), data: ok("storage=6Gi class=fast"),
		},
		{
			rule: "every field at once",
			hints: keys{
				home + "storage": "5Gi", home + "storageClass": "fast", home + "accessModes": "RWX",
				home + "createIfNotExists": "false", home + "deleteOnSandboxTermination": "true",
			},
			home: ok("storage=5Gi class=fast modes=ReadWriteMany create=false delete=true"),
		},
		{
			rule: "keys that only look like ours are nobody's hints",
			hints: keys{
				"volumes.opensandbox.io": "", "storage": "5Gi", "xvolumes.opensandbox.io/storage": "5Gi",
				"opensandbox.io/storage": "5Gi", "opensandbox.io/id": "sb1", "opensandbox.io/extensions.other": "[",
				"volumes.opensandbox.io.example.com/strage": "5Gi", "example.com/volumes.opensandbox.io/storage": "5Gi",
			},
		},
		{
			rule:  "our domain in another case is a typo",
			hints: keys{"volumes.OpenSandbox.io/storage": "5Gi"}, both: refused("volumes.OpenSandbox.io/storage", `"volumes.opensandbox.io"`),
		},
		{
			rule:  "our domain in another case is a typo for one claim",
			hints: keys{"home.Volumes.opensandbox.io/storage": "5Gi"}, home: refused("home.Volumes", `"volumes.opensandbox.io"`),
		},
		{
			rule:  "a scope without a name is a typo",
			hints: keys{"." + every + "storage": "5Gi"}, both: refused("[."+every, `"volumes.opensandbox.io"`),
		},
		{
			rule:  "one claim's faults leave the others alone",
			hints: keys{home + "storage": "ten", data + "storage": "5Gi"},
			home:  refused(home+"storage", `"ten"`), data: ok("storage=5Gi"),
		},
		{
			rule:  "every fault at once",
			hints: keys{home + "storage": "ten", home + "createIfNotExists": "yes", every + "accessModes": "all"},
			home:  refused(home+"storage", `"ten"`, home+"createIfNotExists", `"yes"`, every+"accessModes", `"all"`),
			data:  refused(every+"accessModes", `"all"`),
		},
		{
			rule:  "a fault of one field leaves the other fields",
			hints: keys{home + "storage": "ten", home + "storageClass": "fast"},
			home:  refused(home+"storage", `"ten"`).and("class=fast"),
		},
		{
			rule:  "claims is no key of one claim",
			hints: keys{home + "claims": `[{"claimName":"home"}]`}, home: refused(home+"claims", `claims`),
		},
		{
			rule: "claims is no Kubernetes label", on: onPods,
			labels: keys{list: "home"}, both: refused("labels["+list, `claims`),
		},
		{
			rule: "claims of one claim is no Kubernetes label", on: onPods,
			labels: keys{home + "claims": "home"}, home: refused("labels["+home+"claims", `claims`),
		},
		{
			rule:  "claimName is no flat key",
			hints: keys{every + "claimName": "home"}, both: refused(every+"claimName", `claimName`),
		},
		{
			rule:  "claimName is no flat key of one claim",
			hints: keys{home + "claimName": "home"}, home: refused(home+"claimName", `claimName`),
		},
	}
	for _, typo := range []string{
		"strage", "Storage", "storageclass", "STORAGE", "storage ", "storage/size", "size", "", "Auto-Create", "volumeName",
		"selector", "dataSource", "labels", "finalizers", "ownerReferences", "pvc", "extensions.volumes", "created_for",
	} {
		rows = append(rows,
			row{
				rule:  "a typo for every claim: " + typo,
				hints: keys{every + typo: "5Gi"}, both: refused(every+typo, typo),
			},
			row{
				rule:  "a typo for one claim: " + typo,
				hints: keys{home + typo: "5Gi"}, home: refused(home+typo, typo),
			},
			row{
				rule:   "a typo in a label: " + typo,
				labels: keys{every + typo: "5Gi"}, both: refused("abels", typo),
			})
	}
	scopes := keys{"the pod": every, "one claim": home, "an unused claim": "other." + every}
	for _, reserved := range []string{"auto-create", "created", "created-for", "requested-by", "owner", "delete-with-owner"} {
		for scope, domain := range scopes {
			rows = append(rows,
				row{rule: reserved + " is reserved for " + scope, hints: keys{domain + reserved: "home,\x00"}},
				row{rule: reserved + " is reserved in a label for " + scope, labels: keys{domain + reserved: "x"}})
		}
	}
	return rows
}

// scopeRows are the rules of whom a fault concerns.
func scopeRows() []row {
	return []row{
		{
			rule:  "a pod-wide fault concerns every claim, also where a claim's own value overrides it",
			hints: keys{every + "storage": "ten", home + "storage": "5Gi"},
			home:  refused(every+"storage", `"ten"`).and("storage=5Gi"), data: refused(every+"storage", `"ten"`),
		},
		{
			rule: "a pod-wide fault in a label concerns every claim, also where annotations override it", on: onPods,
			hints: keys{every + "storage": "5Gi"}, labels: keys{every + "storage": "ten"},
			both: refused("labels["+every+"storage", `"ten"`).and("storage=5Gi"),
		},
		{
			rule: "a claim's fault in a label concerns it, also where its annotation overrides it", on: onPods,
			hints: keys{home + "storage": "5Gi"}, labels: keys{home + "storage": "ten"},
			home: refused("labels["+home+"storage", `"ten"`).and("storage=5Gi"),
		},
		{
			rule: "an owner's pod-wide fault concerns every claim, also where the pod overrides it", on: onPods,
			hints: keys{home + "storage": "5Gi"}, owner: keys{every + "storage": "ten"},
			home: refused(`BatchSandbox "sb1"`, `"ten"`).and("storage=5Gi"), data: refused(`BatchSandbox "sb1"`, `"ten"`),
		},
		{
			rule: "an owner's unreadable list concerns every claim, also where the pod says everything", on: onPods,
			hints: keys{every + "storage": "5Gi"}, owner: keys{ext: "["},
			both: refused(ext, "").and("storage=5Gi"),
		},
		{
			rule: "an owner's typo is a fault", on: onPods,
			owner: keys{every + "strage": "5Gi"}, both: refused(`BatchSandbox "sb1"`, `strage`),
		},
		{
			rule:  "two values of a pod-wide field concern every claim, also where a claim's own value overrides them",
			hints: keys{every + "storageClass": "fast", every + "storageClassName": "slow", home + "storageClass": "fast"},
			home:  refused(every+"storageClass", `"slow"`).and("class=fast"), data: refused(every+"storageClass", `"slow"`),
		},
		{
			rule:  "a hint for an unused claim is a warning",
			hints: keys{"other." + every + "storage": "5Gi"}, warnings: []string{`"other"`},
		},
		{
			rule:  "a faulty hint for an unused claim is a warning",
			hints: keys{"other." + every + "storage": "ten"}, warnings: []string{`"other"`},
		},
		{
			rule:   "a hint in a label for an unused claim is a warning",
			labels: keys{"other." + every + "storage": "5Gi"}, warnings: []string{`"other"`},
		},
		{
			rule:  "a typo for an unused claim is a warning",
			hints: keys{"other." + every + "strage": "5Gi"}, warnings: []string{`"other"`},
		},
		{
			rule:  "a claim's name in another case is another claim's",
			hints: keys{"Home." + every + "storage": "5Gi"}, warnings: []string{`"Home"`},
		},
		{
			rule:  "an unused claim in a list is a warning",
			hints: keys{list: `[{"claimName":"other","storage":"5Gi"},{"claimName":"home","storage":"5Gi"}]`},
			home:  ok("storage=5Gi"), warnings: []string{`"other"`},
		},
		{
			rule:  "a faulty unused claim in a list is a warning",
			hints: keys{list: `[{"claimName":"other","storage":10},{"claimName":"home","storage":"5Gi"}]`},
			home:  ok("storage=5Gi"), warnings: []string{`"other"`},
		},
		{
			rule:  "an unused claim with an unknown field in a list is a warning",
			hints: keys{list: `[{"claimName":"other","size":"5Gi"},{"claimName":"home","storage":"5Gi"}]`},
			home:  ok("storage=5Gi"), warnings: []string{`"other"`},
		},
		{
			rule:  "an unused claim listed twice is a warning",
			hints: keys{list: `[{"claimName":"other"},{"claimName":"other"},{"claimName":"home","storage":"5Gi"}]`},
			home:  ok("storage=5Gi"), warnings: []string{`"other"`},
		},
	}
}

// TestScopeOfNames holds which claim a key is for where names are long or
// look like keys, and that flat keys end at 230 characters.
func TestScopeOfNames(t *testing.T) {
	resolve := func(kind claim.Kind, name, key, value string) claim.Want {
		object := claim.Object{Kind: kind, Annotations: keys{key: value}}
		if kind == claim.Container {
			object = claim.Object{Kind: kind, Labels: keys{key: value}}
		}
		layers, _ := read([]claim.Object{object}, name)
		return claim.Resolve(name, fallback(), layers...)
	}
	for _, kind := range []claim.Kind{claim.Pod, claim.Owner, claim.Container} {
		for _, name := range []string{
			"a", "a.b.c", "volumes", "volumes.opensandbox.io", "x.volumes.opensandbox.io", strings.Repeat("a", 230),
		} {
			w := resolve(kind, name, name+"."+every+"storage", "5Gi")
			if got := describe(t, w); got != "storage=5Gi" || len(w.Faults) > 0 {
				t.Errorf("kind %d: a flat key of %q: got %q and faults %q", kind, name, got, w.Faults)
			}
		}
		for _, name := range []string{strings.Repeat("a", 231), strings.Repeat("a", 253)} {
			w := resolve(kind, name, list, `[{"claimName":"`+name+`","storage":"5Gi"}]`)
			if got := describe(t, w); got != "storage=5Gi" || len(w.Faults) > 0 {
				t.Errorf("kind %d: a list with a name of %d characters: got %q and faults %q", kind, len(name), got, w.Faults)
			}
			w = resolve(kind, name, name+"."+every+"storage", "5Gi")
			if got := describe(t, w); got != "" || len(w.Faults) != 1 || !strings.Contains(w.Faults[0].Text, list) {
				t.Errorf("kind %d: a flat key with a name of %d characters: got %q and faults %q, want the way to %s",
					kind, len(name), got, w.Faults, list)
			}
		}
	}
	for _, name := range []string{"Alice_Home.1", "A.b", "x__y"} { // the engine's rule, not DNS-1123
		forms := keys{name + "." + every + "storage": "5Gi", list: `[{"claimName":"` + name + `","storage":"5Gi"}]`}
		for key, value := range forms {
			w := resolve(claim.Container, name, key, value)
			if got := describe(t, w); got != "storage=5Gi" || len(w.Faults) > 0 {
				t.Errorf("a named volume %q by %s: got %q and faults %q", name, key, got, w.Faults)
			}
		}
	}
}
