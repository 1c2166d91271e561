package claim_test

import (
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// namespaceRows are the rules of a Namespace's annotations.
func namespaceRows() []row {
	rows := []row{
		{
			rule: "a Namespace's annotations are defaults",
			namespace: keys{
				every + "storage": "5Gi", every + "storageClassName": "fast", every + "accessModes": "RWO,ROX",
				every + "deleteOnSandboxTermination": "true",
			},
			both: ok("storage=5Gi class=fast modes=ReadWriteOnce+ReadOnlyMany delete=true"),
		},
		{
			rule:      "strict mode: nothing is created unless a hint says so",
			namespace: keys{every + "createIfNotExists": "false"}, hints: keys{home + "createIfNotExists": "true"},
			home: ok("create=true"), data: ok("create=false"),
		},
		{
			rule:            "a Namespace's labels are no hints",
			namespaceLabels: keys{every + "storage": "5Gi", every + "strage": "5Gi", every + "auto-create": "enabled"},
		},
		{
			rule:      "a Namespace's keys that are reserved say nothing",
			namespace: keys{every + "auto-create": "enabled", every + "owner": "me"},
		},
		{
			rule:      "an unknown key of a Namespace is a warning",
			namespace: keys{every + "strage": "5Gi", every + "storage": "5Gi"},
			both:      ok("storage=5Gi"), warnings: []string{"strage"},
		},
		{
			rule:      "a claim's own key on a Namespace is a warning",
			namespace: keys{home + "storage": "5Gi"}, warnings: []string{home + "storage"},
		},
		{
			rule:      "a claim's own faulty key on a Namespace is a warning",
			namespace: keys{home + "storage": "ten"}, warnings: []string{home + "storage"},
		},
		{
			rule:      "a claim's own unknown key on a Namespace is a warning",
			namespace: keys{home + "strage": "ten"}, warnings: []string{home + "strage"},
		},
		{
			rule:      "our domain in another case on a Namespace is a warning",
			namespace: keys{"volumes.OpenSandbox.io/storage": "5Gi"}, warnings: []string{"volumes.OpenSandbox.io/storage"},
		},
		{
			rule:      "a list on a Namespace is a warning",
			namespace: keys{list: `[{"claimName":"home","storage":"5Gi"}]`}, warnings: []string{list},
		},
		{
			rule:      "claimName on a Namespace is a warning",
			namespace: keys{every + "claimName": "home"}, warnings: []string{every + "claimName"},
		},
		{
			rule:      "a faulty value of a Namespace is a fault where it would be used",
			namespace: keys{every + "storage": "ten"}, hints: keys{home + "storage": "5Gi"},
			home: ok("storage=5Gi"), data: refused(`Namespace "team"`, `"ten"`),
		},
		{
			rule:      "a faulty value of a Namespace is no fault where the owner says otherwise",
			namespace: keys{every + "storage": "ten"}, ownerLabels: keys{every + "storage": "5Gi"},
			both: ok("storage=5Gi"),
		},
		{
			rule:      "two values of a Namespace are a fault where they would be used",
			namespace: keys{every + "storageClass": "fast", every + "storageClassName": "slow"},
			hints:     keys{home + "storageClass": ""},
			home:      ok("class="), data: refused(`Namespace "team"`, `"slow"`),
		},
		{
			rule:      "a Namespace's faulty value of one field leaves the others",
			namespace: keys{every + "createIfNotExists": "never", every + "storage": "5Gi"},
			both:      refused(every+"createIfNotExists", `"never"`).and("storage=5Gi"),
		},
	}
	for i := range rows {
		rows[i].on = onPods // a container has no Namespace
	}
	return rows
}

// TestOtherLayers holds that layers which are not known are simply left out.
func TestOtherLayers(t *testing.T) {
	pod := claim.Read(claim.Object{Annotations: keys{home + "storage": "5Gi"}}, []string{"home"})
	namespace := claim.Read(claim.Object{Kind: claim.Namespace, Annotations: keys{every + "storageClass": "fast"}}, []string{"home"})
	var none claim.Hints
	for _, layers := range [][]*claim.Hints{{&pod, &namespace}, {&pod, &none, &namespace}} {
		compare(t, "home", layers, ok("storage=5Gi class=fast"))
	}
	compare(t, "home", nil, ok(""))
}

// TestOrigins holds that values and faults say where they stand, the object
// first where it is not the pod itself.
func TestOrigins(t *testing.T) {
	for path, object := range map[string]claim.Object{
		"metadata.annotations[" + home + "storage]": {Annotations: keys{home + "storage": "5Gi"}},
		"metadata.labels[" + home + "storage]":      {Labels: keys{home + "storage": "5Gi"}},
		"metadata.annotations[" + list + "][0].storage": {
			Annotations: keys{list: `[{"claimName":"home","storage":"5Gi"}]`},
		},
		`Sandbox "sb1": metadata.annotations[` + every + `storage]`: {
			Kind: claim.Owner, Name: `Sandbox "sb1"`, Annotations: keys{every + "storage": "5Gi"},
		},
		`Namespace "team": metadata.annotations[` + every + `storage]`: {
			Kind: claim.Namespace, Name: "team", Annotations: keys{every + "storage": "5Gi"},
		},
		"Labels[" + home + "storage]": {Kind: claim.Container, Labels: keys{home + "storage": "5Gi"}},
		"Labels[" + list + "][0].storage": {
			Kind: claim.Container, Labels: keys{list: `[{"claimName":"home","storage":"5Gi"}]`},
		},
	} {
		layers, _ := read([]claim.Object{object}, "home")
		if w := claim.Resolve("home", fallback(), layers...); w.Storage.From.String() != path {
			t.Errorf("got %q, want %q", w.Storage.From, path)
		}
	}
}
