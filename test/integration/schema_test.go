package integration

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"

	hints "github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/test/standin"
)

// OpenSandbox's PVC model as a table: what its server makes of a value that the schema accepts, and what the webhook makes of the
// same object as a hint, are the same claim. Where differs is set, the guide lists it and the hint is refused with these words.
func TestTheSchemaOfPVC(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 253)
	ours, theirs := world.namespace(t), world.quiet(t)
	guided, before := world.opensandbox(t, ours, false, asGuided), world.opensandbox(t, theirs, false, asInstalled)
	for i, test := range []struct {
		pvc     string // without the claimName
		name    string // of the claim; "": some name
		want    string // as describe tells it
		differs string
	}{
		{pvc: `{}`, want: "1Gi standard [ReadWriteOnce]"},
		{pvc: `{"storage":null,"storageClass":null,"accessModes":null}`, want: "1Gi standard [ReadWriteOnce]"},
		// storage: digits, perhaps a fraction, perhaps a binary unit.
		{pvc: `{"storage":"10Gi"}`, want: "10Gi standard [ReadWriteOnce]"},
		{pvc: `{"storage":"1.5Gi"}`, want: "1536Mi standard [ReadWriteOnce]"},
		{pvc: `{"storage":"10"}`, want: "10 standard [ReadWriteOnce]"},
		{pvc: `{"storage":"1024Ki"}`, want: "1Mi standard [ReadWriteOnce]"},
		{pvc: `{"storage":"0010Mi"}`, want: "10Mi standard [ReadWriteOnce]"},
		{pvc: `{"storage":"0.5"}`, want: "500m standard [ReadWriteOnce]"},
		{pvc: `{"storage":"2Ti"}`, want: "2Ti standard [ReadWriteOnce]"},
		{pvc: `{"storage":"3Pi"}`, want: "3Pi standard [ReadWriteOnce]"},
		{pvc: `{"storage":"7Ei"}`, want: "7Ei standard [ReadWriteOnce]"},
		{pvc: `{"storage":"8Ei"}`, differs: `quantity "8Ei" is too large; a claim has less than 8Ei`},
		// storageClass is free, and empty is none.
		{pvc: `{"storageClass":"fast"}`, want: "1Gi fast [ReadWriteOnce]"},
		{pvc: `{"storageClass":""}`, want: "1Gi  [ReadWriteOnce]"},
		{pvc: `{"storageClass":"none-such"}`, differs: `StorageClass "none-such" does not exist`},
		// accessModes are free; what is no mode the API server refuses.
		{pvc: `{"accessModes":["ReadWriteMany"]}`, want: "1Gi standard [ReadWriteMany]"},
		{pvc: `{"accessModes":["ReadWriteOnce","ReadOnlyMany"]}`, want: "1Gi standard [ReadWriteOnce ReadOnlyMany]"},
		{pvc: `{"accessModes":["ReadWriteOncePod"]}`, want: "1Gi standard [ReadWriteOncePod]"},
		{pvc: `{"accessModes":[]}`, want: "1Gi standard [ReadWriteOnce]"},
		// The switches.
		{pvc: `{"createIfNotExists":true,"deleteOnSandboxTermination":false}`, want: "1Gi standard [ReadWriteOnce]"},
		// claimName: no dots, and up to 253 characters.
		{pvc: `{}`, name: "7", want: "1Gi standard [ReadWriteOnce]"},
		{pvc: `{"storage":"2Gi"}`, name: long, want: "2Gi standard [ReadWriteOnce]"},
	} {
		name, id := cmp.Or(test.name, fmt.Sprint("claim-", i)), fmt.Sprint("s", i)
		t.Run(test.pvc, func(t *testing.T) {
			pvc := strings.Replace(`{"claimName":"`+name+`",`+test.pvc[1:], ",}", "}", 1)
			r := request(t, `{"volumes":[{"name":"home","pvc":`+pvc+`,"mountPath":"/home"}]}`)
			if _, err := before.Begin(t.Context(), id, r); err != nil {
				t.Fatalf("the server: %v", err)
			}
			if got := world.describe(t.Context(), theirs, name); test.differs == "" && got != test.want || strings.Contains(got, "not found") {
				t.Errorf("by the server: %s, want %s", got, test.want)
			}

			r.Extensions = map[string]string{"opensandbox.extensions.volumes": "[" + pvc + "]"}
			cr, err := guided.Begin(t.Context(), id, r)
			if err != nil {
				t.Fatalf("the server: %v", err)
			}
			err = guided.controllers.BatchSandbox(t.Context(), cr)
			if test.differs != "" {
				if err == nil || !strings.Contains(err.Error(), test.differs) {
					t.Errorf("as a hint: %v, want %s", err, test.differs)
				}
			} else if got := world.describe(t.Context(), ours, name); err != nil || got != test.want {
				t.Errorf("as a hint: %s, %v, want %s", got, err, test.want)
			}
		})
	}
	// What the schema accepts and the API server refuses, both refuse.
	for i, pvc := range []string{
		`{"claimName":"zero","storage":"0"}`, `{"claimName":"zero","storage":"0.0Gi"}`,
		`{"claimName":"mode","accessModes":["ReadWriteTwice"]}`, `{"claimName":"mode","accessModes":["ReadWriteOncePod","ReadWriteMany"]}`,
		`{"claimName":"class","storageClass":"No Class"}`,
	} {
		r, id := request(t, `{"volumes":[{"name":"home","pvc":`+pvc+`,"mountPath":"/home"}]}`), fmt.Sprint("refused-", i)
		if _, err := before.Begin(t.Context(), id, r); err == nil || !strings.HasPrefix(err.Error(), "400 ") {
			t.Errorf("%s: the server answers %v", pvc, err)
		}
		r.Extensions = map[string]string{"opensandbox.extensions.volumes": "[" + pvc + "]"}
		cr, err := guided.Begin(t.Context(), id, r)
		if err != nil {
			t.Fatalf("%s: the server: %v", pvc, err)
		}
		if err := guided.controllers.BatchSandbox(t.Context(), cr); !apierrors.IsInvalid(err) {
			t.Errorf("%s as a hint: %v", pvc, err)
		}
	}
}

// Every size that the pattern accepts is one of Kubernetes' and means as much, unless it is nothing or 8Ei and more: what the guide
// says of sizes, on ten thousand of them.
func TestEverySizeOfTheSchema(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 2026))
	digits := func(most int) string {
		text := make([]byte, 1+random.IntN(most))
		for i := range text {
			text[i] = byte('0' + random.IntN(10))
		}
		return string(text)
	}
	accepted := 0
	for range 10_000 {
		size := digits(8)
		if random.IntN(2) == 0 {
			size += "." + digits(4)
		}
		size += []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}[random.IntN(7)]
		if !standin.PatternStorage.MatchString(size) {
			t.Fatalf("%q is not what the pattern accepts", size)
		}
		want, err := resource.ParseQuantity(size)
		if err != nil {
			t.Fatalf("%q: %v", size, err)
		}
		got, problem := hints.ParseStorage(size)
		out := want.Sign() == 0 || want.CmpInt64(math.MaxInt64) >= 0
		if problem != "" && !out || problem == "" && (out || got.Cmp(want) != 0) {
			t.Errorf("%q: %s %s, Kubernetes has %s", size, &got, problem, &want)
		}
		if problem == "" {
			accepted++
		}
	}
	if accepted < 5_000 {
		t.Errorf("only %d were accepted", accepted)
	}
}

// What the guide lists as accepted by one and not by the other, beyond what the API server shows above.
func TestDifferencesFromTheSchema(t *testing.T) {
	t.Parallel()
	for list, fault := range map[string]string{
		`[{"claimName":"home","createIfNotExists":1}]`:      `invalid boolean "1"`,
		`[{"claimName":"home","createIfNotExists":"yes"}]`:  `invalid boolean "yes"`,
		`[{"claim_name":"home"}]`:                           "claimName is missing",
		`[{"claimName":"home","storage_class":"fast"}]`:     `unknown field "storage_class"`,
		`[{"claimName":"home"},{"claimName":"home"}]`:       "home",
		`[{"claimName":"home","storage":"10G"}]`:            "",
		`[{"claimName":"home","storage":"1e3"}]`:            "",
		`[{"claimName":"home","accessModes":["RWX"]}]`:      "",
		`[{"claimName":"home","createIfNotExists":"true"}]`: "",
	} {
		read := hints.Read(hints.Object{Kind: hints.Pod, Annotations: map[string]string{extensions: list}}, []string{"home"})
		want := hints.Resolve("home", resource.MustParse("1Gi"), &read)
		if fault == "" && len(want.Faults) > 0 || fault != "" && (len(want.Faults) == 0 || !strings.Contains(fmt.Sprint(want.Faults), fault)) {
			t.Errorf("%s: faults %v, want %q", list, want.Faults, fault)
		}
	}
	if problem := hints.CheckName("alice.home"); problem != "" {
		t.Errorf("a name with a dot: %s", problem)
	}
}
