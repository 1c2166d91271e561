package explain_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/explain"
)

const (
	generatedManifests = 2500 // of two pods each
	parts              = 4    // which run at once
)

var seed = flag.Uint64("seed", 0, "of TestAgreesOnGenerated; 0: another each time")

// TestAgreesOnGenerated compares explain with the webhook on generated manifests of
// two pods, which often share claims and owners, told to explain in three ways: the
// pods and a cluster, all in one manifest, and, where a controller of theirs is
// known, as the controller's manifest. Where each value comes from is compared with
// where the generator wrote it.
func TestAgreesOnGenerated(t *testing.T) {
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", first)
	reached := map[string]int{}
	var mu sync.Mutex
	t.Run("manifests", func(t *testing.T) {
		for part := range parts {
			t.Run(fmt.Sprint(part), func(t *testing.T) {
				t.Parallel()
				counted := map[string]int{}
				for i := part; i < generatedManifests; i += parts {
					g := generator{rand.New(rand.NewPCG(first, uint64(i)))}
					if !agreesOnOne(t, g, counted) {
						t.Fatalf("manifest %d of -seed=%d", i, first)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				for what, n := range counted {
					reached[what] += n
				}
			})
		}
	})
	if reached["pods"] < 5000 {
		t.Errorf("only %d pods", reached["pods"])
	}
	// What is never reached is not compared. Each is far more frequent than asked here.
	for _, what := range []string{
		"created", "nothing to do", "warned", "409", "422", "503", "400", "cluster", "manifest", "BatchSandbox", "Sandbox", "StatefulSet",
		"faults refused", "faults warned of", "created by the pod before", "refused for the pod before",
		"from default", "from Pod scoped annotation", "from Pod scoped label", "from Pod wide annotation", "from Pod wide label",
		"from owner scoped annotation", "from owner scoped label", "from owner wide annotation", "from owner wide label", "from Namespace wide annotation",
	} {
		if reached[what] < 5 {
			t.Errorf("%q only %d times", what, reached[what])
		}
	}
	t.Log(reached)
}

// agreesOnOne makes one manifest and compares.
func agreesOnOne(t *testing.T, g generator, reached map[string]int) bool {
	t.Helper()
	s := g.settings()
	world, defaults := g.world()
	owners := []*controller{nil, nil, g.controller("sb"), g.controller("other")}
	pods := []*podCase{g.pod("p", pick(g, owners...)), g.pod("q", pick(g, owners...))}
	e := &explain.Explainer{Config: s.config(t), Namespace: namespace}
	head, tail, way := "", "", "cluster"
	if g.chance(50) {
		way = "manifest"
		for _, o := range world {
			head += g.document(t, o)
		}
	}
	known := slices.Clone(world)
	for i, o := range owners[2:] {
		switch {
		case i == 0 && pods[0].owner == o && !pods[0].gone && g.chance(60):
			pods = g.controlled(pods, o)
			head, way = head+g.controllerOf(t, pods, o), way+" "+o.Kind
			reached[o.Kind]++
		case !g.chance(90):
			for _, p := range pods {
				p.gone = p.gone || p.owner == o
			}
			continue
		case way[:1] == "m":
			tail += g.withPods(t, o)
		default:
			known = append(known, o)
		}
		world = append(world, o)
	}
	if way[:1] == "c" {
		e.Cluster = newMemory(known)
		if g.chance(4) {
			pods[len(pods)-1].metadata["namespace"] = "another"
		}
	}
	manifest := head
	for _, p := range pods {
		if !p.made {
			manifest += g.document(t, p.object())
		}
	}
	manifest += tail
	reached[strings.Fields(way)[0]]++

	report, trouble := explained(t, e, manifest)
	if report == nil || len(report.Pods) < len(pods) {
		t.Errorf("%s: %s %+v\n%s", way, trouble, report, manifest)
		return false
	}
	live := newMemory(world)
	for i, p := range pods {
		review := canonical(t, map[string]any{
			"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
			"request": map[string]any{
				"uid": "u", "operation": "CREATE", "namespace": namespace, "object": p.object(),
				"resource": map[string]any{"group": "", "version": "v1", "resource": "pods"}, "userInfo": map[string]any{"username": "somebody"},
			},
		})
		webhook, told := answered(t, s, live, live, review), &report.Pods[i]
		problems := append(disagree(t, webhook, told), wrongOrigins(s, world[0], defaults, p, told, reached)...)
		if name := p.name(); told.Name != name {
			problems = append(problems, "pod "+name+" is told to be "+told.Name)
		}
		if len(problems) > 0 {
			t.Errorf("%s, pod %d:\n%s\nthe manifest:\n%s\nthe review:\n%s", way, i, strings.Join(problems, "\n"), manifest, review)
			return false
		}
		count(webhook, report.Pods[:i], told, reached)
	}
	return true
}

// wrongOrigins compares where explain says that the values come from with where
// the generator wrote them.
func wrongOrigins(s settings, namespace client.Object, defaults written, p *podCase, told *explain.Pod, reached map[string]int) (problems []string) {
	sources := []source{{"Pod", "", p.hints}}
	if p.owner != nil && !p.gone && p.owner.Kind != "StatefulSet" {
		sources = append(sources, source{"owner", fmt.Sprintf("%s %q: ", p.owner.Kind, p.owner.Name), p.owner.hints})
	}
	sources = append(sources, source{"Namespace", fmt.Sprintf("Namespace %q: ", namespace.GetName()), defaults})
	judged := (s.AutoCreate == nil || *s.AutoCreate) && namespace.GetLabels() != nil && len(told.Claims) <= 64
	for _, c := range told.Claims {
		if c.Action == explain.Use {
			continue
		}
		if !judged || len(told.Faults) == 0 {
			if all := map[bool]int{true: 5}[judged]; len(c.Values) != all {
				problems = append(problems, fmt.Sprintf("claim %s: %d values, not %d", c.Name, len(c.Values), all))
			}
		}
		for _, v := range c.Values {
			rank, hints := of(sources, c.Name, v.Field)
			h, here := hints[v.From]
			if hints == nil && v.From != explain.FromDefault || hints != nil && (!here || !h.says(v.Value)) {
				problems = append(problems, fmt.Sprintf("claim %s: %s %q from %s, and it stands at %v", c.Name, v.Field, v.Value, v.From, hints))
			}
			reached["from "+rank]++
		}
	}
	return problems
}

// count notes what a comparison has reached.
func count(o outcome, before []explain.Pod, told *explain.Pod, reached map[string]int) {
	reached["pods"]++
	refused := ""
	switch {
	case o.Refusal != nil:
		refused = fmt.Sprint(o.Refusal.Code)
		reached[refused]++
	case len(o.Created) > 0:
		reached["created"]++
	default:
		reached["nothing to do"]++
	}
	if len(o.Warnings) > 0 {
		reached["warned"]++
	}
	if len(told.Faults) > 0 {
		reached[map[bool]string{true: "faults refused", false: "faults warned of"}[refused == "422"]]++
	}
	for _, p := range before {
		for _, c := range p.Claims {
			used := slices.ContainsFunc(told.Claims, func(other explain.Claim) bool { return other.Name == c.Name && other.Action == explain.Use })
			switch {
			case c.Action == explain.Create && used:
				reached["created by the pod before"]++
				if refused == "409" && strings.Contains(o.Refusal.Message, "/"+c.Name+" belongs to") {
					reached["refused for the pod before"]++
				}
			}
		}
	}
}
