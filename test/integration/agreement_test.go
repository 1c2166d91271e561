package integration

import (
	"context"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// narrower are the values that the API server takes of a claim and we do not of
// a hint, by field, with the reason.
var narrower = map[string]map[string]string{
	"storage": {
		"9223372036854775807": cut,
		"9223372036854775808": cut,
		"8Ei":                 cut,
		"1e99":                cut,
		"10Gi ":               "JSON's reader trims it; a hint is taken to the letter, as everywhere else",
	},
}

const cut = "what does not fit is silently cut to this size: nobody could tell whether it was meant"

// What we take the API server takes, and what it takes we take, but for what is
// listed: a hint is refused in its own words, and never for less than a claim
// would be. Not parallel: it needs a webhook that lets any class pass.
func TestHintsAgreeWithTheAPIServer(t *testing.T) {
	world.restart(t, "--missing-storage-class=off")
	ns := world.namespace(t)
	author := world.author(t)
	for field, values := range map[string][]string{
		"storage": {
			"1", "1k", "1Ki", "1500M", "10Gi", "1024Mi", "1.5Gi", ".5Gi", "0.1", "100m", "1u", "1n", "1e9", "2E3", "9E", "7Ei", "8Ei",
			"9223372036854775806", "9223372036854775807", "9223372036854775808", "0", "0Gi", "-1", "-1Gi", "1e99", "1e-99", "", "10 GB", "10Gi ",
			"10gi", "0x10", "+1Gi", "1.Gi", "1e", "ten",
		},
		"storageClass": {
			"", "a", "fast", "fast.ssd-1.example.com", "1", "1.2", strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 253),
			strings.Repeat("a", 254), "Fast", "fast_ssd", "fast ssd", "-fast", "fast-", "fast.", ".fast", "fast..ssd", "fast/ssd", "fást", "fast\n",
		},
		"accessModes": {
			"RWO", "ROX", "RWX", "RWOP", "RWO,ROX", "RWO,RWX", "ROX,RWX", "RWO,ROX,RWX", "ReadWriteOncePod", "ReadWriteOnce_ReadOnlyMany",
			"RWO,RWO", "RWOP,RWOP", "RWOP,RWO", "RWX,RWOP", "RWO,ROX,RWX,RWOP", "", "rwo", "RWO,", "ReadWriteTwice",
		},
	} {
		accepted := 0
		for _, value := range values {
			err := author.Create(t.Context(), hinted(pod(ns, "sb1", "data"), field, value), client.DryRunAll)
			taken := world.byHand(t.Context(), ns, field, value)
			reason, listed := narrower[field][value]
			switch {
			case err == nil && taken != nil:
				t.Errorf("%s %q: we take it, and the API server does not: %v", field, value, taken)
			case err != nil && taken == nil && !listed:
				t.Errorf("%s %q: the API server takes it, and we do not: %v", field, value, err)
			case listed && (err == nil || taken != nil):
				t.Errorf("%s %q is listed (%s), and we say %v, the API server %v", field, value, reason, err, taken)
			}
			if err == nil {
				accepted++
				continue
			}
			s := status(t, err)
			if s.Code != 422 || len(s.Details.Causes) == 0 || slices.ContainsFunc(s.Details.Causes, func(c metav1.StatusCause) bool {
				return !strings.HasPrefix(c.Field, "metadata.annotations[volumes.opensandbox.io/"+field+"]")
			}) {
				t.Errorf("%s %q: %d %s (the API server says of a claim: %v)", field, value, s.Code, s.Message, taken)
			}
		}
		if accepted == 0 || accepted == len(values) {
			t.Errorf("%s: %d of %d were accepted", field, accepted, len(values))
		}
	}
	for _, name := range []string{
		"a", "1", "data.home", strings.Repeat("a", 253), strings.Repeat("a", 254), "Data", "data_home", "-data", "data-", "data..home", "data/home", "dáta", "..",
	} {
		err := author.Create(t.Context(), pod(ns, "sb1", name), client.DryRunAll)
		taken := world.admin.Create(t.Context(), claim(ns, name, "1Gi"), client.DryRunAll)
		if (err == nil) != (taken == nil) {
			t.Errorf("a pod with a claim named %q: %v; the claim: %v", name, err, taken)
		}
		if err == nil {
			continue
		}
		if s := status(t, err); s.Code != 422 || len(s.Details.Causes) == 0 || s.Details.Causes[0].Field != "spec.volumes[0].persistentVolumeClaim.claimName" {
			t.Errorf("a claim named %q: %d %s", name, s.Code, s.Message)
		}
	}
	world.wantNothingLeft(t, ns)
}

// byHand is what the API server says of the claim that somebody would write who
// means a hint's value by hand. It reads the value itself: no Go type does before.
func (g *ground) byHand(ctx context.Context, ns, field, value string) error {
	modes, size := []any{"ReadWriteOnce"}, "1Gi"
	spec := map[string]any{}
	switch field {
	case "storage":
		size = value
	case "storageClass":
		spec["storageClassName"] = value
	case "accessModes":
		long := map[string]string{"RWO": "ReadWriteOnce", "ROX": "ReadOnlyMany", "RWX": "ReadWriteMany", "RWOP": "ReadWriteOncePod"}
		modes = nil
		for mode := range strings.SplitSeq(strings.ReplaceAll(value, "_", ","), ",") {
			if name, short := long[mode]; short {
				mode = name
			}
			modes = append(modes, mode)
		}
	}
	spec["accessModes"] = modes
	spec["resources"] = map[string]any{"requests": map[string]any{"storage": size}}
	return g.admin.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "PersistentVolumeClaim",
		"metadata": map[string]any{"namespace": ns, "name": "data"},
		"spec":     spec,
	}}, client.DryRunAll)
}
