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

// pvcCase is an object that OpenSandbox's schema accepts, as a request's pvc and as a hint.
type pvcCase struct {
	pvc     string // without the claimName
	name    string // of the claim; "": some name
	want    string // the server's claim as describe tells it, and the webhook's where nothing differs
	same    string // the webhook's, where it writes the same otherwise
	row     string // the guide's, which lists the difference; "": none
	differs string // what the hint is refused with
}

// pvcCases are every field of the model, with what its pattern and its types let through.
func pvcCases() []pvcCase {
	const plain = "1Gi standard [ReadWriteOnce]"
	return []pvcCase{
		{pvc: `{}`, want: plain},
		{pvc: `{"storage":null,"storageClass":null,"accessModes":null}`, want: plain},
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
		{pvc: `{"storage":"8Ei"}`, want: "9223372036854775807 standard [ReadWriteOnce]", row: rowTooLarge,
			differs: `quantity "8Ei" is too large; a claim has less than 8Ei`},
		// storageClass is free, and empty is none.
		{pvc: `{"storageClass":"fast"}`, want: "1Gi fast [ReadWriteOnce]"},
		{pvc: `{"storageClass":""}`, want: "1Gi  [ReadWriteOnce]"},
		{pvc: `{"storageClass":"none-such"}`, want: "1Gi none-such [ReadWriteOnce]", row: rowNoClass,
			differs: `StorageClass "none-such" does not exist`},
		// accessModes are free; what is no mode the API server refuses.
		{pvc: `{"accessModes":["ReadWriteMany"]}`, want: "1Gi standard [ReadWriteMany]"},
		{pvc: `{"accessModes":["ReadWriteOnce","ReadOnlyMany"]}`, want: "1Gi standard [ReadWriteOnce ReadOnlyMany]"},
		{pvc: `{"accessModes":["ReadWriteOncePod"]}`, want: "1Gi standard [ReadWriteOncePod]"},
		{pvc: `{"accessModes":["ReadOnlyMany"]}`, want: "1Gi standard [ReadOnlyMany]"},
		{pvc: `{"accessModes":["ReadWriteMany","ReadWriteMany"]}`, want: "1Gi standard [ReadWriteMany ReadWriteMany]", same: "1Gi standard [ReadWriteMany]"},
		{pvc: `{"accessModes":[]}`, want: plain},
		// The switches: booleans, and what pydantic takes for one.
		{pvc: `{"createIfNotExists":true,"deleteOnSandboxTermination":false}`, want: plain},
		{pvc: `{"createIfNotExists":"true","deleteOnSandboxTermination":"false"}`, want: plain},
		{pvc: `{"createIfNotExists":"True"}`, want: plain, row: rowBooleans, differs: `invalid boolean "True"`},
		{pvc: `{"createIfNotExists":1.0}`, want: plain, row: rowBooleans, differs: `invalid boolean "1.0"`},
		{pvc: `{"createIfNotExists":"t"}`, want: plain, row: rowBooleans, differs: `invalid boolean "t"`},
		{pvc: `{"deleteOnSandboxTermination":0}`, want: plain, row: rowBooleans, differs: `invalid boolean "0"`},
		{pvc: `{"createIfNotExists":1}`, want: plain, row: rowBooleans, differs: `invalid boolean "1"`},
		{pvc: `{"createIfNotExists":"1"}`, want: plain, row: rowBooleans, differs: `invalid boolean "1"`},
		{pvc: `{"createIfNotExists":"yes"}`, want: plain, row: rowBooleans, differs: `invalid boolean "yes"`},
		{pvc: `{"deleteOnSandboxTermination":"OFF"}`, want: plain, row: rowBooleans, differs: `invalid boolean "OFF"`},
		// claimName: no dots, and up to 253 characters.
		{pvc: `{}`, name: "7", want: plain},
		{pvc: `{"storage":"2Gi"}`, name: strings.Repeat("a", 253), want: "2Gi standard [ReadWriteOnce]"},
		// The names of the fields.
		{pvc: `{"storage_class":"fast"}`, want: "1Gi fast [ReadWriteOnce]", row: rowSnake, differs: `unknown field "storage_class"`},
		{pvc: `{"access_modes":["ReadWriteMany"]}`, want: "1Gi standard [ReadWriteMany]", row: rowSnake, differs: `unknown field "access_modes"`},
		{pvc: `{"create_if_not_exists":true}`, want: plain, row: rowSnake, differs: `unknown field "create_if_not_exists"`},
		{pvc: `{"delete_on_sandbox_termination":false}`, want: plain, row: rowSnake, differs: `unknown field "delete_on_sandbox_termination"`},
		{pvc: `{"claim_name":"by-name"}`, name: "by-name", want: plain, row: rowSnake, differs: `claimName is missing`},
		{pvc: `{"colour":"red"}`, want: plain, row: rowUnknown, differs: `unknown field "colour"`},
	}
}

// OpenSandbox's PVC model as a table: what its server makes of a value that the schema accepts, and what the webhook makes of the
// same object as a hint, are the same claim, unless the guide lists the difference.
func TestTheSchemaOfPVC(t *testing.T) {
	t.Parallel()
	ours, theirs := world.namespace(t), world.quiet(t)
	guided, before := world.opensandbox(t, ours, false, asGuided), world.opensandbox(t, theirs, false, asInstalled)
	for i, test := range pvcCases() {
		name, id := cmp.Or(test.name, fmt.Sprint("claim-", i)), fmt.Sprint("s", i)
		t.Run(test.pvc, func(t *testing.T) {
			pvc := test.pvc
			if !strings.Contains(pvc, "claim_name") {
				pvc = strings.Replace(`{"claimName":"`+name+`",`+pvc[1:], ",}", "}", 1)
			}
			r := request(t, `{"volumes":[{"name":"home","pvc":`+pvc+`,"mountPath":"/home"}]}`)
			if _, err := before.Begin(t.Context(), id, r); err != nil {
				t.Fatalf("the server: %v", err)
			}
			if got := world.describe(t.Context(), theirs, name); got != test.want {
				t.Errorf("by the server: %s, want %s", got, test.want)
			}

			r.Extensions = map[string]string{"opensandbox.extensions.volumes": "[" + pvc + "]"}
			cr, err := guided.Begin(t.Context(), id, r)
			if err != nil {
				t.Fatalf("the server: %v", err)
			}
			err = guided.controllers.BatchSandbox(t.Context(), cr)
			if test.row != "" {
				if err == nil || test.differs == "" || !strings.Contains(err.Error(), test.differs) {
					t.Errorf("as a hint: %v, want %s", err, test.differs)
				}
			} else if got, want := world.describe(t.Context(), ours, name), cmp.Or(test.same, test.want); err != nil || got != want {
				t.Errorf("as a hint: %s, %v, want %s", got, err, want)
			}
		})
	}
	// What the schema accepts and the API server refuses, both refuse.
	for i, pvc := range []string{
		`{"claimName":"zero","storage":"0"}`, `{"claimName":"zero","storage":"0.0Gi"}`, `{"claimName":"digits","storage":"\u0661Gi"}`,
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
