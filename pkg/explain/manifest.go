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

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// Object is one object of a manifest.
type Object struct {
	raw  json.RawMessage
	kind schema.GroupVersionKind
	meta metadata
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
// stands twice is an error. Its errors name the document.
func Read(manifest io.Reader) ([]Object, error) {
	var objects []Object
	reader := utilyaml.NewYAMLReader(bufio.NewReader(manifest))
	for n := 1; ; n++ {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		var found []Object
		if err == nil {
			found, err = readDocument(doc)
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		objects = append(objects, found...)
	}
}

func readDocument(doc []byte) ([]Object, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(doc), []byte("{")) {
		raw, err := yaml.YAMLToJSONStrict(doc)
		if err != nil {
			return nil, err
		}
		return readObject(raw)
	}
	// JSON is read as such: as YAML it may not be indented with tabs.
	var objects []Object
	for decoder := json.NewDecoder(bytes.NewReader(doc)); ; {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		var ignored any
		if twice, err := strictjson.UnmarshalStrict(raw, &ignored); err != nil || len(twice) > 0 {
			return nil, errors.Join(append(twice, err)...)
		}
		found, err := readObject(raw)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
}

// readObject reads an object, or those of a list.
func readObject(raw json.RawMessage) ([]Object, error) {
	if string(bytes.TrimSpace(raw)) == "null" {
		return nil, nil // nothing but comments
	}
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        json.RawMessage   `json:"metadata"`
		Items           []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, fmt.Errorf("it is no object of Kubernetes: %w", err)
	}
	if head.Kind == "" || head.APIVersion == "" {
		return nil, errors.New("it is no object of Kubernetes: apiVersion or kind is missing")
	}
	if head.Items != nil && strings.HasSuffix(head.Kind, "List") {
		var objects []Object
		for i, item := range head.Items {
			found, err := readObject(item)
			if err != nil {
				return nil, fmt.Errorf("items[%d]: %w", i, err)
			}
			objects = append(objects, found...)
		}
		return objects, nil
	}
	o := Object{raw: raw, kind: schema.FromAPIVersionAndKind(head.APIVersion, head.Kind)}
	if head.Metadata != nil {
		if err := json.Unmarshal(head.Metadata, &o.meta); err != nil {
			return nil, fmt.Errorf("%s: metadata: %w; quote it where it shall be a string", claim.Printable(head.Kind, 64), err)
		}
	}
	switch {
	case o.meta.Name == "" && o.meta.GenerateName == "":
		return nil, fmt.Errorf("%s: metadata.name is missing", claim.Printable(head.Kind, 64))
	case o.meta.Name == "" && head.Kind != "Pod":
		o.meta.Name = o.meta.GenerateName + "xxxxx" // its pods are named after it
	}
	return []Object{o}, nil
}

// into decodes the object; its errors name it.
func (o *Object) into(v any) error {
	if err := json.Unmarshal(o.raw, v); err != nil {
		return fmt.Errorf("%s %s: %w", claim.Printable(o.kind.Kind, 64), o.name(), err)
	}
	return nil
}

// name is the object's name, or what it will begin with.
func (o *Object) name() string { return generated(o.meta.Name, o.meta.GenerateName) }

func generated(name, prefix string) string {
	if name == "" {
		name = prefix + "*"
	}
	return claim.Printable(name, 253)
}
