package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	jsonType = "application/json"
	claims   = domain + "/claims"
	inClaims = "metadata.annotations[" + claims + "]: "
	inSize   = "metadata.annotations[" + domain + "/storage]: "
	inName   = "spec.volumes[0].persistentVolumeClaim.claimName: "
)

// badBody is what is sent, and what is said to whom sent it.
type badBody struct {
	name, contentType, body string
	code                    int
	says                    string
}

// badBodies are no reviews, made of a good one.
func badBodies(good string) []badBody {
	swap := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	return []badBody{
		{"empty", jsonType, "", 400, "the body is no AdmissionReview: "},
		{"truncated", jsonType, good[:len(good)/2], 400, "the body is no AdmissionReview: "},
		{"4 MiB and 1 byte", jsonType, good + strings.Repeat(" ", 4<<20+1-len(good)), 413, "the body is larger than 4194304 bytes"},
		{"endless numbers", jsonType, swap(`"dryRun":true`, `"dryRun":`+strings.Repeat("1", 1<<20)), 400, "the body is no AdmissionReview: "},
		{"no content type", "", good, 415, "send an AdmissionReview as application/json"},
		{"another content type", "application/yaml", good, 415, "send an AdmissionReview as application/json"},
		{"a form", "application/x-www-form-urlencoded", good, 415, "send an AdmissionReview as application/json"},
		{"v1beta1", jsonType, swap("admission.k8s.io/v1", "admission.k8s.io/v1beta1"), 400,
			`the body is "AdmissionReview" of "admission.k8s.io/v1beta1"; send an AdmissionReview of admission.k8s.io/v1`},
		{"no review", jsonType, `{"apiVersion":"v1","kind":"List\u001b[31m"}`, 400, `the body is "List\x1b[31m" of "v1"`},
		{"no request", jsonType, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, 400, "the AdmissionReview has no request"},
		{"no UID", jsonType, swap(`"uid":"`+forgedUID+`"`, `"uid":""`), 400, "the AdmissionReview's request has no uid"},
		{"no pod", jsonType, swap(`"resource":"pods"`, `"resource":"configmaps"`), 400, `the request is "CREATE" of "configmaps"; only CREATE of v1 pods is answered here`},
		{"no creation", jsonType, swap(`"operation":"CREATE"`, `"operation":"DELETE"`), 400, `the request is "DELETE" of "pods"; only CREATE of v1 pods is answered here`},
		{"no namespace", jsonType, strings.ReplaceAll(good, `"namespace":`, `"nowhere":`), 400, "the request has no namespace"},
		{"no object", jsonType, swap(`"object":`, `"nothing":`), 400, "the request has no object"},
		{"a pod that is a string", jsonType, swap(`"object":{`, `"object":"pod","was":{`), 400, "the body is no AdmissionReview: "},
		{"10,000 levels of lists", jsonType, swap(`"object":`, `"deep":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)+`,"object":`), 400, "the body is no AdmissionReview: "},
		{"10,000 levels of objects", jsonType, swap(`"object":`, `"deep":`+strings.Repeat(`{"a":`, 10_000)+"1"+strings.Repeat("}", 10_000)+`,"object":`), 400, "the body is no AdmissionReview: "},
		{"10,000 levels never closed", jsonType, strings.Repeat("[", 10_000), 400, "the body is no AdmissionReview: "},
		{"binary", jsonType, "k8s\x00\n\x1b[2J\xff\xfe", 400, "the body is no AdmissionReview: "},
	}
}

// badPod is what is changed of a good pod, and how the refusal begins.
type badPod struct {
	name string
	spec func(p *corev1.Pod)
	says string
}

// badPods are pods of which none can have its claims.
func badPods() []badPod {
	hint := func(key, value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations = map[string]string{key: value} }
	}
	size := func(value string) func(*corev1.Pod) { return hint(domain+"/storage", value) }
	name := func(name string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Volumes[0].PersistentVolumeClaim.ClaimName = name }
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), ","))
	}
	return []badPod{
		{"65 claims", func(p *corev1.Pod) { *p = *pod(p.Namespace, p.Name, numbered(65)...) }, "spec.volumes: the pod has 65 different claims; the limit is 64, use fewer"},
		{"a YAML bomb", hint(claims, bomb), inClaims},
		{"anchors", hint(claims, "- &a {claimName: data, storage: 1Gi}\n- *a"), inClaims},
		{"a merge key", hint(claims, "- {claimName: data, <<: {storage: 1Gi}}"), inClaims[:len(inClaims)-2]},
		{"a key twice", hint(claims, `[{"claimName":"data","storage":"1Gi","storage":"2Gi"}]`), inClaims},
		{"10,000 levels of JSON", hint(claims, strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)), inClaims},
		{"10,000 levels of YAML", hint(claims, strings.Repeat("- ", 10_000)+"x"), inClaims},
		{"10,000 levels of YAML in a row", hint(claims, strings.Repeat("{a: ", 10_000)+strings.Repeat("}", 10_000)), inClaims},
		{"a list of 65 KiB", hint(claims, "["+strings.Repeat(" ", 65<<10)+"]"), inClaims},
		{"control characters in a list", hint(claims, "\x00\x1b[2J\x07"), inClaims},
		{"size -1", size("-1"), inSize + `quantity "-1" is not greater than zero`},
		{"size 0", size("0"), inSize + `quantity "0" is not greater than zero`},
		{"size 1e99Gi", size("1e99Gi"), inSize + `invalid quantity "1e99Gi"`},
		{"size 1e99", size("1e99"), inSize},
		{"size NaN", size("NaN"), inSize + `invalid quantity "NaN"`},
		{"size 10 GB", size("10 GB"), inSize + `invalid quantity "10 GB"; write it as "10Gi"`},
		{"size with a zero-width space", size("1Gi\u200b"), inSize + `invalid quantity "1Gi\u200b"`},
		{"size with an escape sequence", size("1Gi\x1b]0;owned\x07"), inSize + `invalid quantity "1Gi\x1b]0;owned\a"`},
		{"a size of 200 KiB", size(strings.Repeat("9", 200<<10)), inSize},
		{"a name with a slash", name("../../etc/passwd"), inName + `invalid claim name "../../etc/passwd"`},
		{"a name with two dots", name("a..b"), inName + `invalid claim name "a..b"`},
		{"a name of a dot", name("."), inName + `invalid claim name "."`},
		{"a name of 254 characters", name(strings.Repeat("a", 254)), inName + "invalid claim name"},
		{"a name with a line break", name("a\nb\x7f"), inName + `invalid claim name "a\nb\x7f"`},
		{"a name that is written backwards", name("a\u202eb"), inName + `invalid claim name "a\u202eb"`},
		{"a name in another alphabet", name("dаta"), inName + "invalid claim name"},
		{"an empty name", name(""), inName + "the claim has no name; give it one"},
	}
}

// numbered are the names of n claims.
func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("data-%d", i)
	}
	return names
}

// post sends a body to the webhook's port as it is.
func post(t *testing.T, contentType, body string) (code int, said string) {
	t.Helper()
	return send(t, contentType, strings.NewReader(body))
}

// send sends a body in chunks where its length cannot be known.
func send(t *testing.T, contentType string, body io.Reader) (code int, said string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, world.in.URL+"/mutate?timeout=10s", body)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := world.in.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(text))
}

// Whatever reaches the port is answered with whose fault it is and where, in text that a terminal can print; nothing is
// created, little more memory is taken, and none is held. Not parallel: memory is everybody's.
func TestBadInput(t *testing.T) {
	world.restart(t) // what others have made resident would hide what this does
	ns := world.namespace(t)
	dry := func(p *corev1.Pod) string {
		return strings.Replace(review(t, ns, p), `"operation":"CREATE"`, `"operation":"CREATE","dryRun":true`, 1)
	}
	good := dry(pod(ns, "good", "data"))
	if code, said := post(t, jsonType, good); code != http.StatusOK || !allowed(said) {
		t.Fatalf("a good review: %d %s", code, said)
	}
	before, resident := world.metrics(t), world.watchPeak(t)
	var sent int
	for _, test := range badBodies(good) {
		t.Run(test.name, func(t *testing.T) {
			sent++
			code, said := post(t, test.contentType, test.body)
			if code != test.code || !strings.HasPrefix(said, test.says) || len(said) > 1024 {
				t.Errorf("%d %.1024q, want %d %q", code, said, test.code, test.says)
			}
			wantPrintable(t, said)
		})
	}
	var denied int
	for _, test := range badPods() {
		t.Run(test.name, func(t *testing.T) {
			denied++
			p := pod(ns, "bad", "data")
			test.spec(p)
			p.Namespace = ns
			code, said := post(t, jsonType, review(t, ns, p))
			var answered admissionv1.AdmissionReview
			if err := json.Unmarshal([]byte(said), &answered); err != nil || code != http.StatusOK {
				t.Fatalf("%d %.1024q: %v", code, said, err)
			}
			status := answered.Response.Result
			if answered.Response.Allowed || status == nil || status.Code != 422 {
				t.Fatalf("answered %.1024q", said)
			}
			if !strings.HasPrefix(status.Message, test.says) || len(status.Message) > 1024 {
				t.Errorf("refused with %.1024q, want %q", status.Message, test.says)
			}
			wantPrintable(t, status.Message)
			for _, cause := range status.Details.Causes {
				wantPrintable(t, cause.Field+cause.Message)
			}
		})
	}
	after := world.metrics(t)
	if n := after[histogram+`_count{outcome="bad_request"}`] - before[histogram+`_count{outcome="bad_request"}`]; n != float64(sent) {
		t.Errorf("%v of %d bodies were counted as bad requests", n, sent)
	}
	if n := after[histogram+`_count{outcome="denied"}`] - before[histogram+`_count{outcome="denied"}`]; n != float64(denied) {
		t.Errorf("%v of %d pods were counted as denied", n, denied)
	}
	if n := after[histogram+`_count{outcome="panic"}`]; n != 0 {
		t.Errorf("%v reviews ended in a panic", n)
	}
	world.wantClaims(t, ns)
	world.wantPeak(t, resident.Now+mostMore)
	world.wantNothingHeld(t, before)
}

// The largest that is legal is admitted: 64 claims, and annotations as long as the API server takes them.
func TestTheLargestLegalPods(t *testing.T) {
	t.Parallel()
	ns, person := world.namespace(t), world.author(t)
	many := pod(ns, "many", numbered(64)...)
	if err := person.Create(t.Context(), many, client.DryRunAll); err != nil {
		t.Error(err)
	} else if got := strings.Split(many.Annotations[domain+"/created"], ","); len(got) != 64 {
		t.Errorf("%d claims were created", len(got))
	}
	const most = 256 << 10 // of keys and values
	long := pod(ns, "long", "data")
	long.Annotations = map[string]string{"a": strings.Repeat("b", most-1)}
	if err := person.Create(t.Context(), long.DeepCopy()); err != nil {
		t.Error(err)
	}
	want := "the pod's annotations are full: " + domain + "/created was left out"
	if warned := person.warned(); len(warned) != 1 || warned[0] != want {
		t.Errorf("warned %.200q, want %q", warned, want)
	} else {
		world.warned(t, "annotations-full", warned)
	}
	world.wantClaims(t, ns, "data")
	long.Name, long.Annotations["a"] = "longer", long.Annotations["a"]+"b"
	err := person.Create(t.Context(), long)
	if s := status(t, err); s.Code != 422 || !strings.Contains(s.Message, "metadata.annotations: Too long: may not be more than 262144 bytes") {
		t.Errorf("one byte more: %+v", s)
	}
	wait(t, "the webhook answers as ever", func(ctx context.Context) error { return world.in.WaitAnswers(ctx, ns) })
}

// wantPrintable holds that a terminal prints the text and does nothing else with it.
func wantPrintable(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			t.Errorf("%q is in %.1024q", r, text)
			return
		}
	}
}
