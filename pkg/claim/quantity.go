package claim

import (
	"math"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// ParseStorage reads a size: a Kubernetes quantity in bytes, greater than zero
// and less than 8Ei. problem is empty where it is well, otherwise text for a
// person, the value quoted and the fix.
func ParseStorage(s string) (q resource.Quantity, problem string) {
	if e := strings.IndexAny(s, "eE"); len(s) > 64 || e >= 0 && len(s)-e > len("e+999") {
		// The parser works numbers out to their last digit: "1e99999999" would take it a minute.
		return q, "invalid quantity " + Quote(s, 64) + `; ` + writeAs("")
	}
	q, err := resource.ParseQuantity(s)
	switch {
	case err != nil:
		return q, "invalid quantity " + Quote(s, 64) + "; " + writeAs(s)
	case q.Sign() <= 0:
		return resource.Quantity{}, "quantity " + Quote(s, 64) + ` is not greater than zero; ` + writeAs("")
	case q.CmpInt64(math.MaxInt64) >= 0:
		// The parser caps what it cannot hold, so the number would not be the caller's.
		return resource.Quantity{}, "quantity " + Quote(s, 64) + ` is too large; a claim has less than 8Ei`
	}
	// Forget the spelling ("+5Gi"), so that the API server stores the usual one.
	q.Add(resource.Quantity{})
	return q, ""
}

// writeAs suggests what was probably meant, or an example.
func writeAs(s string) string {
	digits := strings.TrimSpace(s)
	cut := strings.IndexFunc(digits, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if cut > 0 {
		unit := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(strings.TrimSpace(digits[cut:])), "B"), "I")
		if len(unit) == 1 && strings.Contains("KMGTPE", unit) {
			guess := digits[:cut] + unit + "i"
			if q, err := resource.ParseQuantity(guess); err == nil && q.Sign() > 0 {
				return `write it as "` + guess + `"`
			}
		}
	}
	return `write it like "10Gi"`
}
