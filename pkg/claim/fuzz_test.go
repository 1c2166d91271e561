package claim_test

import (
	"maps"
	"reflect"
	"strconv"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// FuzzRead holds for whatever hints: reading them does not panic; the same hints
// give the same answer; what is wrong has a path and can be printed; what is
// accepted could be a claim's, and written as hints again it says the same. That
// the API server accepts it as well, test/integration samples.
func FuzzRead(f *testing.F) {
	f.Add("volumes.opensandbox.io/storage", "10Gi", "home.volumes.opensandbox.io/accessModes", "RWO_ROX",
		`[{"claimName":"home","storage":"10Gi","storageClass":null,"createIfNotExists":false}]`)
	f.Add("home.volumes.opensandbox.io/storageClass", "", "volumes.opensandbox.io/storageClassName", "fast",
		"- claimName: home\n  accessModes: [RWOP]\n  deleteOnSandboxTermination: true\n")
	f.Add("other.volumes.opensandbox.io/strage", "\x1b[2J", "volumes.opensandbox.io/created", "home", "[{}, null, 7]")
	f.Add("home.Volumes.opensandbox.io/storage", "1e99Gi", "opensandbox.io/extensions.volumes", "- &a {claimName: home}\n- *a",
		`[{"claimName":"home","a":1,"a":[[[[]]]]}] x`)
	f.Add("volumes.opensandbox.io/createIfNotExists", "true", "volumes.opensandbox.io/claimName", "home", "--- !!binary x\n...")

	f.Fuzz(func(t *testing.T, key1, value1, key2, value2, text string) {
		hints := keys{key1: value1, key2: value2}
		annotations := maps.Clone(hints)
		annotations[list] = text
		objects := []claim.Object{
			{Kind: claim.Pod, Annotations: annotations, Labels: hints},
			{Kind: claim.Owner, Name: `Sandbox "sb1"`, Annotations: annotations, Labels: hints},
			{Kind: claim.Namespace, Name: "team", Annotations: annotations},
			{Kind: claim.Container, Labels: annotations},
		}
		for _, objects := range [][]claim.Object{objects[:1], objects[:3], objects[2:3], objects[3:]} {
			layers, warnings := read(objects, "home", "data")
			same, sameWarnings := read(objects, "home", "data")
			if !reflect.DeepEqual(layers, same) || !reflect.DeepEqual(warnings, sameWarnings) {
				t.Errorf("read twice: %v, then %v", warnings, sameWarnings)
			}
			for _, w := range warnings {
				if w == "" || !printable(w) {
					t.Errorf("warning %+q is not safe to print", w)
				}
			}
			for _, name := range []string{"home", "data"} {
				want := claim.Resolve(name, fallback(), layers...)
				if again := claim.Resolve(name, fallback(), layers...); !reflect.DeepEqual(want, again) {
					t.Errorf("resolved twice: %+v, then %+v", want, again)
				}
				for _, fault := range want.Faults {
					checkFault(t, fault, name)
				}
				checkAccepted(t, want)
				checkWrittenAgain(t, want)
			}
		}
	})
}

// checkAccepted holds that the values could be a claim's, and that what is not
// hinted is the fallback.
func checkAccepted(t *testing.T, w claim.Want) {
	t.Helper()
	if w.Storage.Value.Sign() <= 0 {
		t.Errorf("storage is %s", w.Storage.Value.String())
	}
	if m := w.AccessModes.Value; len(m.Names()) == 0 || m.Missing(claim.ReadWriteOncePod) != 0 && claim.ReadWriteOncePod.Missing(m) == 0 {
		t.Errorf("access modes are %q", m)
	}
	if class := w.StorageClass.Value; class != "" && claim.CheckName(class) != "" {
		t.Errorf("the class is %q", class)
	}
	describe(t, w)
}

// checkWrittenAgain holds that the values, written as flat hints, are read as the same values.
func checkWrittenAgain(t *testing.T, w claim.Want) {
	t.Helper()
	hints := keys{}
	write := func(hinted bool, field, value string) {
		if hinted {
			hints[every+field] = value
		}
	}
	write(w.Storage.Hinted(), "storage", w.Storage.Value.String())
	write(w.StorageClass.Hinted(), "storageClass", w.StorageClass.Value)
	write(w.AccessModes.Hinted(), "accessModes", w.AccessModes.Value.String())
	write(w.CreateIfNotExists.Hinted(), "createIfNotExists", strconv.FormatBool(w.CreateIfNotExists.Value))
	write(w.DeleteOnSandboxTermination.Hinted(), "deleteOnSandboxTermination", strconv.FormatBool(w.DeleteOnSandboxTermination.Value))
	layers, warnings := read([]claim.Object{{Kind: claim.Pod, Annotations: hints}}, w.Name)
	again := claim.Resolve(w.Name, fallback(), layers...)
	if got, want := describe(t, again), describe(t, w); got != want || len(again.Faults) > 0 || len(warnings) > 0 {
		t.Errorf("%s, written as %q, is read as %s with faults %q and warnings %q", want, hints, got, again.Faults, warnings)
	}
}
