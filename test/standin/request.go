package standin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// Request is the body of OpenSandbox's POST /v1/sandboxes, as much of it as reaches pods and claims.
type Request struct {
	Image          Image             `json:"image"`
	Entrypoint     []string          `json:"entrypoint"`
	Timeout        int               `json:"timeout"`
	ResourceLimits map[string]string `json:"resourceLimits"`
	Metadata       map[string]string `json:"metadata"`
	Extensions     map[string]string `json:"extensions"`
	Volumes        []Volume          `json:"volumes"`
}

// Image is a container's image.
type Image struct {
	URI string `json:"uri"`
}

// Volume is a mount of a claim.
type Volume struct {
	Name      string `json:"name"`
	PVC       *PVC   `json:"pvc"`
	MountPath string `json:"mountPath"`
	ReadOnly  bool   `json:"readOnly"`
	SubPath   string `json:"subPath"`
}

// PVC is OpenSandbox's model of a claim. Absent fields have its defaults: createIfNotExists true, the server's size, its mode
// ReadWriteOnce, and the cluster's default class.
type PVC struct {
	ClaimName                  string   `json:"claimName"`
	CreateIfNotExists          *bool    `json:"createIfNotExists"`
	DeleteOnSandboxTermination bool     `json:"deleteOnSandboxTermination"`
	StorageClass               *string  `json:"storageClass"`
	Storage                    string   `json:"storage"`
	AccessModes                []string `json:"accessModes"`
}

// UnmarshalJSON reads what OpenSandbox's model reads: each field by its alias or by its name in snake case, booleans in every way
// that pydantic knows, and fields that nobody knows are passed over.
func (p *PVC) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("reading pvc: %w", err)
	}
	read := func(alias, name string, into any) error {
		text, ok := fields[alias]
		if !ok {
			text, ok = fields[name]
		}
		if !ok {
			return nil
		}
		if err := json.Unmarshal(text, into); err != nil {
			return fmt.Errorf("reading pvc, %s: %w", alias, err)
		}
		return nil
	}
	create, remove := boolean(true), boolean(false)
	err := errors.Join(
		read("claimName", "claim_name", &p.ClaimName),
		read("createIfNotExists", "create_if_not_exists", &create),
		read("deleteOnSandboxTermination", "delete_on_sandbox_termination", &remove),
		read("storageClass", "storage_class", &p.StorageClass),
		read("storage", "storage", &p.Storage),
		read("accessModes", "access_modes", &p.AccessModes),
	)
	p.CreateIfNotExists, p.DeleteOnSandboxTermination = (*bool)(&create), bool(remove)
	return err
}

// boolean is a bool as pydantic reads one.
type boolean bool

// UnmarshalJSON takes true and false, 1 and 0, and the words for them in any case; null it refuses.
func (b *boolean) UnmarshalJSON(data []byte) error {
	switch strings.ToLower(string(data)) {
	case `true`, `1`, `1.0`, `"true"`, `"t"`, `"yes"`, `"y"`, `"on"`, `"1"`:
		*b = true
	case `false`, `0`, `0.0`, `"false"`, `"f"`, `"no"`, `"n"`, `"off"`, `"0"`:
		*b = false
	default:
		return fmt.Errorf("%s is no boolean", data)
	}
	return nil
}

// create is createIfNotExists with its default.
func (p *PVC) create() bool { return p.CreateIfNotExists == nil || *p.CreateIfNotExists }

// The patterns that OpenSandbox publishes for its PVC model, in which \d is a digit of any script. A claim's name has at most 253
// characters.
var (
	PatternClaimName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	PatternStorage   = regexp.MustCompile(`^\p{Nd}+(\.\p{Nd}+)?(Ki|Mi|Gi|Ti|Pi|Ei)?$`)
)

// Refusal is the server's answer to a request that it has refused.
type Refusal struct {
	Status  int // of HTTP
	Code    string
	Message string
}

// Error is the answer as a person would read it.
func (r *Refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.Status, r.Code, r.Message) }

func refuse(status int, code, format string, args ...any) error {
	return &Refusal{status, code, fmt.Sprintf(format, args...)}
}

const invalid = "INVALID_PARAMETER"

// check refuses what the server refuses before it does anything.
func (r *Request) check() error {
	for key := range r.Metadata {
		if strings.HasPrefix(key, "opensandbox.io/") {
			return refuse(http.StatusBadRequest, invalid, "Metadata key %q is under a prefix that is the server's own.", key)
		}
	}
	if r.Extensions["poolRef"] != "" && len(r.Volumes) > 0 {
		return refuse(http.StatusBadRequest, invalid, "Volumes cannot be used together with poolRef: the pods of a Pool exist already.")
	}
	flags := map[string][2]bool{}
	for _, v := range r.Volumes {
		switch {
		case v.PVC == nil:
			return refuse(http.StatusUnprocessableEntity, invalid, "Volume %q has no pvc, and no other backend is stood for here.", v.Name)
		case len(v.PVC.ClaimName) > 253 || !PatternClaimName.MatchString(v.PVC.ClaimName):
			return refuse(http.StatusUnprocessableEntity, invalid, "claimName %q does not match %s.", v.PVC.ClaimName, PatternClaimName)
		case v.PVC.Storage != "" && !PatternStorage.MatchString(v.PVC.Storage):
			return refuse(http.StatusUnprocessableEntity, invalid, "storage %q does not match %s.", v.PVC.Storage, PatternStorage)
		}
		own := [2]bool{v.PVC.create(), v.PVC.DeleteOnSandboxTermination}
		if before, ok := flags[v.PVC.ClaimName]; ok && before != own {
			return refuse(http.StatusBadRequest, invalid,
				"Claim %q is mounted twice, with different createIfNotExists or deleteOnSandboxTermination.", v.PVC.ClaimName)
		}
		flags[v.PVC.ClaimName] = own
	}
	return nil
}
