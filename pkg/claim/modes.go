package claim

import (
	"strings"
)

// Modes is a set of access modes, as the core/v1 API names them.
type Modes uint8

// The access modes.
const (
	ReadWriteOnce Modes = 1 << iota
	ReadOnlyMany
	ReadWriteMany
	ReadWriteOncePod
)

const modesText = "RWO, ROX, RWX or RWOP, or their full names"

// ParseMode is the set that holds the one mode of that name, long or short;
// ok is false where there is none.
func ParseMode(s string) (m Modes, ok bool) {
	switch s {
	case "ReadWriteOnce", "RWO":
		return ReadWriteOnce, true
	case "ReadOnlyMany", "ROX":
		return ReadOnlyMany, true
	case "ReadWriteMany", "RWX":
		return ReadWriteMany, true
	case "ReadWriteOncePod", "RWOP":
		return ReadWriteOncePod, true
	}
	return 0, false
}

// Short is the short names, comma separated, for texts that must stay short.
func (m Modes) Short() string {
	var names []string
	for i, name := range [...]string{"RWO", "ROX", "RWX", "RWOP"} {
		if m&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// Names are the long names of the modes, in the order of the API's documentation.
func (m Modes) Names() []string {
	var names []string
	for i, name := range [...]string{"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"} {
		if m&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String is the names, comma separated.
func (m Modes) String() string { return strings.Join(m.Names(), ",") }

// Missing are the modes of m that has lacks.
func (m Modes) Missing(has Modes) Modes { return m &^ has }

// parseModes reads a list of names; problem is empty where it is well.
func parseModes(names []string) (set Modes, problem string) {
	for _, name := range names {
		m, ok := ParseMode(name)
		if !ok {
			return 0, "invalid access mode " + Quote(name, 64) + "; write " + modesText
		}
		set |= m
	}
	if set == 0 {
		return 0, "no access mode given; write " + modesText
	}
	if set&ReadWriteOncePod != 0 && set != ReadWriteOncePod {
		return 0, quoteModes(set) + " cannot be combined; write ReadWriteOncePod alone"
	}
	return set, ""
}

// splitModes takes the flat form apart: commas, or underscores, which a label's
// value may hold. No mode's name has either.
func splitModes(s string) []string {
	const most = 64 // of garbage the rest stays in one piece, which is no mode either
	names := strings.SplitN(strings.ReplaceAll(s, "_", ","), ",", most)
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}
