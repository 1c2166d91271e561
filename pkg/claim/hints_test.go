package claim_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// The keys, as the rows spell them: every + "storage" is the pod-wide key,
// home + "storage" the one of the claim home.
const (
	every = "volumes.opensandbox.io/"
	home  = "home.volumes.opensandbox.io/"
	data  = "data.volumes.opensandbox.io/"
	list  = "volumes.opensandbox.io/claims"
	ext   = "opensandbox.io/extensions.volumes"
)

type keys = map[string]string

// A row is one rule of the hints: a pod (or container) that uses the claims
// home and data, what is hinted, and what then is wanted of the two claims.
// A row is run as a pod, as a pod whose owner says it, and as a container, and
// means the same in all three; one that cannot says so (on).
type row struct {
	rule   string
	on     runs // where alone the rule holds; zero: everywhere
	hints  keys // annotations; labels of a container
	labels keys

	owner, ownerLabels keys
	namespace          keys
	namespaceLabels    keys

	home, data want
	both       want     // home and data alike
	warnings   []string // a fragment of each
}

type runs uint8

const (
	onPods runs = 1 << iota
	onContainers
)

// A want is what is expected of one claim: the hinted fields, as describe
// spells them, and a fragment of path and of text of each fault. The zero
// value: nothing is hinted and nothing is wrong.
type want struct {
	fields string
	faults [][2]string
}

func ok(fields string) want { return want{fields: fields} }

// refused takes a fragment of a fault's path and one of its text, in turn.
func refused(pathText ...string) want {
	var w want
	for pair := range slices.Chunk(pathText, 2) {
		w.faults = append(w.faults, [2]string(pair))
	}
	return w
}

// and is a refusal where other fields, or higher ranks, are hinted well.
func (w want) and(fields string) want {
	w.fields = fields
	return w
}

// rows are all rules that need no generating.
func rows() []row {
	return slices.Concat(storageRows(), valueRows(), modeRows(), boolRows(), flatRows(), structuredRows(), structuredFaultRows(),
		rankRows(), scopeRows(), containerRows(), namespaceRows())
}

func TestHints(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rows() {
		if seen[r.rule] {
			t.Errorf("two rows are called %q", r.rule)
		}
		seen[r.rule] = true
		run := r.layers()
		for name, kind := range map[string]runs{"pod": onPods, "container": onContainers} {
			if (r.on == 0 || r.on == kind) != (run[name] != nil) {
				t.Errorf("%s: run as a %s: %v; say in the row where it holds", r.rule, name, run[name] != nil)
			}
		}
		for name, layers := range run {
			t.Run(r.rule+"/"+name, func(t *testing.T) { r.check(t, layers) })
		}
	}
}

// layers are the objects that say what the row says, by the name of the run. A
// container has no owner, no Namespace and no two values for one key.
func (r row) layers() map[string][]claim.Object {
	pod := claim.Object{Kind: claim.Pod, Annotations: r.hints, Labels: r.labels}
	owner := claim.Object{Kind: claim.Owner, Name: `BatchSandbox "sb1"`, Annotations: r.owner, Labels: r.ownerLabels}
	namespace := claim.Object{
		Kind: claim.Namespace, Name: "team",
		Annotations: r.namespace, Labels: r.namespaceLabels,
	}
	if r.on == 0 {
		r.on = onPods | onContainers
	}

	layers := map[string][]claim.Object{}
	alone := len(r.owner)+len(r.ownerLabels)+len(r.namespace)+len(r.namespaceLabels) == 0
	if r.on&onPods != 0 {
		layers["pod"] = []claim.Object{pod, owner, namespace}
		if alone {
			owner.Annotations, owner.Labels = r.hints, r.labels
			layers["owner"] = []claim.Object{{Kind: claim.Pod}, owner, namespace}
		}
	}
	labels := keys{}
	maps.Copy(labels, r.labels)
	maps.Copy(labels, r.hints)
	if r.on&onContainers != 0 && alone && len(labels) == len(r.hints)+len(r.labels) {
		layers["container"] = []claim.Object{{Kind: claim.Container, Labels: labels}}
	}
	return layers
}

func (r row) check(t *testing.T, objects []claim.Object) {
	t.Helper()
	if r.both.fields != "" || r.both.faults != nil {
		r.home, r.data = r.both, r.both
	}
	layers, warnings := read(objects, "home", "data")
	compare(t, "home", layers, r.home)
	compare(t, "data", layers, r.data)
	if !each(r.warnings, warnings, strings.Contains) {
		t.Errorf("warnings: got %q, want one with each of %q", warnings, r.warnings)
	}
}

func compare(t *testing.T, name string, layers []*claim.Hints, w want) {
	t.Helper()
	got := claim.Resolve(name, fallback(), layers...)
	if got.Name != name {
		t.Errorf("%s: the name is %q", name, got.Name)
	}
	if d := describe(t, got); d != w.fields {
		t.Errorf("%s: got %q, want %q", name, d, w.fields)
	}
	if !each(w.faults, got.Faults, func(f claim.Fault, frag [2]string) bool {
		return strings.Contains(f.Path, frag[0]) && strings.Contains(f.Text, frag[1])
	}) {
		t.Errorf("%s: got faults %q, want one with each of %q", name, got.Faults, w.faults)
	}
}

// each reports whether there are as many as wanted, a different one for each.
func each[W, G any](want []W, got []G, match func(G, W) bool) bool {
	if len(want) != len(got) {
		return false
	}
	rest := slices.Clone(got)
	for _, w := range want {
		i := slices.IndexFunc(rest, func(g G) bool { return match(g, w) })
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return true
}

// read reads the objects for a pod that uses the named claims.
func read(objects []claim.Object, used ...string) (layers []*claim.Hints, warnings []string) {
	for _, o := range objects {
		h := claim.Read(o, used)
		layers = append(layers, &h)
		warnings = append(warnings, h.Warnings...)
	}
	return layers, warnings
}

func fallback() resource.Quantity { return resource.MustParse("1Gi") }

// describe spells the fields that are hinted, and holds that the others are
// the fallbacks of the contract and come from nowhere.
func describe(t testing.TB, w claim.Want) string {
	t.Helper()
	var fields []string
	say := func(from claim.Origin, hinted bool, name, value, fallback string) {
		switch {
		case from.Hinted() != hinted || (from.String() == "") == hinted:
			t.Errorf("%s: Hinted is %v, but it comes from %q", name, hinted, from)
		case hinted:
			fields = append(fields, name+"="+value)
		case value != fallback:
			t.Errorf("%s is not hinted and %q, want %q", name, value, fallback)
		}
	}
	yes := map[bool]string{true: "true", false: "false"}
	size := fallback()
	say(w.Storage.From, w.Storage.Hinted(), "storage", w.Storage.Value.String(), size.String())
	say(w.StorageClass.From, w.StorageClass.Hinted(), "class", w.StorageClass.Value, "")
	say(w.AccessModes.From, w.AccessModes.Hinted(), "modes", strings.Join(w.AccessModes.Value.Names(), "+"), "ReadWriteOnce")
	say(w.CreateIfNotExists.From, w.CreateIfNotExists.Hinted(), "create", yes[w.CreateIfNotExists.Value], "true")
	say(w.DeleteOnSandboxTermination.From, w.DeleteOnSandboxTermination.Hinted(), "delete",
		yes[w.DeleteOnSandboxTermination.Value], "false")
	return strings.Join(fields, " ")
}
