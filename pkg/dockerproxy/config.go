package dockerproxy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// Config is what the operator decides. It is not changed once a [Proxy] has it.
type Config struct {
	// AutoCreate is the safety switch: without it no volume is ever made by us.
	AutoCreate bool
	// DefaultStorage is the size of a volume that no hint gives one.
	DefaultStorage resource.Quantity
	// DefaultClass is the class of volumes that name none; empty: the engine's own driver.
	DefaultClass string
	// Classes are by their names.
	Classes map[string]Class
}

// Class is how volumes are made.
type Class struct {
	// Driver of the engine, e.g. "local".
	Driver string
	// Options of the driver. In their values [SizeMark] stands for the size.
	Options map[string]string
	// Labels that every volume of the class gets beside ours.
	Labels map[string]string
}

// SizeMark in an option's value is replaced by the volume's size in bytes.
const SizeMark = "{bytes}"

// localDriver is the engine's own.
const localDriver = "local"

// sized reports whether the class can hold a volume to its size.
func (c Class) sized() bool {
	for _, v := range c.Options {
		if strings.Contains(v, SizeMark) {
			return true
		}
	}
	return false
}

func (c Class) options(size resource.Quantity) map[string]string {
	options := maps.Clone(c.Options)
	for k, v := range options {
		options[k] = strings.ReplaceAll(v, SizeMark, strconv.FormatInt(size.Value(), 10))
	}
	return options
}

// class is the class that the hints ask for; problem is text for a person.
func (c *Config) class(w claim.Want) (class Class, name, problem string) {
	name = c.DefaultClass
	if w.StorageClass.Hinted() {
		name = w.StorageClass.Value
	}
	if name == "" {
		return Class{Driver: localDriver}, "", ""
	}
	class, ok := c.Classes[name]
	if ok {
		return class, name, ""
	}
	text := "class " + claim.Quote(name, 64) + " does not exist; "
	if len(c.Classes) == 0 {
		return class, name, text + "the companion's configuration has none"
	}
	return class, name, fmt.Sprintf("%swrite one of %s", text, strings.Join(slices.Sorted(maps.Keys(c.Classes)), ", "))
}
