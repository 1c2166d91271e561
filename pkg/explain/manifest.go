package explain

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Object is one object of a manifest.
type Object struct {
	where string // the file and the document
	raw   json.RawMessage
	kind  schema.GroupVersionKind
	meta  metadata
}

// metadata is what is read of an object's.
type metadata struct {
	Name            string                  `json:"name,omitempty"`
	GenerateName    string                  `json:"generateName,omitempty"`
	Namespace       string                  `json:"namespace,omitempty"`
	UID             types.UID               `json:"uid,omitempty"`
	Annotations     map[string]string       `json:"annotations,omitempty"`
	Labels          map[string]string       `json:"labels,omitempty"`
	OwnerReferences []metav1.OwnerReference `json:"ownerReferences,omitempty"`
}

// Read takes a manifest apart: documents of YAML or JSON, each an object or a
// list of objects. It is as strict as the API server is with kubectl: a key that
// stands twice is an error. Its errors, and those of its objects, name the file
// and the document.
func Read(file string, manifest io.Reader) ([]Object, error) {
	var objects []Object
	reader := utilyaml.NewYAMLReader(bufio.NewReader(manifest))
	for n := 1; ; n++ {
		where := fmt.Sprintf("%s: document %d", file, n)
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		var raws []json.RawMessage
		if err == nil {
			raws, err = split(doc)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		for _, raw := range raws {
			found, err := readObject(where, raw)
			if err != nil {
				return nil, err
			}
			objects = append(objects, found...)
		}
	}
}

// split makes JSON of a document; where it is JSON, there may be several.
func split(doc []byte) ([]json.RawMessage, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(doc), []byte("{")) {
		raw, err := yaml.YAMLToJSONStrict(doc)
		if err != nil {
			return nil, errors.New(strings.Join(strings.Fields(err.Error()), " ")) // in one line
		}
		return []json.RawMessage{raw}, nil
	}
	// JSON is read as such: as YAML it may not be indented with tabs.
	var all []json.RawMessage
	for decoder := json.NewDecoder(bytes.NewReader(doc)); ; {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		var ignored any
		if twice, err := strictjson.UnmarshalStrict(raw, &ignored); err != nil || len(twice) > 0 {
			return nil, append(twice, err)[0]
		}
		all = append(all, raw)
	}
}

// readObject reads an object, or those of a list.
func readObject(where string, raw json.RawMessage) ([]Object, error) {
	if string(bytes.TrimSpace(raw)) == "null" {
		return nil, nil // nothing but comments
	}
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metadata        `json:"metadata"`
		Items           json.RawMessage `json:"items"`
	}
	err := decode(raw, &head)
	o := Object{where: where, raw: raw, kind: schema.FromAPIVersionAndKind(head.APIVersion, head.Kind), meta: head.Metadata}
	switch {
	case err != nil && head.Kind == "":
		return nil, fmt.Errorf("%s: it is no object of Kubernetes: %w", where, err)
	case err != nil:
		return nil, o.error(err)
	case head.Kind == "":
		return nil, fmt.Errorf("%s: it is no object of Kubernetes: kind is missing", where)
	case head.APIVersion == "":
		return nil, o.error(errors.New("apiVersion is missing"))
	case head.Kind == "List", strings.HasSuffix(head.Kind, "List") && head.Items != nil:
		return o.items(head.Items)
	case o.meta.Name == "" && o.meta.GenerateName == "":
		return nil, o.error(errors.New("metadata.name is missing"))
	case o.meta.Name == "" && head.Kind != "Pod":
		o.meta.Name = o.meta.GenerateName + "xxxxx" // its pods are named after it
	}
	return []Object{o}, nil
}

// items are the objects of a list; null, which Go's clients write, is an empty one.
func (o *Object) items(raw json.RawMessage) ([]Object, error) {
	if raw == nil {
		return nil, o.error(errors.New("items is missing"))
	}
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := o.into(&list); err != nil {
		return nil, err
	}
	var objects []Object
	for i, item := range list.Items {
		found, err := readObject(fmt.Sprintf("%s: items[%d]", o.where, i), item)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// into decodes the object.
func (o *Object) into(v any) error {
	if err := decode(o.raw, v); err != nil {
		return o.error(err)
	}
	return nil
}

// error says of which object an error speaks.
func (o *Object) error(err error) error {
	return fmt.Errorf("%s: %s: %w", o.where, strings.TrimSpace(o.kind.Kind+" "+o.name()), err)
}

// name is the object's name, or what it will begin with.
func (o *Object) name() string { return generated(o.meta.Name, o.meta.GenerateName) }

func generated(name, prefix string) string {
	if name == "" && prefix != "" {
		return prefix + "*"
	}
	return name
}
