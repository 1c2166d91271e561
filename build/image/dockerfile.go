package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
)

// recipe is what a Dockerfile says.
type recipe struct {
	copies     []copied
	user       string
	ports      []string // such as 8443/tcp
	entrypoint []string
}

// copied is one COPY: a file of the context and its absolute path in the image.
type copied struct{ from, to string }

// parse reads a Dockerfile. $TARGETARCH stands for arch once ARG has named it,
// as with docker build.
func parse(text, arch string) (*recipe, error) {
	r := &recipe{}
	var scratch, target bool
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if target {
			line = strings.NewReplacer("${TARGETARCH}", arch, "$TARGETARCH", arch).Replace(line)
		}
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if word != "FROM" && !scratch {
			return nil, fmt.Errorf("line %d: %s before FROM scratch", i+1, word)
		}
		if word != "ENTRYPOINT" && strings.ContainsAny(rest, "$\\\"[") {
			return nil, fmt.Errorf("line %d: %s %s: variables but TARGETARCH, quotes and line continuations are not known here", i+1, word, rest)
		}
		switch {
		case word == "FROM" && rest == "scratch" && !scratch:
			scratch = true
		case word == "ARG" && rest == "TARGETARCH":
			target = true
		case word == "COPY" && len(strings.Fields(rest)) == 2 && path.IsAbs(strings.Fields(rest)[1]) && !strings.HasSuffix(rest, "/"):
			r.copies = append(r.copies, copied{strings.Fields(rest)[0], path.Clean(strings.Fields(rest)[1])})
		case word == "USER":
			r.user = rest
		case word == "EXPOSE":
			for _, port := range strings.Fields(rest) {
				if !strings.Contains(port, "/") {
					port += "/tcp"
				}
				r.ports = append(r.ports, port)
			}
		case word == "ENTRYPOINT" && json.Unmarshal([]byte(rest), &r.entrypoint) == nil:
		default:
			return nil, fmt.Errorf("line %d: %q is not known here", i+1, line)
		}
	}
	if len(r.copies) == 0 || len(r.entrypoint) == 0 {
		return nil, errors.New("an image takes a COPY and an ENTRYPOINT")
	}
	return r, nil
}
