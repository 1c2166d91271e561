package claim

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Row describes one field of the vocabulary for people: [Table] is what the
// README shows and what the parser accepts.
type Row struct {
	Field    string
	Alias    string // another name for the same field; empty: none
	Value    string
	Default  string
	OnDocker string
}

// The fields of a hint.
const (
	fieldClaimName         = "claimName"
	fieldStorage           = "storage"
	fieldStorageClass      = "storageClass"
	fieldStorageClassName  = "storageClassName"
	fieldAccessModes       = "accessModes"
	fieldCreateIfNotExists = "createIfNotExists"
	fieldDelete            = "deleteOnSandboxTermination"
)

// Table is the vocabulary, one row a field.
func Table() []Row {
	return []Row{
		{fieldClaimName, "", "DNS-1123 subdomain (Docker: the engine's rule for volume names)", "required", "the named volume"},
		{fieldStorage, "", "Kubernetes quantity, > 0", "the one fallback size, `--default-storage` (1Gi)", "enforced where the class can"},
		{fieldStorageClass, fieldStorageClassName, "name of a class; `\"\"` = explicitly none", "the cluster's default class", "a class of the companion's configuration"},
		{fieldAccessModes, "", "ReadWriteOnce, ReadOnlyMany, ReadWriteMany, ReadWriteOncePod; short RWO, ROX, RWX, RWOP", "`[ReadWriteOnce]`", "accepted, without effect"},
		{fieldCreateIfNotExists, "", "bool", "true", "same: false never creates"},
		{fieldDelete, "", "bool", "false", "removed with the last container using it"},
	}
}

const fieldsText = "storage, storageClass, accessModes, createIfNotExists and deleteOnSandboxTermination"

// entry is one field's value at one rank.
type entry[T any] struct {
	value T
	from  Origin
	// fault is set where the value cannot be used. A faulty entry ends the
	// search for a value: it must not let a lower rank take its place.
	fault *Fault
}

// values are the fields of one scope at one rank.
type values struct {
	storage entry[resource.Quantity]
	class   entry[string]
	modes   entry[Modes]
	create  entry[bool]
	delete  entry[bool]
}

// set reads one field from its flat form or from a list's node. It returns the
// fault, or nil. claim is the claim that a fault concerns.
func (v *values) set(field, claim string, n node, from Origin) *Fault {
	switch field {
	case fieldStorage:
		return put(&v.storage, claim, n, from, parseStorageNode, equalQuantity, quoteQuantity)
	case fieldStorageClass, fieldStorageClassName:
		return put(&v.class, claim, n, from, parseClass, equal[string], quoteString)
	case fieldAccessModes:
		return put(&v.modes, claim, n, from, parseModesNode, equal[Modes], quoteModes)
	case fieldCreateIfNotExists:
		return put(&v.create, claim, n, from, parseBool, equal[bool], quoteBool)
	case fieldDelete:
		return put(&v.delete, claim, n, from, parseBool, equal[bool], quoteBool)
	}
	return from.fault(claim, unknownField(field))
}

// unknownField says so, and which field was probably meant.
func unknownField(field string) string {
	for _, f := range [...]string{fieldStorage, fieldStorageClass, fieldStorageClassName, fieldAccessModes, fieldCreateIfNotExists, fieldDelete} {
		if strings.EqualFold(f, field) {
			return "unknown field " + Quote(field, 64) + `; write it as "` + f + `"`
		}
	}
	return "unknown field " + Quote(field, 64) + "; the fields are " + fieldsText
}

// put reads a value into its entry and compares it with one that stands there
// already: one rank has one value.
func put[T any](e *entry[T], claim string, n node, from Origin, parse func(node) (T, string), same func(a, b T) bool, quote func(T) string) *Fault {
	value, problem := parse(n)
	switch {
	case problem != "":
		f := from.fault(claim, problem)
		if e.fault == nil {
			*e = entry[T]{from: from, fault: f}
		}
		return f
	case !e.from.Hinted():
		*e = entry[T]{value: value, from: from}
	case e.fault == nil && !same(e.value, value):
		e.fault = from.fault(claim, quote(value)+" here, but "+quote(e.value)+" at "+e.from.String()+"; give one value")
		return e.fault
	}
	return nil
}

func equal[T comparable](a, b T) bool { return a == b }

func equalQuantity(a, b resource.Quantity) bool { return a.Cmp(b) == 0 }

func quoteQuantity(q resource.Quantity) string { return `"` + q.String() + `"` }
func quoteString(s string) string              { return Quote(s, 64) }
func quoteModes(m Modes) string                { return `"` + m.String() + `"` }

func quoteBool(b bool) string {
	if b {
		return `"true"`
	}
	return `"false"`
}

func parseStorageNode(n node) (resource.Quantity, string) {
	if n.kind != text {
		return resource.Quantity{}, mustBe("a string", n)
	}
	return ParseStorage(n.text)
}

func parseClass(n node) (string, string) {
	if n.kind != text {
		return "", mustBe("a string", n)
	}
	if n.text != "" && len(validation.IsDNS1123Subdomain(n.text)) > 0 {
		return "", "invalid class name " + Quote(n.text, 64) +
			"; a StorageClass's name has lower case letters, digits, '-' and '.', and at most 253 of them"
	}
	return n.text, ""
}

func parseModesNode(n node) (Modes, string) {
	switch n.kind {
	case text:
		return parseModes(splitModes(n.text))
	case list:
		names := make([]string, len(n.items))
		for i, item := range n.items {
			if item.kind != text {
				return 0, mustBe("a list of strings", item)
			}
			names[i] = item.text
		}
		return parseModes(names)
	}
	return 0, mustBe("a list of strings", n)
}

func parseBool(n node) (bool, string) {
	word := n.text
	if n.kind == boolean {
		word = strings.ToLower(word)
	}
	if n.kind == boolean || n.kind == text {
		switch word {
		case "true":
			return true, ""
		case "false":
			return false, ""
		}
	}
	if n.kind == list || n.kind == object {
		return false, mustBe("true or false", n)
	}
	return false, "invalid boolean " + Quote(n.text, 64) + `; write "true" or "false"`
}

func mustBe(what string, n node) string {
	if n.kind == number && what == "a string" {
		return Printable(n.text, 64) + ` is a number; quote it: ` + Quote(n.text, 64)
	}
	if n.text != "" {
		return Quote(n.text, 64) + " is " + n.kind.String() + "; it must be " + what
	}
	return "it is " + n.kind.String() + "; it must be " + what
}

// CheckName returns what is wrong with a claim's name on Kubernetes, text for a
// person, or "".
func CheckName(name string) string {
	if name == "" {
		return "the claim has no name; give it one"
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return "invalid claim name " + Quote(name, 64) +
			"; it must be a DNS-1123 subdomain: lower case letters, digits, '-' and '.', at most 253"
	}
	return ""
}

// CheckVolumeName returns what is wrong with a named volume's name on Docker,
// text for a person, or "". It is the rule of the engine's own driver, and what
// a folder's name can hold.
func CheckVolumeName(name string) string {
	good := len(name) >= 2 && len(name) <= 255
	for i := 0; good && i < len(name); i++ {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		good = letter || i > 0 && (c == '_' || c == '.' || c == '-')
	}
	if good {
		return ""
	}
	return "invalid volume name " + Quote(name, 64) +
		"; it must have 2 to 255 letters, digits, '_', '.' and '-', and begin with a letter or a digit"
}
