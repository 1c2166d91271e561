package explain_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/ensure-volumes/ensure-volumes/pkg/explain"
	"github.com/ensure-volumes/ensure-volumes/pkg/mutate"
	"github.com/ensure-volumes/ensure-volumes/pkg/provision"
)

// outcome is what explain and the webhook have to agree on for one pod.
type outcome struct {
	Allowed  bool
	Refusal  *explain.Refusal
	Warnings []string
	Created  []map[string]any // in the order of their names
	Trouble  string           // no answer
}

func (o *outcome) sort() {
	slices.SortFunc(o.Created, func(a, b map[string]any) int { return cmp.Compare(nameOf(a), nameOf(b)) })
}

func nameOf(object map[string]any) string {
	return object["metadata"].(map[string]any)["name"].(string)
}

// answered is what the webhook's handler answers to a review.
func answered(t *testing.T, s settings, live, cached *memory, review string) outcome {
	t.Helper()
	claims := cached.records(t)
	if s.NotSynced {
		claims = &provision.Claims{}
	}
	before := len(live.created)
	h := &mutate.Handler{Ensurer: &provision.Ensurer{Live: live, Cached: cached, Claims: claims, Config: s.config(t)}}
	r := httptest.NewRequest(http.MethodPost, "/mutate", strings.NewReader(review))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return outcome{Trouble: strings.TrimSpace(w.Body.String())}
	}
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	o := outcome{Allowed: answer.Response.Allowed, Warnings: answer.Response.Warnings, Created: append([]map[string]any(nil), live.created[before:]...)}
	if status := answer.Response.Result; status != nil {
		o.Refusal = &explain.Refusal{Code: status.Code, Reason: string(status.Reason), Message: status.Message}
		for _, c := range status.Details.Causes {
			o.Refusal.Causes = append(o.Refusal.Causes, explain.Cause{Path: c.Field, Text: c.Message})
		}
	}
	o.sort()
	return o
}

// explained is explain's report of a manifest, or why there is none.
func explained(t *testing.T, e *explain.Explainer, manifest string) (*explain.Report, string) {
	t.Helper()
	read, err := explain.Read("file", strings.NewReader(manifest))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, manifest)
	}
	report, err := e.Explain(t.Context(), read)
	if err != nil {
		return nil, err.Error()
	}
	return report, ""
}

// disagree is how what explain says of a pod differs from what the webhook does.
func disagree(t *testing.T, webhook outcome, p *explain.Pod) []string {
	t.Helper()
	o := outcome{Allowed: p.Allowed, Refusal: p.Refusal, Warnings: p.Warnings}
	var problems []string
	for _, c := range p.Claims {
		if (c.Action == explain.Create) != (c.Manifest != nil) {
			problems = append(problems, "claim "+c.Name+": "+c.Action+", and its manifest is "+canonical(t, c.Manifest))
		}
		if c.Manifest != nil {
			o.Created = append(o.Created, c.Manifest)
			problems = append(problems, wrongValues(c)...)
		}
	}
	o.sort()
	if a, b := canonical(t, webhook), canonical(t, o); a != b {
		problems = append(problems, "the webhook:\n"+a+"\nexplain:\n"+b)
	}
	return append(problems, wrongFaults(webhook, p.Faults)...)
}

// wrongFaults compares the faults that explain tells with what the webhook says:
// they are among the causes of its refusal, all of them or none, or else they are
// warnings; and there is nothing else of that kind.
func wrongFaults(webhook outcome, faults []explain.Cause) (problems []string) {
	var causes []explain.Cause
	var message []string
	if webhook.Refusal != nil {
		for _, c := range webhook.Refusal.Causes {
			message = append(message, c.Path+": "+c.Text)
			if !strings.HasPrefix(c.Path, "spec.volumes") && !noClass.MatchString(c.Text) {
				causes = append(causes, c)
			}
		}
	}
	if len(message) > 0 && webhook.Refusal.Message != strings.Join(message, "; ") {
		problems = append(problems, "the message is "+webhook.Refusal.Message)
	}
	if len(causes) > 0 {
		if !slices.Equal(causes, faults) {
			problems = append(problems, "the webhook refuses "+texts(causes)+", explain says "+texts(faults))
		}
		return problems
	}
	var warned []string
	cut := false // some were too many
	for _, w := range webhook.Warnings {
		switch {
		case tooMany.MatchString(w):
			cut = true
		case !noFault.MatchString(w):
			warned = append(warned, w)
		}
	}
	for i, f := range faults {
		whole := f.Text + " (" + f.Path + ")"
		switch {
		case i >= len(warned) && !cut:
			problems = append(problems, "the webhook does not warn of "+whole)
		case i < len(warned) && warned[i] != whole && (len(whole) <= 120 || len(warned[i]) < 117 || !strings.HasPrefix(whole, strings.TrimSuffix(warned[i], "..."))):
			problems = append(problems, "the webhook warns of "+warned[i]+", explain says "+whole)
		}
	}
	for _, w := range warned[min(len(faults), len(warned)):] {
		problems = append(problems, "explain does not say "+w)
	}
	return problems
}

// What is no hint's fault: a class that is not there, in a refusal and, with what
// else there is to warn of, in a warning.
var (
	noClass = regexp.MustCompile(`^StorageClass ".*" does not exist; (write one of|the cluster has no)`)
	noFault = regexp.MustCompile(`^(StorageClass ".*" does not exist; claim |hints for claim |Namespace annotation |the pod's |claim ".*" (exists: |does not exist |asks for no class |is kept despite |is not protected ))`)
	tooMany = regexp.MustCompile(`^and \d+ more warnings$`)
)

func texts(causes []explain.Cause) string {
	var all []string
	for _, c := range causes {
		all = append(all, c.Path+": "+c.Text)
	}
	return strings.Join(all, "\n  ")
}

// wrongValues compares the values that are told of a claim with the claim itself.
func wrongValues(c explain.Claim) []string {
	spec := c.Manifest["spec"].(map[string]any)
	told := map[string]explain.Value{}
	for _, v := range c.Values {
		told[v.Field] = v
	}
	var modes []string
	for _, m := range spec["accessModes"].([]any) {
		modes = append(modes, m.(string))
	}
	storage := spec["resources"].(map[string]any)["requests"].(map[string]any)["storage"]
	class, given := spec["storageClassName"]
	if told["storage"].Value != storage || told["accessModes"].Value != strings.Join(modes, ",") ||
		given != (told["storageClass"].From != explain.FromDefault) || given && class != told["storageClass"].Value {
		text, _ := json.Marshal(c)
		return []string{"the values differ from the claim: " + string(text)}
	}
	return nil
}
