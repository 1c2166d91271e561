package explain_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

const domain = "volumes.opensandbox.io"

// written are the hints that the generator put into an object, by the path where
// they stand. Keys and fields that are no hints are not among them.
type written map[string]hint

type hint struct {
	claim, field string // no claim: pod-wide
	label        bool
	value        any
}

// rank says which of an object's hints come first.
func (h hint) rank() string {
	return map[bool]string{false: "scoped ", true: "wide "}[h.claim == ""] + map[bool]string{false: "annotation", true: "label"}[h.label]
}

// of is what the README says about where a value comes from: the first rank, of
// the objects in their order, that has the field. It holds one hint, or several of
// the same value.
func of(objects []source, claim, field string) (from string, hints written) {
	for _, o := range objects {
		for _, rank := range []string{"scoped annotation", "scoped label", "wide annotation", "wide label"} {
			found := written{}
			for path, h := range o.hints {
				if h.rank() == rank && h.field == field && (h.claim == claim || h.claim == "") && (o.kind != "Namespace" || rank == "wide annotation") {
					found[o.prefix+path] = h
				}
			}
			if len(found) > 0 {
				return o.kind + " " + rank, found
			}
		}
	}
	return "default", nil
}

// source is an object with hints.
type source struct {
	kind, prefix string
	hints        written
}

// says reports whether a hint has the value that is told.
func (h hint) says(told string) bool {
	switch text := fmt.Sprint(h.value); h.field {
	case "storage":
		q, err := resource.ParseQuantity(text)
		return err == nil && q.Cmp(resource.MustParse(told)) == 0
	case "accessModes":
		return slices.Equal(modes(text), modes(told))
	default:
		return text == told
	}
}

func modes(text string) []string {
	var all []string
	for _, m := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",_ []", r) }) {
		for short, long := range map[string]string{"RWO": "ReadWriteOnce", "ROX": "ReadOnlyMany", "RWX": "ReadWriteMany", "RWOP": "ReadWriteOncePod"} {
			if m == long {
				m = short
			}
		}
		all = append(all, m)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// value is a value for a field, most often a right one.
func (g generator) value(field string, label bool) string {
	if g.chance(8) {
		return pick(g, "", "10 GB", "yes", "0", "-1Gi", "RWO_RWOP", "Fast!", "\x1b[2J")
	}
	switch field {
	case "storage":
		return pick(g, "1Gi", "1024Mi", "10Gi", "2.5Gi", "1G")
	case "storageClass", "storageClassName":
		return pick(g, "fast", "fast", "standard", "archive", "", "fsat")
	case "accessModes":
		if label {
			return pick(g, "RWO", "RWX_ROX", "ReadWriteMany")
		}
		return pick(g, "RWO", "RWX,ROX", "ReadWriteOncePod", "RWO, RWX")
	}
	return pick(g, "true", "true", "false")
}

func (g generator) field() string {
	if g.chance(3) {
		return pick(g, "Storage", "size", "claims", "claimName", "owner", "created")
	}
	fields := []string{"storage", "storageClass", "accessModes", "deleteOnSandboxTermination", "storageClassName"}
	if g.chance(10) {
		return "createIfNotExists"
	}
	return pick(g, fields...)
}

// write notes a hint, unless it is none.
func (w written) write(path, claim, field string, label bool, value any) {
	switch field {
	case "storageClassName":
		field = "storageClass"
	case "storage", "storageClass", "accessModes", "deleteOnSandboxTermination", "createIfNotExists":
	default:
		return
	}
	w[path] = hint{claim, field, label, value}
}

// flat adds flat hints to a map.
func (g generator) flat(m map[string]string, label bool, w written) {
	list := map[bool]string{false: "metadata.annotations", true: "metadata.labels"}[label]
	for range g.IntN(4) {
		field, prefix, name := g.field(), domain, ""
		if g.chance(2) {
			prefix = strings.ToUpper(domain)
		}
		if g.chance(60) {
			name = g.claimName()
		}
		key := prefix + "/" + field
		if name != "" {
			key = name + "." + key
		}
		m[key] = g.value(field, label)
		if prefix == domain && len(name) < 230 {
			w.write(list+"["+key+"]", name, field, label, m[key])
		}
	}
}

// structured is a list of hints, in JSON or YAML, sometimes broken; path is where
// it will stand.
func (g generator) structured(path string, w written) string {
	if g.chance(30) {
		name := g.claimName()
		if name != "" && name != "-" {
			w.write(path+"[0].storage", name, "storage", false, "3Gi")
		}
		return "- claimName: " + name + "\n  storage: 3Gi\n"
	}
	var items []map[string]any
	for range 1 + g.IntN(3) {
		item := map[string]any{"claimName": g.claimName()}
		for range g.IntN(3) {
			field := g.field()
			item[field] = g.value(field, false)
			if g.chance(10) {
				item[field] = pick[any](g, nil, true, 10, []string{"RWX"}, map[string]any{})
			}
		}
		items = append(items, item)
	}
	text, _ := json.Marshal(items)
	if g.chance(3) {
		return string(text[:len(text)-1])
	}
	listed := map[any]bool{"": true}
	for i, item := range items {
		name, named := item["claimName"].(string)
		if !named || listed[name] {
			continue // a fault
		}
		listed[name] = true
		for field, value := range item {
			if value != nil {
				w.write(fmt.Sprintf("%s[%d].%s", path, i, field), name, field, false, value)
			}
		}
	}
	return string(text)
}

// metadata are annotations and labels with hints of all forms.
func (g generator) metadata() (annotations, labels map[string]string, w written) {
	annotations, labels, w = map[string]string{}, map[string]string{}, written{}
	if g.chance(60) {
		g.flat(annotations, false, w)
	}
	if g.chance(30) {
		g.flat(labels, true, w)
	}
	for _, key := range []string{domain + "/claims", "opensandbox.io/extensions.volumes"} {
		if g.chance(20) {
			annotations[key] = g.structured("metadata.annotations["+key+"]", w)
		}
	}
	if g.chance(20) {
		labels["opensandbox.io/id"] = "sb-1"
	}
	return annotations, labels, w
}
