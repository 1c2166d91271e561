package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"
)

func TestArchiveHoldsWhatItNames(t *testing.T) {
	greeter := Image{
		Reference:  "example.test/greeter:1",
		Entrypoint: []string{"/bin/greet"},
		User:       "1000",
		Files: []File{
			{Name: "bin/", Mode: 0o755},
			{Name: "bin/greet", Mode: 0o755, Content: []byte("hello")},
			{Name: "bin/hello", Link: "greet"},
		},
	}
	var archive, again bytes.Buffer
	if err := greeter.Write(&archive); err != nil {
		t.Fatal(err)
	}
	if err := greeter.Write(&again); err != nil || !bytes.Equal(archive.Bytes(), again.Bytes()) {
		t.Errorf("written twice it differs, %v", err)
	}
	parts := unpack(t, &archive)
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(parts["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) != 1 || len(manifest[0].Layers) != 1 || !slices.Equal(manifest[0].RepoTags, []string{"example.test/greeter:1"}) {
		t.Fatalf("manifest %+v", manifest)
	}
	var config struct {
		Config struct {
			Entrypoint []string
			User       string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(parts[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "1000" || !slices.Equal(config.Config.Entrypoint, []string{"/bin/greet"}) {
		t.Errorf("configuration %+v", config)
	}
	layer := parts[manifest[0].Layers[0]]
	if want := []string{"sha256:" + sum(layer)}; !slices.Equal(config.RootFS.DiffIDs, want) {
		t.Errorf("layers %q, want %q", config.RootFS.DiffIDs, want)
	}
	files := unpack(t, bytes.NewReader(layer))
	if string(files["bin/greet"]) != "hello" || string(files["bin/hello"]) != "-> greet" {
		t.Errorf("files %q", files)
	}
}

// unpack returns the entries of an archive, those that are links as an arrow.
func unpack(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	parts := map[string][]byte{}
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeSymlink {
			content = []byte("-> " + header.Linkname)
		}
		parts[header.Name] = content
	}
}
