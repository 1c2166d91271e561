package mutate_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/pkg/mutate"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

var update = flag.Bool("update", false, "rewrite the golden stories")

// TestStories tells each story in testdata and compares the reaction.
//
// A story is a txtar archive. In:
//
//	cluster.yaml   what exists and what the caches know
//	unseen.yaml    what exists and the caches have not seen yet
//	stale.yaml     what the caches still show and is gone
//	config.yaml    what the operator decided, where it is not the default
//	refusals.yaml  what the API server answers instead of doing it
//	review.json    the AdmissionReview, raw
//
// Out, written anew by -update:
//
//	answer         the HTTP answer, raw but for its indentation, the patch decoded
//	calls          what was asked of the API server
//	claims.yaml    the claims there are afterwards
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		if file == "testdata/fuzz" {
			continue // inputs of the fuzz targets
		}
		if filepath.Ext(file) != ".txtar" {
			t.Errorf("%s is no story, so no test reads it", file)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := tell(t, archive)
			if *update {
				if err := os.WriteFile(file, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, name := range outputs {
				if g, w := section(got, name), section(archive, name); g != w {
					t.Errorf("%s differs; is:\n%s\nwas:\n%s", name, g, w)
				}
			}
		})
	}
}

var (
	inputs  = []string{"cluster.yaml", "unseen.yaml", "stale.yaml", "config.yaml", "refusals.yaml", "review.json"}
	outputs = []string{"answer", "calls", "claims.yaml"}
)

func section(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// settings are a story's config.yaml.
type settings struct {
	AutoCreate      *bool  `json:"autoCreate"`
	MissingClass    string `json:"missingClass"`
	DeleteWithOwner *bool  `json:"deleteWithOwner"`
	OwnerKinds      string `json:"ownerKinds"`
	DefaultStorage  string `json:"defaultStorage"`
	NotSynced       bool   `json:"notSynced"`
	URL             string `json:"url"`
	ClockSkew       string `json:"clockSkew"`
}

func (s settings) config(t *testing.T) provision.Config {
	c := provision.Config{
		AutoCreate:      s.AutoCreate == nil || *s.AutoCreate,
		DefaultStorage:  resource.MustParse("1Gi"),
		MissingClass:    provision.DenyMissingClass,
		DeleteWithOwner: s.DeleteWithOwner == nil || *s.DeleteWithOwner,
	}
	if s.MissingClass != "" {
		c.MissingClass = provision.ClassPolicy(s.MissingClass)
	}
	if s.DefaultStorage != "" {
		c.DefaultStorage = resource.MustParse(s.DefaultStorage)
	}
	kinds := s.OwnerKinds
	if kinds == "" {
		kinds = "BatchSandbox.sandbox.opensandbox.io/batchsandboxes,Sandbox.agents.x-k8s.io/sandboxes"
	}
	var err error
	if c.OwnerKinds, err = provision.ParseOwnerKinds(kinds); err != nil {
		t.Fatal(err)
	}
	return c
}

// tell runs one story and returns the archive with its outputs.
func tell(t *testing.T, a *txtar.Archive) *txtar.Archive {
	for _, f := range a.Files {
		if !slices.Contains(inputs, f.Name) && !slices.Contains(outputs, f.Name) {
			t.Fatalf("a story has no %s", f.Name)
		}
	}
	var s settings
	strict(t, section(a, "config.yaml"), &s)
	if s.URL == "" {
		s.URL = "/mutate?timeout=5s"
	}
	seen, unseen, stale := objects(t, section(a, "cluster.yaml")), objects(t, section(a, "unseen.yaml")), objects(t, section(a, "stale.yaml"))
	config := s.config(t)
	world := &world{}
	if s.ClockSkew != "" {
		var err error
		if world.skew, err = time.ParseDuration(s.ClockSkew); err != nil {
			t.Fatal(err)
		}
	}
	strict(t, section(a, "refusals.yaml"), &world.refusals)
	// A fake client registers kinds as it meets them: each has a scheme of its own.
	live := fake.NewClientBuilder().WithScheme(newScheme(t)).WithRESTMapper(config.OwnerKinds.Mapper()).
		WithObjects(append(slices.Clone(seen), unseen...)...).WithInterceptorFuncs(world.funcs()).Build()
	cached := fake.NewClientBuilder().WithScheme(newScheme(t)).WithRESTMapper(config.OwnerKinds.Mapper()).
		WithObjects(append(seen, stale...)...).Build()
	claims := &provision.Claims{}
	if !s.NotSynced {
		if err := claims.Replace(known(t, cached), ""); err != nil {
			t.Fatal(err)
		}
	}
	h := &mutate.Handler{
		Ensurer: &provision.Ensurer{Live: live, Cached: cached, Claims: claims, Config: config},
		Log:     logr.Discard(),
	}
	r := httptest.NewRequest(http.MethodPost, s.URL, strings.NewReader(section(a, "review.json")))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)

	out := &txtar.Archive{Comment: a.Comment}
	for _, name := range inputs {
		if data := section(a, name); data != "" {
			out.Files = append(out.Files, txtar.File{Name: name, Data: []byte(data)})
		}
	}
	for name, data := range map[string]string{"answer": answer(t, w), "calls": world.log(), "claims.yaml": claimsOf(t, live)} {
		out.Files = append(out.Files, txtar.File{Name: name, Data: []byte(data)})
	}
	slices.SortStableFunc(out.Files, func(x, y txtar.File) int { return slices.Index(order(), x.Name) - slices.Index(order(), y.Name) })
	return out
}

// newScheme knows what the webhook reads and writes; what owns a pod, a client learns as it meets it.
func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(s), storagev1.AddToScheme(s)); err != nil {
		t.Fatal(err)
	}
	return s
}

func order() []string { return append(slices.Clone(inputs), outputs...) }

func strict(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

func objects(t *testing.T, text string) []client.Object {
	var list []client.Object
	decoder := scheme.Codecs.UniversalDeserializer()
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		obj, _, err := decoder.Decode(doc, nil, nil)
		if runtime.IsNotRegisteredError(err) {
			meta := &metav1.PartialObjectMetadata{} // an owner
			err = yaml.UnmarshalStrict(doc, meta)
			obj = meta
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, doc)
		}
		list = append(list, obj.(client.Object))
	}
}

func known(t *testing.T, c client.Reader) []any {
	var list corev1.PersistentVolumeClaimList
	if err := c.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	all := make([]any, len(list.Items))
	for i := range list.Items {
		all[i] = &list.Items[i]
	}
	return all
}

// answer is the HTTP answer for the eye.
func answer(t *testing.T, w *httptest.ResponseRecorder) string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP %d\n", w.Code)
	if after := w.Header().Get("Retry-After"); after != "" {
		fmt.Fprintf(&b, "Retry-After: %s\n", after)
	}
	if w.Code != http.StatusOK {
		return b.String() + w.Body.String()
	}
	var review map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil {
		t.Fatal(err)
	}
	response := review["response"].(map[string]any)
	if patch, ok := response["patch"]; ok {
		raw, err := json.Marshal(patch)
		if err != nil {
			t.Fatal(err)
		}
		var decoded []byte
		if err := json.Unmarshal(raw, &decoded); err != nil {
			t.Fatal(err)
		}
		response["patch"] = json.RawMessage(decoded)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(review); err != nil {
		t.Fatal(err)
	}
	return b.String() + text.String()
}

var timestamp = regexp.MustCompile(`"?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"?`)

// claimsOf is every claim there is, times left out where they are of today.
func claimsOf(t *testing.T, c client.Reader) string {
	var list corev1.PersistentVolumeClaimList
	if err := c.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	var docs []string
	for i := range list.Items {
		list.Items[i].ResourceVersion = ""
		text, err := yaml.Marshal(&list.Items[i])
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, strings.ReplaceAll(string(text), "status: {}\n", ""))
	}
	return timestamp.ReplaceAllStringFunc(strings.Join(docs, "---\n"), func(s string) string {
		if strings.Contains(s, "2020-") {
			return s
		}
		return "<now>"
	})
}
