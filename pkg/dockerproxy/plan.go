package dockerproxy

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// Labels of a volume that was made by the companion, beside the reserved ones of
// package claim: what its class and its size are, since the engine does not say.
const (
	keyManagedBy  = "app.kubernetes.io/managed-by"
	managedBy     = "ensure-volumes"
	keyStorage    = claim.Domain + "/storage"
	keyClass      = claim.Domain + "/storageClass"
	keyCreated    = claim.KeyCreated
	keyDeleteLast = claim.KeyDeleteWithOwner
)

// refusedMissing is the status where the safety switch is off. The docker CLI
// takes any 404 of a create for a missing image and tries to pull it first.
const refusedMissing = http.StatusNotFound

// refusal is an answer in place of the engine's.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string { return r.text }

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// plan is what becomes of the volumes of one create.
type plan struct {
	volumeOnly bool            // a volume's create, not a container's
	label      string          // then: of its creation, if we gave it one
	names      []string        // the volumes, each once
	missing    []string        // those of them that did not exist
	specs      map[string]spec // those to write as Mounts
	warnings   []string
	// exclusive are volumes that may have to go with their last container.
	exclusive []string
}

// judge decides on every volume of the body. found are those that exist. forName
// is the container's name, or empty. It is pure but for the clock, which comes in.
func (c *Config) judge(b *createBody, found map[string]*volume, forName string, now time.Time) (*plan, *refusal) {
	names := b.names()
	hints := claim.Read(claim.Object{Kind: claim.Container, Labels: b.labels}, names)
	p := &plan{names: names, specs: map[string]spec{}, warnings: hints.Warnings}
	var problems []string // of missing volumes, each once
	for _, name := range names {
		w := claim.Resolve(name, c.DefaultStorage, &hints)
		if v := found[name]; v != nil {
			c.existing(p, b, w, v, forName, now)
			continue
		}
		if !c.AutoCreate {
			return nil, refuse(refusedMissing, "volume %s does not exist, and the companion is switched off (volumeAutoCreate: false); create it first", claim.Quote(name, 64))
		}
		p.missing = append(p.missing, name)
		for _, problem := range c.missing(p, b, w, forName, now) {
			if !slices.Contains(problems, problem) {
				problems = append(problems, problem)
			}
		}
	}
	if len(problems) > 0 {
		return nil, refuse(http.StatusBadRequest, "%s", strings.Join(problems, "; "))
	}
	return p, nil
}

// missing writes the spec of a volume to be made, or returns why it must not be.
func (c *Config) missing(p *plan, b *createBody, w claim.Want, forName string, now time.Time) (problems []string) {
	quoted := claim.Quote(w.Name, 64)
	for _, f := range w.Faults {
		problems = append(problems, f.Error())
	}
	if len(problems) > 0 {
		return problems
	}
	if !w.CreateIfNotExists.Value {
		return []string{fmt.Sprintf("%s: volume %s does not exist and must not be created; create it first", w.CreateIfNotExists.From, quoted)}
	}
	class, className, problem := c.class(w)
	if problem != "" {
		where := "defaultClass"
		if w.StorageClass.Hinted() {
			where = w.StorageClass.From.String()
		}
		return []string{where + ": " + problem}
	}
	s := spec{Driver: class.Driver, Options: class.options(w.Storage.Value)}
	for _, u := range b.uses {
		if u.name == w.Name && u.bind != nil && u.bind.unsayable != "" {
			problems = append(problems, fmt.Sprintf("HostConfig.Binds[%d]: volume %s does not exist and cannot be created with mode %s; create it first, or leave the mode out",
				u.index, quoted, claim.Quote(u.bind.unsayable, 64)))
			break // told once a volume
		}
	}
	if driver, own := b.ownDriver(w, class); own {
		if w.StorageClass.Hinted() {
			problems = append(problems, fmt.Sprintf("%s: volume %s is given a driver as well; give a class or a driver, not both", w.StorageClass.From, quoted))
		}
		class, className = Class{}, ""
		s.Driver, s.Options = driver, nil
	}
	if w.Storage.Hinted() && !class.sized() {
		p.warnings = append(p.warnings, fmt.Sprintf("volume %s: storage %s is not enforced%s", quoted, w.Storage.Value.String(), because(className)))
	}
	s.Labels = c.labels(class, className, w, forName, now)
	p.specs[w.Name] = s
	if w.DeleteOnSandboxTermination.Value {
		p.exclusive = append(p.exclusive, w.Name)
	}
	return problems
}

// ownDriver reports whether the caller gives the volume a driver or its options,
// so that no class does. driver is the one for Binds, if that is given.
func (b *createBody) ownDriver(w claim.Want, class Class) (driver string, own bool) {
	for _, u := range b.uses {
		switch {
		case u.name != w.Name:
		case u.bind != nil && b.volumeDriver != "" && (!w.StorageClass.Hinted() || b.volumeDriver != class.Driver):
			driver, own = b.volumeDriver, true
		case u.mount != nil && u.mount.configured():
			// What a client has from an inspect of the like, which we have written, is no choice of its own.
			own = own || u.mount.driver.Name != class.Driver || !maps.Equal(u.mount.driver.Options, class.options(w.Storage.Value))
		}
	}
	return driver, own
}

func because(class string) string {
	if class == "" {
		return ": it has no class"
	}
	return ": class " + claim.Quote(class, 64) + " takes no size"
}

// labels are those of a volume made by us.
func (c *Config) labels(class Class, className string, w claim.Want, forName string, now time.Time) map[string]string {
	labels := maps.Clone(class.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[keyManagedBy] = managedBy
	labels[keyCreated] = now.UTC().Format(time.RFC3339Nano)
	if w.Storage.Hinted() || class.sized() {
		labels[keyStorage] = w.Storage.Value.String()
	}
	if className != "" {
		labels[keyClass] = className
	}
	if forName != "" {
		labels[claim.KeyCreatedFor] = forName
	}
	if w.DeleteOnSandboxTermination.Value {
		labels[keyDeleteLast] = "true"
	}
	return labels
}
