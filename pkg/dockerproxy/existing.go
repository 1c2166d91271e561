package dockerproxy

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// existing warns of what the volume does not satisfy, and writes it as a Mount
// with what its hints would give, but with its own driver or the caller's, so that a removal
// between this look and the engine's cannot make it bare.
func (c *Config) existing(p *plan, b *createBody, w claim.Want, v *volume, forName string, now time.Time) {
	for _, f := range w.Faults {
		p.warnings = append(p.warnings, fmt.Sprintf("volume %s exists, a faulty hint has no effect: %s", claim.Quote(w.Name, 64), f.Error()))
	}
	p.warnings = append(p.warnings, drift(w, v)...)
	// The hint counts too: the volume may be made anew, with its labels, before the engine looks.
	if v.exclusive || w.DeleteOnSandboxTermination.Value {
		p.exclusive = append(p.exclusive, w.Name)
	}
	if !w.CreateIfNotExists.Value || !c.AutoCreate {
		return // it must not come into being by our doing
	}
	class, className, problem := c.class(w)
	_, own := b.ownDriver(w, class)
	s := spec{Driver: v.Driver}
	if b.volumeDriver != "" && slices.ContainsFunc(b.uses, func(u use) bool { return u.name == w.Name && u.bind != nil }) {
		s.Driver = b.volumeDriver // where it is another, the engine says that they conflict
	}
	if problem == "" && !own && class.Driver == s.Driver {
		s.Options = class.options(w.Storage.Value)
	} else {
		class, className = Class{}, ""
	}
	s.Labels = c.labels(class, className, w, forName, now)
	p.specs[w.Name] = s
}

// marked reports whether the labels of a volume, which may be nil, say that a
// companion made it to go with its last container. A copy has them too.
func (v *volume) marked() bool {
	return v != nil && v.Labels[keyManagedBy] == managedBy && v.Labels[keyCreated] != "" && v.Labels[keyDeleteLast] == "true"
}

// drift are the warnings for a volume that does not satisfy its hints. Access
// modes mean nothing here; a larger volume satisfies.
func drift(w claim.Want, v *volume) []string {
	var warnings []string
	differs := func(field, asked, has string) {
		warnings = append(warnings, claim.Warning("volume ", w.Name, " exists: "+field+" "+asked+" asked, it has "+has))
	}
	labels := v.Labels
	if labels[keyManagedBy] != managedBy {
		labels = nil // they say what somebody else means
	}
	if w.Storage.Hinted() {
		has, err := resource.ParseQuantity(labels[keyStorage])
		switch {
		case err != nil:
			differs("storage", w.Storage.Value.String(), "no size")
		case w.Storage.Value.Cmp(has) > 0:
			differs("storage", w.Storage.Value.String(), has.String())
		}
	}
	if class := labels[keyClass]; w.StorageClass.Hinted() && w.StorageClass.Value != class {
		differs("storageClass", claim.Quote(w.StorageClass.Value, 24), claim.Quote(class, 24))
	}
	if w.DeleteOnSandboxTermination.Hinted() && w.DeleteOnSandboxTermination.Value != v.exclusive {
		differs("deleteOnSandboxTermination", strconv.FormatBool(w.DeleteOnSandboxTermination.Value), strconv.FormatBool(v.exclusive))
	}
	return warnings
}
