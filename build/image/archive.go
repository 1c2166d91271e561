package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// configuration is an image's configuration, as the OCI image specification
// spells it, as much of it as a Dockerfile of ours sets.
type configuration struct {
	Architecture string  `json:"architecture"`
	OS           string  `json:"os"`
	Config       process `json:"config"`
	RootFS       struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	History []history `json:"history"`
}

type process struct {
	User         string              `json:"User,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Entrypoint   []string            `json:"Entrypoint"`
}

type history struct {
	CreatedBy string `json:"created_by"`
}

// entry is the one of manifest.json, which lists the images of a tarball.
type entry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// write puts the image into a tarball and returns the size of its one layer
// uncompressed, which is what engines show as the image's. Every time in it is the
// same, so that nothing but the files decides about its digest.
func (r *recipe) write(w io.Writer, context, arch, name string) (int64, error) {
	layer, err := r.layer(context)
	if err != nil {
		return 0, err
	}
	config := configuration{
		Architecture: arch, OS: "linux",
		Config:  process{User: r.user, Entrypoint: r.entrypoint, ExposedPorts: map[string]struct{}{}},
		History: []history{{"the repository's Dockerfile"}},
	}
	for _, port := range r.ports {
		config.Config.ExposedPorts[port] = struct{}{}
	}
	config.RootFS.Type = "layers"
	config.RootFS.DiffIDs = []string{"sha256:" + digest(layer)}
	configJSON, err := json.Marshal(config)
	if err != nil {
		return 0, fmt.Errorf("writing the image's configuration: %w", err)
	}
	// Compressed, as a registry keeps it; the configuration names the digest of what is in it.
	compressed, err := squeeze(layer)
	if err != nil {
		return 0, err
	}
	configName, layerName := digest(configJSON)+".json", digest(compressed)+".tar.gz"
	manifest, err := json.Marshal([]entry{{configName, []string{name}, []string{layerName}}})
	if err != nil {
		return 0, fmt.Errorf("writing the image's manifest: %w", err)
	}
	archive := tar.NewWriter(w)
	for _, file := range []struct {
		name    string
		content []byte
	}{{configName, configJSON}, {layerName, compressed}, {"manifest.json", manifest}} {
		if err := add(archive, file.name, 0o644, file.content); err != nil {
			return 0, fmt.Errorf("writing the image: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return 0, fmt.Errorf("writing the image: %w", err)
	}
	return int64(len(layer)), nil
}

// layer is the image's one layer: the files copied into it, owned by root.
func (r *recipe) layer(context string) ([]byte, error) {
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	for _, file := range r.copies {
		path := filepath.Join(context, file.from)
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("copying into the image: %w", err)
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("copying into the image: %s is no file", path)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("copying into the image: %w", err)
		}
		if err := add(archive, strings.TrimPrefix(file.to, "/"), int64(info.Mode().Perm()), content); err != nil {
			return nil, fmt.Errorf("copying %s into the image: %w", path, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("writing the image's layer: %w", err)
	}
	return layer.Bytes(), nil
}

func squeeze(content []byte) ([]byte, error) {
	var compressed bytes.Buffer
	w, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("compressing the image's layer: %w", err)
	}
	if _, err := w.Write(content); err != nil {
		return nil, fmt.Errorf("compressing the image's layer: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compressing the image's layer: %w", err)
	}
	return compressed.Bytes(), nil
}

func add(archive *tar.Writer, name string, mode int64, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
