package guard

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ensure-volumes/ensure-volumes/"

// listed is what `go list` says of a package.
type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T, patterns ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports,Deps"}, patterns...)...)
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	var packages []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) == 0 {
		t.Fatalf("%v lists nothing", cmd)
	}
	return packages
}

// mayImport is which of our packages a package may import, itself apart. A
// package that is not here may not exist: give it its place first.
var mayImport = map[string][]string{
	"cmd/companion":   {"pkg/dockerproxy", "pkg/logging"},
	"cmd/webhook":     {"pkg/authority", "pkg/claim", "pkg/explain", "pkg/logging", "pkg/mutate", "pkg/provision", "pkg/reconcile", "pkg/serve"},
	"pkg/authority":   {},
	"pkg/explain":     {"pkg/claim", "pkg/mutate", "pkg/provision"},
	"pkg/mutate":      {"pkg/claim", "pkg/jsonscan", "pkg/provision"},
	"pkg/provision":   {"pkg/claim", "pkg/records"},
	"pkg/reconcile":   {"pkg/claim", "pkg/provision", "pkg/records"},
	"pkg/records":     {},
	"pkg/logging":     {},
	"pkg/claim":       {"pkg/jsonscan"},
	"pkg/jsonscan":    {},
	"pkg/dockerproxy": {"pkg/claim", "pkg/jsonscan"},
	"pkg/serve":       {},
	"test/docs":       {},
}

// TestImportDirections: cmd/webhook → explain → mutate → provision → claim ← dockerproxy ← cmd/companion; reconcile → provision → records; claim,
// mutate and dockerproxy → jsonscan; serve, authority and logging by themselves.
func TestImportDirections(t *testing.T) {
	for _, p := range list(t, "./cmd/...", "./pkg/...", "./test/docs") {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("%s has no place in the layout", name)
			continue
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s; it may import %v", name, ours, allowed)
			}
		}
	}
}

// bans are imports that would undo a decision, direct or through others.
var bans = []struct {
	in, prefix, why string
}{
	{"pkg/claim", "k8s.io/client-go", "the hints are pure: the Docker companion shares them"},
	{"pkg/claim", "k8s.io/api/", "the hints are pure: the Docker companion shares them"},
	{"pkg/claim", "sigs.k8s.io/controller-runtime", "the hints are pure: the Docker companion shares them"},
	{"pkg/claim", "net/http", "the hints are pure"},
	{"pkg/jsonscan", "encoding/json", "it is there to do without: it would read whole documents"},
	{"pkg/jsonscan", "k8s.io/", "it knows JSON alone"},
	{"pkg/provision", "k8s.io/api/admission", "the safety net has no reviews"},
	{"pkg/provision", "net/http/httptest", "a test's package"},
	{"pkg/reconcile", "k8s.io/api/admission", "the safety net has no reviews"},
	{"cmd/webhook", "sigs.k8s.io/controller-runtime/pkg/metrics/server", "promhttp does it, without watching certificates"},
	{"pkg/mutate", "sigs.k8s.io/controller-runtime/pkg/webhook", "its handlers always answer HTTP 200 and cannot ask for a retry"},
	{"pkg/serve", "k8s.io/", "a server of HTTPS knows no Kubernetes"},
	{"pkg/authority", "sigs.k8s.io/controller-runtime", "two objects need no cache, and the certificate comes before the caches"},
	{"pkg/dockerproxy", "k8s.io/client-go", "Docker's companion knows no cluster"},
	{"pkg/dockerproxy", "k8s.io/api/", "Docker's companion knows no cluster"},
	{"pkg/dockerproxy", "sigs.k8s.io/controller-runtime", "Docker's companion knows no cluster"},
	{"cmd/companion", "k8s.io/client-go", "Docker's companion knows no cluster"},
	{"cmd/companion", "sigs.k8s.io/controller-runtime", "Docker's companion knows no cluster"},
	{"cmd/companion", "testing", "a test's package"},
	{"cmd/webhook", "k8s.io/kubernetes", "the control plane is for tests"},
	{"cmd/webhook", "sigs.k8s.io/controller-runtime/pkg/manager", "1.5 MiB, and it never ends where it is stopped before its caches are filled"},
	{"cmd/webhook", "github.com/moby", "the webhook knows no engine"},
	{"cmd/webhook", "testing", "a test's package"},
}

// TestImportBans: what must not come in by a side door.
func TestImportBans(t *testing.T) {
	for _, p := range list(t, "./cmd/...", "./pkg/...") {
		for _, ban := range bans {
			if p.ImportPath != module+ban.in {
				continue
			}
			for _, d := range p.Deps {
				if d == ban.prefix || strings.HasPrefix(d, strings.TrimSuffix(ban.prefix, "/")+"/") {
					t.Errorf("%s depends on %s: %s", ban.in, d, ban.why)
				}
			}
		}
	}
}

// products are the modules that the product itself is built from; all others in
// go.mod serve tests, or come with these.
var products = []string{
	"github.com/go-logr/logr",
	"github.com/moby/moby/api", "github.com/moby/moby/client", "github.com/containerd/errdefs", // whose errors the client returns
	"k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go", "sigs.k8s.io/controller-runtime",
	// These come with client-go and controller-runtime, which already do what we use them for.
	"github.com/prometheus/client_golang", "go.yaml.in/yaml/v3", "k8s.io/klog/v2", "sigs.k8s.io/json", "sigs.k8s.io/yaml",
}

// TestProductDependencies: a new dependency is a decision, not an import.
func TestProductDependencies(t *testing.T) {
	for _, p := range list(t, "./cmd/...", "./pkg/...") {
		for _, i := range p.Imports {
			first, _, _ := strings.Cut(i, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(i, module) {
				continue
			}
			if !slices.ContainsFunc(products, func(m string) bool { return i == m || strings.HasPrefix(i, m+"/") }) {
				t.Errorf("%s imports %s, which is no dependency of the product", p.ImportPath, i)
			}
		}
	}
}
