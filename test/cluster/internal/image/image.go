// Package image writes container images from nothing but files, as archives
// that every container engine loads. There is no registry where the tests run,
// and no base image.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
)

// Image is an image of one layer, for the machine's own architecture.
type Image struct {
	Reference  string // such as example.test/name:1
	Entrypoint []string
	Cmd        []string
	Env        []string
	User       string // such as 65532:65532; root where it is empty
	Files      []File
}

// File is one entry of the layer, owned by root.
type File struct {
	Name    string // from the root, without a leading slash; a folder's ends in a slash
	Mode    int64
	Content []byte
	Link    string // where a symbolic link leads; the rest is ignored then
}

// Write writes the archive, in the form of `docker save`. The same image is
// the same bytes.
func (i Image) Write(w io.Writer) error {
	layer, err := i.layer()
	if err != nil {
		return err
	}
	layerSum := sum(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": i.Entrypoint, "Cmd": i.Cmd, "Env": i.Env, "User": i.User},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + layerSum}},
		"history":      []map[string]any{{"created_by": "files"}},
	})
	if err != nil {
		return fmt.Errorf("writing the configuration of %s: %w", i.Reference, err)
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config":   sum(config) + ".json",
		"RepoTags": []string{i.Reference},
		"Layers":   []string{layerSum + "/layer.tar"},
	}})
	if err != nil {
		return fmt.Errorf("writing the manifest of %s: %w", i.Reference, err)
	}
	archive := tar.NewWriter(w)
	for _, part := range []File{
		{Name: sum(config) + ".json", Mode: 0o644, Content: config},
		{Name: layerSum + "/", Mode: 0o755},
		{Name: layerSum + "/layer.tar", Mode: 0o644, Content: layer},
		{Name: "manifest.json", Mode: 0o644, Content: manifest},
	} {
		if err := part.write(archive); err != nil {
			return fmt.Errorf("writing the archive of %s: %w", i.Reference, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("writing the archive of %s: %w", i.Reference, err)
	}
	return nil
}

func (i Image) layer() ([]byte, error) {
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	for _, file := range i.Files {
		if err := file.write(archive); err != nil {
			return nil, fmt.Errorf("writing %s of %s: %w", file.Name, i.Reference, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("writing the layer of %s: %w", i.Reference, err)
	}
	return layer.Bytes(), nil
}

func (f File) write(archive *tar.Writer) error {
	header := &tar.Header{Name: f.Name, Mode: f.Mode, Typeflag: tar.TypeReg, Size: int64(len(f.Content))}
	if strings.HasSuffix(f.Name, "/") {
		header.Typeflag = tar.TypeDir
	}
	if f.Link != "" {
		header = &tar.Header{Name: f.Name, Mode: 0o777, Typeflag: tar.TypeSymlink, Linkname: f.Link}
	}
	if err := archive.WriteHeader(header); err != nil || header.Size == 0 {
		return err
	}
	_, err := archive.Write(f.Content)
	return err
}

func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
}
