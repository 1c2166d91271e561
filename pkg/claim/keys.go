package claim

// Domain is the DNS part of every key of ours. A claim's own keys carry the
// claim's name before it: "alice-home.volumes.opensandbox.io/storage".
const Domain = "volumes.opensandbox.io"

// Keys that are not flat hints.
const (
	// KeyClaims holds the structured list on a pod, an owner or a container.
	KeyClaims = Domain + "/" + nameClaims
	// KeyExtensions holds the same list where an OpenSandbox server put it: it
	// copies the caller's extension "opensandbox.extensions.volumes" there.
	KeyExtensions = "opensandbox.io/extensions.volumes"

	// KeyAutoCreate is the Namespace label that switches a namespace on, with
	// the value [Enabled].
	KeyAutoCreate = Domain + "/auto-create"
	// KeyCreated informs: on a pod the names of the claims that were created
	// for it, comma separated; on a claim the time it was created at, RFC 3339
	// in UTC.
	KeyCreated = Domain + "/created"
	// KeyCreatedFor is written to a claim: the pod it was created for, its name
	// or, where the name is generated, its generateName followed by "*".
	KeyCreatedFor = Domain + "/created-for"
	// KeyRequestedBy is written to a claim: the user whose request made it.
	KeyRequestedBy = Domain + "/requested-by"
	// KeyOwner is written to a claim that goes with its owner: "Kind.group/name/uid".
	KeyOwner = Domain + "/owner"
	// KeyDeleteWithOwner is "true" on a claim that goes with its owner.
	KeyDeleteWithOwner = Domain + "/delete-with-owner"

	// Enabled is the value of [KeyAutoCreate] that switches a namespace on.
	Enabled = "enabled"
)

// MaxClaims is how many different claims one pod may have.
const MaxClaims = 64

// MaxHints is how long the hints among an object's annotations, and those among its
// labels, may be together, keys and values, in bytes. The API server takes as much of
// annotations; of labels it has no limit.
const MaxHints = 256 << 10

const nameClaims = "claims"

// maxScope is the longest name that fits before our domain: the DNS part of a
// key has at most 253 characters.
const maxScope = 253 - len("."+Domain)

// reserved are the names under our domain that are written by us or by the
// cluster's administrator. They are never hints, on any object.
func reserved(name string) bool {
	switch name {
	case "auto-create", "created", "created-for", "requested-by", "owner", "delete-with-owner":
		return true
	}
	return false
}

// Concerns reports whether the annotation or label of that key may have a say in
// what [Read] makes of an object.
func Concerns[T string | []byte](key T) bool {
	return slashOfOurs(key) >= 0 || string(key) == KeyExtensions
}

// key is a key under our domain, taken apart.
type key struct {
	scope string // the claim's name; empty: every claim
	name  string // what follows the slash
	exact bool   // the domain is written as it should be: in lower case, after a scope or alone
}

// slashOfOurs is where the slash of a key under our domain stands, or -1 where the key
// is none of ours. That is decided without regard to case: the API server stores
// annotation keys in any case, and a hint must not be lost to a capital letter.
func slashOfOurs[T string | []byte](s T) int {
	slash := 0
	for slash < len(s) && s[slash] != '/' {
		slash++
	}
	begin := slash - len(Domain)
	if slash == len(s) || begin < 0 || begin > 0 && s[begin-1] != '.' {
		return -1
	}
	for i := range len(Domain) {
		c := s[begin+i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != Domain[i] {
			return -1
		}
	}
	return slash
}

// parseKey takes a key apart. ok is false where the key is none of ours.
func parseKey(s string) (k key, ok bool) {
	slash := slashOfOurs(s)
	if slash < 0 {
		return key{}, false
	}
	begin := slash - len(Domain)
	k = key{name: s[slash+1:], exact: s[begin:slash] == Domain}
	if begin == 0 {
		return k, true
	}
	k.scope = s[:begin-1]
	if k.scope == "" {
		k.exact = false
	}
	return k, true
}
