package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// recipe is what one stage of a Dockerfile says.
type recipe struct {
	stage      string // its name, or empty
	copies     []copied
	user       string
	ports      []string // such as 8443/tcp
	entrypoint []string
}

// copied is one COPY: a file of the context and its absolute path in the image.
type copied struct{ from, to string }

// parse reads a Dockerfile and returns the stage of the name target, or, where
// that is empty, the last one, as docker build does. $TARGETARCH stands for arch
// once ARG has named it in the same stage. The other stages are read too: what is
// not known here is refused wherever it stands.
func parse(text, arch, target string) (*recipe, error) {
	var stages []*recipe
	var named bool // whether ARG has named TARGETARCH
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if named {
			line = strings.NewReplacer("${TARGETARCH}", arch, "$TARGETARCH", arch).Replace(line)
		}
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if word != "ENTRYPOINT" && strings.ContainsAny(rest, "$\\\"[") {
			return nil, fmt.Errorf("line %d: %s %s: variables but TARGETARCH, quotes and line continuations are not known here", i+1, word, rest)
		}
		if word == "FROM" {
			stage, err := from(rest, stages)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			stages, named = append(stages, stage), false
			continue
		}
		if len(stages) == 0 {
			return nil, fmt.Errorf("line %d: %s before FROM scratch", i+1, word)
		}
		switch r := stages[len(stages)-1]; {
		case word == "ARG" && rest == "TARGETARCH":
			named = true
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
	return choose(stages, target)
}

// stageName is docker's rule, but for upper case, which docker lowers.
var stageName = regexp.MustCompile(`^[a-z][a-z0-9_.-]*$`)

// from begins a stage: `FROM scratch`, or `FROM scratch AS name`.
func from(rest string, before []*recipe) (*recipe, error) {
	words := strings.Fields(rest)
	named := len(words) == 3 && words[1] == "AS" && stageName.MatchString(words[2])
	if len(words) == 0 || words[0] != "scratch" || len(words) > 1 && !named {
		return nil, fmt.Errorf("%q is not known here", "FROM "+rest)
	}
	if !named {
		return &recipe{}, nil
	}
	for _, r := range before {
		if r.stage == words[2] {
			return nil, fmt.Errorf("there is a stage %q already", words[2])
		}
	}
	return &recipe{stage: words[2]}, nil
}

// choose finds the stage that is the image, and holds that each could be one.
func choose(stages []*recipe, target string) (*recipe, error) {
	var found *recipe
	for _, r := range stages {
		if len(r.copies) == 0 || len(r.entrypoint) == 0 {
			return nil, errors.New("an image takes a COPY and an ENTRYPOINT")
		}
		if target == "" || r.stage == target {
			found = r
		}
	}
	switch {
	case found != nil:
		return found, nil
	case len(stages) == 0:
		return nil, errors.New("there is no FROM scratch")
	}
	return nil, fmt.Errorf("there is no stage %q", target)
}
