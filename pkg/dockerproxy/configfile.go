package dockerproxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// LineError is what is wrong with a configuration, and where.
type LineError struct {
	Line int
	Text string
}

// Error is the line and the text.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

// DefaultConfig is the configuration of an empty file: volumes are created with
// the engine's own driver, and there are no classes.
func DefaultConfig() *Config {
	return &Config{AutoCreate: true, DefaultStorage: resource.MustParse("1Gi"), Classes: map[string]Class{}}
}

// ReadConfig reads a configuration in YAML:
//
//	volumeAutoCreate: true        # false is the safety switch
//	defaultStorage: 1Gi
//	defaultClass: standard
//	classes:
//	  standard:
//	    driver: local
//	  ram:
//	    driver: local
//	    options: {type: tmpfs, device: tmpfs, o: "size={bytes}"}
//	    labels: {team: a}
//
// Its error joins a [LineError] for everything that is wrong.
func ReadConfig(text []byte) (*Config, error) {
	var doc, more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, syntaxError(err)
	}
	r := &configReader{config: DefaultConfig()}
	if len(doc.Content) > 0 {
		r.file(doc.Content[0])
		switch err := decoder.Decode(&more); {
		case err == nil:
			r.fault(&more, "a second document is not read; write all into one")
		case !errors.Is(err, io.EOF):
			return nil, syntaxError(err)
		}
	}
	if err := errors.Join(r.faults...); err != nil {
		return nil, err
	}
	return r.config, nil
}

// syntaxError is a parser's error, "yaml: line 2: …", with its line as ours have it.
func syntaxError(err error) error {
	said := strings.TrimPrefix(err.Error(), "yaml: ")
	if place, text, found := strings.Cut(strings.TrimPrefix(said, "line "), ": "); found {
		if line, atoiErr := strconv.Atoi(place); atoiErr == nil {
			return &LineError{line, "this is no YAML: " + text}
		}
	}
	return fmt.Errorf("this is no YAML: %s", said)
}

type configReader struct {
	config *Config
	faults []error
}

func (r *configReader) fault(n *yaml.Node, format string, args ...any) {
	r.faults = append(r.faults, &LineError{n.Line, fmt.Sprintf(format, args...)})
}

// each goes through a mapping; a key that stands twice is a fault.
func (r *configReader) each(what string, n *yaml.Node, visit func(key, value *yaml.Node)) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fault(n, "%s must be a mapping of keys to values", what)
		return
	}
	var seen []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if slices.Contains(seen, key.Value) {
			r.fault(key, "key %s stands twice; give it once", claim.Quote(key.Value, 64))
			continue
		}
		seen = append(seen, key.Value)
		visit(key, n.Content[i+1])
	}
}

func (r *configReader) file(n *yaml.Node) {
	var defaultClass *yaml.Node
	r.each("the file", n, func(key, value *yaml.Node) {
		switch key.Value {
		case "volumeAutoCreate":
			if value.ShortTag() != "!!bool" || value.Decode(&r.config.AutoCreate) != nil {
				r.fault(value, "volumeAutoCreate: invalid boolean %s; write true or false", claim.Quote(value.Value, 64))
			}
		case "defaultStorage":
			text, ok := r.text(key.Value, value)
			if !ok {
				return
			}
			size, problem := claim.ParseStorage(text)
			if problem != "" {
				r.fault(value, "defaultStorage: %s", problem)
			}
			r.config.DefaultStorage = size
		case "defaultClass":
			defaultClass = value
			r.config.DefaultClass, _ = r.text(key.Value, value)
		case "classes":
			r.each("classes", value, r.class)
		default:
			r.fault(key, "unknown key %s; the keys are volumeAutoCreate, defaultStorage, defaultClass and classes", claim.Quote(key.Value, 64))
		}
	})
	if name := r.config.DefaultClass; name != "" {
		if _, ok := r.config.Classes[name]; !ok {
			r.fault(defaultClass, "defaultClass: class %s is not among the classes", claim.Quote(name, 64))
		}
	}
}

func (r *configReader) class(key, value *yaml.Node) {
	// The rule of the hint, so that every class can be asked for.
	if problem := claim.CheckName(key.Value); problem != "" {
		r.fault(key, "invalid class name %s; it must have lower case letters, digits, '-' and '.', and at most 253 of them", claim.Quote(key.Value, 64))
	}
	c := Class{}
	var driver *yaml.Node
	r.each("class "+claim.Quote(key.Value, 64), value, func(k, v *yaml.Node) {
		switch k.Value {
		case "driver":
			c.Driver, _ = r.text("driver", v)
			driver = v
		case "options":
			c.Options = r.texts("options", v)
		case "labels":
			c.Labels = r.texts("labels", v)
			r.each("labels", v, func(label, _ *yaml.Node) {
				if reserved(label.Value) {
					r.fault(label, "label %s is the companion's own to give; leave it out", claim.Quote(label.Value, 128))
				}
			})
		default:
			r.fault(k, "unknown key %s; a class has driver, options and labels", claim.Quote(k.Value, 64))
		}
	})
	if driver == nil || c.Driver == "" && driver.ShortTag() == "!!str" {
		r.fault(key, "class %s has no driver; write driver: local for the engine's own", claim.Quote(key.Value, 64))
	}
	r.config.Classes[key.Value] = c
}

func (r *configReader) texts(what string, n *yaml.Node) map[string]string {
	m := map[string]string{}
	r.each(what, n, func(k, v *yaml.Node) { m[k.Value], _ = r.text(what+"."+k.Value, v) })
	return m
}

// text is a string. A number would lose how it was written (0777, 1e3).
func (r *configReader) text(what string, n *yaml.Node) (text string, ok bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		r.fault(n, "%s must be a string; quote it: %q", claim.Printable(what, 64), n.Value)
		return "", false
	}
	return n.Value, true
}
