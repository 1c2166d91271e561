package mutate_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	kjson "sigs.k8s.io/json"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// FuzzReview holds, for whatever stands for the pod in a review: the handler
// does not panic; two handlers over the same cluster say the same; what is
// refused says why in words that can be printed and leaves nothing behind; what
// is allowed has its claims, which are sound, and no others; and asking again
// creates nothing more.
func FuzzReview(f *testing.F) {
	f.Add(`{"metadata":{"name":"p"},"spec":{"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"data"}}]}}`)
	f.Add(`{"metadata":{"generateName":"p-","labels":{"opensandbox.io/id":"7"},"annotations":{"data.volumes.opensandbox.io/storage":"5Gi","volumes.opensandbox.io/created":"x"}},
		"spec":{"volumes":[{"persistentVolumeClaim":{"claimName":"data"}},{"persistentVolumeClaim":{"claimName":"b"}},{"persistentVolumeClaim":{"claimName":"data"}}]}}`)
	f.Add(`{"metadata":{"annotations":{"volumes.opensandbox.io/claims":"[{\"claimName\":\"data\",\"storage\":\"10 GB\"}]"}},"spec":{"volumes":[{"persistentVolumeClaim":{"claimName":"data"}}]}}`)
	f.Add(`{"metadata":{"annotations":{"opensandbox.io/extensions.volumes":"- claimName: data\n  accessModes: [RWX]\n  deleteOnSandboxTermination: true\n"}},"spec":{"volumes":[{"persistentVolumeClaim":{"claimName":"data"}}]}}`)
	f.Add(`{"metadata":{"annotations":{"volumes.opensandbox.io/strage":"\u001b[2J"}},"spec":{"volumes":[{"persistentVolumeClaim":{"claimName":"a/../b"}},{"persistentVolumeClaim":{}}]}}`)
	f.Add(`{"metadata":{"namespace":"other"}}`)
	f.Add(`{"metadata":{"name":"p"}}}, {"x":{`)
	f.Fuzz(func(t *testing.T, pod string) {
		body := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","resource":{"group":"","version":"v1","resource":"pods"},` +
			`"operation":"CREATE","namespace":"sandboxes","object":` + pod + `}}`
		h, c := newHandler(t, interceptor.Funcs{})
		other, _ := newHandler(t, interceptor.Funcs{})
		w, same := post(h, "/mutate?timeout=10s", body), post(other, "/mutate?timeout=10s", body)
		if w.Code != same.Code || w.Body.String() != same.Body.String() {
			t.Fatalf("one says %d %s, the other %d %s", w.Code, w.Body, same.Code, same.Body)
		}
		var twice any
		if strict, err := kjson.UnmarshalStrict([]byte(pod), &twice, kjson.DisallowDuplicateFields); err != nil || len(strict) > 0 {
			return // it changes the review around it, or says two things at once
		}
		if w.Code == http.StatusBadRequest {
			if got := claims(t, c); !printable(w.Body.String()) || len(got) > 0 {
				t.Errorf("refused with %+q, and the claims are %v", w.Body, got)
			}
			return
		}
		if w.Code != http.StatusOK {
			t.Fatalf("answered %d %s", w.Code, w.Body)
		}
		checkAnswer(t, pod, w.Body.Bytes(), claims(t, c))

		// The caches know by now.
		if err := h.Ensurer.Claims.Replace(known(t, c), ""); err != nil {
			t.Fatal(err)
		}
		before := claims(t, c)
		w = post(h, "/mutate?timeout=10s", body)
		if after := claims(t, c); len(after) != len(before) || w.Code != http.StatusOK {
			t.Errorf("asked again: %d %s, and of %d claims there are %d", w.Code, w.Body, len(before), len(after))
		}
		if r := response(t, w.Body.Bytes()); len(before) > 0 && (!r.Allowed || r.Patch != nil) {
			t.Errorf("asked again: %s", w.Body)
		}
	})
}

// checkAnswer holds the answer to a pod and the claims there are afterwards together.
func checkAnswer(t *testing.T, pod string, answer []byte, claims []corev1.PersistentVolumeClaim) {
	t.Helper()
	r := response(t, answer)
	for _, w := range r.Warnings {
		if !printable(w) || len(w) > claim.MaxWarning {
			t.Errorf("the warning %+q", w)
		}
	}
	if r.UID != "u1" {
		t.Errorf("the answer is for %q", r.UID)
	}
	if !r.Allowed {
		if len(claims) > 0 || r.Result == nil || r.Result.Code < 400 || r.Result.Code > 499 || r.Result.Message == "" || !printable(r.Result.Message) {
			t.Errorf("refused with %s, and the claims are %v", answer, claims)
		}
		for _, c := range r.Result.Details.Causes {
			if c.Field == "" || !strings.Contains(r.Result.Message, c.Field+": "+c.Message) {
				t.Errorf("the cause %q is not in %q", c, r.Result.Message)
			}
		}
		return
	}
	var got []string
	for _, c := range claims {
		got = append(got, c.Name)
		size := c.Spec.Resources.Requests[corev1.ResourceStorage]
		if claim.CheckName(c.Name) != "" || size.Sign() <= 0 || len(c.Spec.AccessModes) == 0 || c.Namespace != "sandboxes" {
			t.Errorf("created %+v", c)
		}
	}
	slices.Sort(got)
	if want := asked(t, pod); !slices.Equal(got, want) || (len(got) > 0) != (r.Patch != nil) {
		t.Errorf("created %q for the claims %q, with the patch %s", got, want, r.Patch)
	}
}

// asked are the claims of a pod, each once, as its own reader sees it.
func asked(t *testing.T, pod string) []string {
	t.Helper()
	var p struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Spec struct {
			Volumes []struct {
				PersistentVolumeClaim *struct {
					ClaimName string `json:"claimName"`
				} `json:"persistentVolumeClaim"`
			} `json:"volumes"`
		} `json:"spec"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts([]byte(pod), &p); err != nil {
		t.Fatal(err)
	}
	if _, mirror := p.Metadata.Annotations["kubernetes.io/config.mirror"]; mirror {
		return nil
	}
	var names []string
	for _, v := range p.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			names = append(names, v.PersistentVolumeClaim.ClaimName)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func response(t *testing.T, answer []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(answer, &review); err != nil || review.Response == nil {
		t.Fatalf("%v: %s", err, answer)
	}
	return review.Response
}

func claims(t *testing.T, c client.Reader) []corev1.PersistentVolumeClaim {
	t.Helper()
	var list corev1.PersistentVolumeClaimList
	if err := c.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// printable reports whether a terminal shows the text as it is.
func printable(s string) bool {
	unprintable := func(r rune) bool { return r != '\n' && !strconv.IsPrint(r) }
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unprintable)
}
