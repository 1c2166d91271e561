package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// mostMore is by how much bad input may raise what the webhook has resident, at the peak.
const mostMore = 16 << 20

// hugeReview is nearly 4 MiB, of something that would take many times its size if all of it were kept.
type hugeReview struct {
	name, body string
	code       int
	says       string // a part of the answer; "": the pod is admitted
}

// hugeReviews are made of a good one, whose pod has an annotation and a volume.
func hugeReviews(good string) []hugeReview {
	const (
		metadata, annotations, volumes = `"metadata":{`, `"annotations":{`, `"volumes":[`
		tooLong                        = "metadata.annotations: the hints are longer than 256 KiB together"
		tooMuch                        = "what must be kept of the document is longer than 1048576 bytes"
	)
	// fill puts as many items behind the mark as there is room for.
	fill := func(mark, begin, item, end string) string {
		at := strings.Index(good, mark) + len(mark)
		var b strings.Builder
		b.WriteString(good[:at] + begin)
		for i := 0; b.Len() < 4<<20-len(good)-len(end)-100; i++ {
			fmt.Fprintf(&b, item+",", i)
		}
		b.WriteString(end + good[at:])
		return b.String()
	}
	swap := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	long := strings.Repeat("1", 3<<20)
	return []hugeReview{
		{"annotations", fill(annotations, "", `"%x":""`, ""), 200, ""},
		{"an annotation", fill(annotations, `"a":"`+long+`",`, `"%x":""`, ""), 200, ""},
		{"an annotation of escapes", fill(annotations, `"a":"`+strings.Repeat(`\u0001`, len(long)/6)+`",`, `"%x":""`, ""), 200, ""},
		{"hints that there are none of", fill(annotations, "", `"volumes.opensandbox.io/%x":""`, ""), 200, tooLong},
		{"hints for claims that are not used", fill(annotations, "", `"a%x.volumes.opensandbox.io/storage":"1"`, ""), 200, tooLong},
		{"a hint", swap(`"1Gi"`, `"`+long+`"`), 200, tooLong},
		{"a hint of escapes", swap(`"1Gi"`, `"`+strings.Repeat(`\u0001`, len(long)/6)+`"`), 200, tooLong},
		{"what is no hint before a hint", swap(annotations, annotations+`"opensandbox.io/id":"`+long+`",`), 200, ""},
		{"a hint whose key is long", swap(annotations, annotations+`"`+long+`.volumes.opensandbox.io/storage":"1Gi",`), 200, tooLong},
		{"labels", fill(metadata, `"labels":{`, `"%x":""`, `"a":""},`), 200, ""},
		{"claims", fill(volumes, "", `{"persistentVolumeClaim":{"claimName":"%x"}}`, ""), 200, " different claims; the limit is 64, use fewer"},
		{"a claim", swap(`"claimName":"data"`, `"claimName":"`+long+`"`), 200, "invalid claim name"},
		{"owners", fill(metadata, `"ownerReferences":[`, `{"name":"%x"}`, "{}],"), 200, ""},
		{"an owner", swap(metadata, metadata+`"ownerReferences":[{"controller":true,"name":"`+long+`"}],`), 400, tooMuch},
		{"a UID", swap(forgedUID, long), 400, tooMuch},
	}
}

// goodReview is a dry run of a pod with a hint.
func goodReview(t *testing.T, ns string) string {
	t.Helper()
	good := review(t, ns, hinted(pod(ns, "huge", "data"), "storage", "1Gi"))
	return strings.Replace(good, `"operation":"CREATE"`, `"operation":"CREATE","dryRun":true`, 1)
}

// fullLists are lists of hints of which each byte takes much once it is read: as long as they may be, which is too much to read,
// and short enough to be read.
func fullLists() []string {
	var lists []string
	for begin, item := range map[string]string{"[": "a,", "[1": ",1", "- x\n": "- ", "- ": "? ", "[a,": "[", "{b: 1, ": "a: {"} {
		pieces := strings.Count(item, ",") + strings.Count(item, ":") + strings.Count(item, "{") + strings.Count(item, "[") + strings.Count(item, "- ") + strings.Count(item, "?")
		lists = append(lists, begin+strings.Repeat(item, (63<<10)/len(item)), begin+strings.Repeat(item, 4090/pieces))
	}
	return lists
}

// Each is answered, and takes little more than its own size. No API server sends most of them. Not parallel: memory is
// everybody's.
func TestHugeReviews(t *testing.T) {
	world.restart(t) // what others have made resident would hide what these do
	ns := world.namespace(t)
	for _, test := range hugeReviews(goodReview(t, ns)) {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, chunked %t", test.name, chunked), func(t *testing.T) {
				before := world.watchPeak(t)
				var body io.Reader = strings.NewReader(test.body)
				if chunked {
					body = struct{ io.Reader }{body} // whose length nobody knows
				}
				code, said := send(t, jsonType, body)
				test.check(t, code, said)
				if test.name == "a UID" {
					world.faults.Saw(t, "review-too-full", fmt.Sprintf("%d %s", code, said))
				}
				world.wantPeak(t, before.Now+mostMore)
			})
		}
	}
	world.wantClaims(t, ns)
}

// Eight at once, which is as many as are let in, and many more that are small but full, do not bring the webhook to the limit that the chart sets, where the
// kernel would kill it. Not parallel: it is everybody's webhook.
func TestHugeReviewsAtOnce(t *testing.T) {
	memory, limit := shippedMemory(t)
	t.Setenv("GOMEMLIMIT", memory)
	world.restart(t)
	ns := world.namespace(t)
	world.watchPeak(t)
	for _, test := range hugeReviews(goodReview(t, ns)) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				code, said := post(t, jsonType, test.body)
				test.check(t, code, said)
			})
		}
		all.Wait()
	}
	var all sync.WaitGroup
	for _, list := range fullLists() {
		full := review(t, ns, hinted(pod(ns, "full", "data"), "claims", list))
		for range 50 {
			all.Go(func() {
				code, said := post(t, jsonType, full)
				hugeReview{"a list", full, 200, inClaims}.check(t, code, said)
			})
		}
	}
	all.Wait()
	world.wantPeak(t, int64(limit))
}

// check holds the answer.
func (r hugeReview) check(t *testing.T, code int, said string) {
	t.Helper()
	if code != r.code || allowed(said) != (r.says == "") || !strings.Contains(said, r.says) {
		t.Errorf("%s: %d %.1024q, want %d %q", r.name, code, said, r.code, r.says)
	}
	var answered admissionv1.AdmissionReview
	if err := json.Unmarshal([]byte(said), &answered); code == http.StatusOK && err != nil {
		t.Errorf("%s: %v", r.name, err)
	}
}

// watchPeak begins to watch what the webhook has resident at most.
func (g *ground) watchPeak(t *testing.T) process.Memory {
	t.Helper()
	if err := g.webhook.ResetPeak(); err != nil {
		t.Fatal(err)
	}
	m, err := g.webhook.Memory()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wantPeak holds that since watchPeak it had no more.
func (g *ground) wantPeak(t *testing.T, most int64) {
	t.Helper()
	m, err := g.webhook.Memory()
	if err != nil {
		t.Fatal(err)
	}
	mib := func(bytes int64) float64 { return float64(bytes) / (1 << 20) }
	t.Logf("%.1f MiB resident at the peak, of %.1f MiB", mib(m.Peak), mib(most))
	if m.Peak > most {
		t.Errorf("%.1f MiB were resident at the peak, more than %.1f MiB", mib(m.Peak), mib(most))
	}
}
