package claim

import (
	"errors"
	"slices"
	"strconv"
)

// Kind says what an object is, and so which of its keys are read.
type Kind uint8

// The objects that hints are read from.
const (
	// Pod: annotations and labels; the structured list in annotations.
	Pod Kind = iota
	// Owner is a pod's controller; read like a pod.
	Owner
	// Namespace: annotations only, and of these only pod-wide fields. Other
	// keys of ours are warnings, faulty values are faults where they would be used.
	Namespace
	// Container is Docker's: labels only, the structured list among them.
	Container
)

// Object is what hints are read from.
type Object struct {
	Kind Kind
	// Name is a Namespace's name, or how messages name an owner: `BatchSandbox "sb1"`.
	Name        string
	Annotations map[string]string
	Labels      map[string]string
}

// Hints are the hints of one object. The zero value has none. Hints are not
// changed after [Read] and may be shared.
type Hints struct {
	scopes []*scope
	faults []*Fault
	// Warnings are for the person who wrote the hints: hints for claims that
	// are not used, keys of a Namespace that are not read.
	Warnings []string
}

// scope is what one object says of one claim, or of every claim where it names
// none: two ranks, annotations before labels.
type scope struct {
	claim string
	ranks [2]values
}

// scope is nil where nothing is said.
func (h *Hints) scope(claim string) *scope {
	for _, s := range h.scopes {
		if s.claim == claim {
			return s
		}
	}
	return nil
}

const (
	annotations = iota
	labels
)

// Read reads the hints of one object for a pod (or container) that uses the
// named claims. It never fails: what is wrong becomes faults, which [Resolve]
// hands out for the claims that they concern, and warnings.
func Read(o Object, used []string) Hints {
	r := reader{object: o, used: used}
	switch o.Kind {
	case Pod, Owner:
		r.read(annotations, "metadata.annotations", o.Annotations)
		r.read(labels, "metadata.labels", o.Labels)
	case Namespace:
		r.read(annotations, "metadata.annotations", o.Annotations)
	case Container:
		r.read(annotations, "Labels", o.Labels)
	}
	return r.hints
}

// maxFaults is how many faults of one object are told: more than a person reads,
// and few enough that garbage cannot fill the memory.
const maxFaults = 100

// maxList is how long a structured list may be, in bytes: several times what 64
// claims need. A parser's tree is a thousand times larger than its text.
const maxList = 64 << 10

type reader struct {
	object Object
	used   []string
	unused map[string]bool // claims already warned of
	hints  Hints
}

// read goes through one map in the order of its keys, so that the same object
// always gives the same faults in the same order.
func (r *reader) read(rank int, path string, m map[string]string) {
	keys, size := make([]string, 0, 16), 0
	for k, v := range m {
		if Concerns(k) {
			keys = append(keys, k)
			size += len(k) + len(v)
		}
	}
	if len(keys) == 0 {
		return
	}
	object := r.object.Name
	if r.object.Kind == Namespace {
		object = "Namespace " + Quote(object, 63)
	}
	if size > MaxHints {
		if object != "" {
			path = object + ": " + path
		}
		r.fault(&Fault{Path: path, Text: "the hints are longer than 256 KiB together; write only those of claims that are used, " + strconv.Itoa(MaxClaims) + " at most"})
		return
	}
	slices.Sort(keys)
	for _, k := range keys {
		r.key(rank, k, m[k], Origin{object: object, list: path, key: k})
	}
}

func (r *reader) key(rank int, name, value string, from Origin) {
	namespace := r.object.Kind == Namespace
	lists := rank == annotations && !namespace
	if name == KeyExtensions {
		if lists {
			r.list(value, from)
		}
		return
	}
	k, _ := parseKey(name)
	switch {
	case reserved(k.name) && k.exact:
	case namespace && (k.scope != "" || !k.exact || !flat(k.name)):
		r.warn(Warning("Namespace annotation ", name, " is no pod-wide hint; it is not read"))
	case len(k.scope) > maxScope:
		r.fault(from.fault(k.scope, "the claim's name is too long for a key; put its hints into \""+KeyClaims+"\""))
	case !k.exact:
		r.fault(from.fault(k.scope, "unknown key; write its domain as \""+Domain+"\""))
	case k.name == nameClaims && k.scope == "" && lists:
		r.list(value, from)
	case k.name == nameClaims && k.scope == "":
		r.fault(from.fault("", "a label cannot hold the list of claims; write it as an annotation"))
	case k.name == nameClaims:
		r.fault(from.fault(k.scope, "the list of claims has no scope; write it as \""+KeyClaims+"\""))
	case k.name == fieldClaimName:
		r.fault(from.fault(k.scope, "claimName is no key; put the claim's name before the domain: \"NAME."+Domain+"/storage\""))
	case k.scope == "":
		f := r.values("", rank).set(k.name, "", node{kind: text, text: value}, from)
		if !namespace {
			r.fault(f)
		}
	case r.uses(k.scope):
		r.fault(r.values(k.scope, rank).set(k.name, k.scope, node{kind: text, text: value}, from))
	}
}

// flat reports whether name is a field that has a flat key.
func flat(name string) bool {
	switch name {
	case fieldStorage, fieldStorageClass, fieldStorageClassName, fieldAccessModes, fieldCreateIfNotExists, fieldDelete:
		return true
	}
	return false
}

const writeList = `write it like [{"claimName":"home","storage":"10Gi"}]`

// problem is why a document cannot be read, and what to do.
func problem(err error) string {
	var f *structureError
	if errors.As(err, &f) {
		return f.text // ours: printable, with the fix
	}
	return Printable(err.Error(), 200) + "; " + writeList
}

// list reads a structured list.
func (r *reader) list(s string, from Origin) {
	if len(s) > maxList {
		r.fault(from.fault("", Quote(s, 64)+" is longer than 64 KiB; list only the claims that are used, "+strconv.Itoa(MaxClaims)+" at most"))
		return
	}
	doc, err := parseNode(s)
	switch {
	case err != nil:
		r.fault(from.fault("", Quote(s, 64)+" cannot be read: "+problem(err)))
		return
	case doc.kind == null:
		return
	case doc.kind != list:
		r.fault(from.fault("", Quote(s, 64)+" is "+doc.kind.String()+", not a list; "+writeList))
		return
	}
	seen := map[string]bool{}
	for i, item := range doc.items {
		if item.kind == null {
			continue
		}
		name, f := claimName(item, from.at(i, ""))
		if f == nil && seen[name] {
			f = from.at(i, fieldClaimName).fault(name, "claim "+Quote(name, 64)+" is listed twice; list it once")
		}
		if f != nil {
			r.fault(f)
			continue
		}
		seen[name] = true
		if r.uses(name) {
			r.item(name, item, from, i)
		}
	}
}

// claimName reads which claim an item is about. Where that cannot be told the
// fault concerns every claim.
func claimName(item node, from Origin) (string, *Fault) {
	if item.kind != object {
		return "", from.fault("", "it is "+item.kind.String()+"; it must be an object with a claimName")
	}
	i := slices.Index(item.keys, fieldClaimName)
	if i < 0 || item.items[i].kind == null {
		return "", from.fault("", "claimName is missing; say which claim this is about")
	}
	from.field = fieldClaimName
	n := item.items[i]
	if n.kind != text {
		return "", from.fault("", mustBe("a string", n))
	}
	if n.text == "" {
		return "", from.fault("", "claimName is empty; say which claim this is about")
	}
	return n.text, nil
}

func (r *reader) item(name string, item node, from Origin, i int) {
	for j, field := range item.keys {
		n := item.items[j]
		switch {
		case field == fieldClaimName, n.kind == null && flat(field):
			continue
		case field == fieldAccessModes && n.kind == list && len(n.items) == 0:
			continue // OpenSandbox's API sends an empty list for "not given"
		}
		r.fault(r.values(name, annotations).set(field, name, n, from.at(i, field)))
	}
}

// values are those of a scope, which is made where there is none yet.
func (r *reader) values(claim string, rank int) *values {
	s := r.hints.scope(claim)
	if s == nil {
		s = &scope{claim: claim}
		if r.hints.scopes == nil {
			r.hints.scopes = make([]*scope, 0, 4)
		}
		r.hints.scopes = append(r.hints.scopes, s)
	}
	return &s.ranks[rank]
}

// fault keeps a fault, or warns where it concerns a claim that is not used.
func (r *reader) fault(f *Fault) {
	if f == nil || f.Claim != "" && !r.uses(f.Claim) {
		return
	}
	switch n := len(r.hints.faults); {
	case n == maxFaults:
		// For every claim, since it is not known whom the faults left out concern.
		f = &Fault{Path: f.Path, Text: strconv.Itoa(maxFaults) + " faults before this one; correct those first"}
	case n > maxFaults:
		return
	}
	r.hints.faults = append(r.hints.faults, f)
}

// uses reports whether the claim is used, and warns once where it is not.
func (r *reader) uses(name string) bool {
	if slices.Contains(r.used, name) {
		return true
	}
	if !r.unused[name] {
		if r.unused == nil {
			r.unused = map[string]bool{}
		}
		r.unused[name] = true
		r.warn(Warning("hints for claim ", name, " have no effect: it is not used"))
	}
	return false
}

func (r *reader) warn(text string) { r.hints.Warnings = append(r.hints.Warnings, text) }
