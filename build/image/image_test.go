package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// untar returns the files of a tarball.
func untar(t *testing.T, archive []byte) map[string]*bytes.Buffer {
	t.Helper()
	files := map[string]*bytes.Buffer{}
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = &bytes.Buffer{}
		if _, err := io.Copy(files[header.Name], reader); err != nil {
			t.Fatal(err)
		}
	}
}

// built makes an image of the repository's Dockerfile, ensure-volumes:dev,
// around files that stand for the programs.
func built(t *testing.T, arch string, flags ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	for _, program := range []string{"companion", "webhook"} {
		binary := filepath.Join(dir, "bin", "linux-"+arch, program)
		if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(binary, []byte("the "+program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tarball := filepath.Join(dir, "image.tar")
	args := []string{"-dockerfile", "../../Dockerfile", "-context", dir, "-arch", arch, "-name", "ensure-volumes:dev", "-o", tarball}
	if err := run(append(args, flags...), io.Discard); err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(tarball)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// Both images of the Dockerfile are one static binary. What `docker build .` makes is the webhook's, which a user without
// rights runs; the companion's is root's.
func TestImagesOfTheDockerfile(t *testing.T) {
	webhook := process{
		User: "65532:65532", Entrypoint: []string{"/webhook"},
		ExposedPorts: map[string]struct{}{"8443/tcp": {}, "8080/tcp": {}},
	}
	companion := process{User: "0:0", Entrypoint: []string{"/companion"}}
	for _, c := range []struct {
		program, arch string
		flags         []string
		want          process
	}{
		{"webhook", "amd64", nil, webhook},
		{"webhook", "arm64", nil, webhook},
		{"webhook", "amd64", []string{"-target", "webhook"}, webhook},
		{"companion", "amd64", []string{"-target", "companion"}, companion},
		{"companion", "arm64", []string{"-target", "companion"}, companion},
	} {
		files := untar(t, built(t, c.arch, c.flags...))
		var manifest []entry
		if err := json.Unmarshal(files["manifest.json"].Bytes(), &manifest); err != nil {
			t.Fatal(err)
		}
		if len(manifest) != 1 || !reflect.DeepEqual(manifest[0].RepoTags, []string{"ensure-volumes:dev"}) || len(manifest[0].Layers) != 1 {
			t.Fatalf("manifest %+v", manifest)
		}
		var config configuration
		if err := json.Unmarshal(files[manifest[0].Config].Bytes(), &config); err != nil {
			t.Fatal(err)
		}
		if config.Architecture != c.arch || config.OS != "linux" || !reflect.DeepEqual(config.Config, c.want) {
			t.Errorf("%s %q: configuration %+v", c.program, c.flags, config)
		}
		compressed, err := gzip.NewReader(files[manifest[0].Layers[0]])
		if err != nil {
			t.Fatal(err)
		}
		layer, err := io.ReadAll(compressed)
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"sha256:" + digest(layer)}; !reflect.DeepEqual(config.RootFS.DiffIDs, want) {
			t.Errorf("layers %v, want %v", config.RootFS.DiffIDs, want)
		}
		header, err := tar.NewReader(bytes.NewReader(layer)).Next()
		if err != nil || header.Name != c.program || header.Mode != 0o755 || header.Uid != 0 {
			t.Errorf("layer %+v, %v", header, err)
		}
		if content := untar(t, layer); len(content) != 1 || content[c.program].String() != "the "+c.program {
			t.Errorf("layer %v", content)
		}
	}
}

func TestEqualInputGivesAnEqualImage(t *testing.T) {
	if !bytes.Equal(built(t, "amd64"), built(t, "amd64")) {
		t.Error("two images of the same files differ")
	}
}

// The limit is for what an engine keeps, however well that can be compressed.
func TestTooLarge(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"Dockerfile": []byte("FROM scratch\nCOPY a /a\nENTRYPOINT [\"/a\"]\n"),
		"a":          make([]byte, 3<<19), // one and a half MiB, as a tarball next to nothing
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-dockerfile", filepath.Join(dir, "Dockerfile"), "-context", dir, "-name", "a:b", "-o", filepath.Join(dir, "image")}
	err := run(append(args, "-max-mib", "1"), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "the image has 1.50 MiB, more than 1 MiB") {
		t.Errorf("said %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "image*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	var said bytes.Buffer
	if err := run(append(args, "-max-mib", "2"), &said); err != nil {
		t.Fatal(err)
	}
	if want := "a:b for linux/amd64, 1.5 MiB, as a compressed tarball 0.0 MiB\n"; !strings.HasSuffix(said.String(), want) {
		t.Errorf("said %q, want %q", said.String(), want)
	}
}

// What docker build would understand and we would not is refused, never left out.
func TestUnknownInstructions(t *testing.T) {
	const good = "FROM scratch\nCOPY a /a\nENTRYPOINT [\"/a\"]\n"
	if _, err := parse(good, "amd64", ""); err != nil {
		t.Fatal(err)
	}
	for text, says := range map[string]string{
		"FROM alpine\n" + good:                         `line 1: "FROM alpine"`,
		"COPY a /a\n" + good:                           "line 1: COPY before FROM scratch",
		"FROM scratch AS a b\n":                        `line 1: "FROM scratch AS a b"`,
		"FROM scratch as a\n":                          `line 1: "FROM scratch as a"`,
		"FROM scratch AS A\n":                          `line 1: "FROM scratch AS A"`,
		"FROM scratch AS\n":                            `line 1: "FROM scratch AS"`,
		"FROM --platform=x scratch\n":                  `line 1: "FROM --platform=x scratch"`,
		"FROM\n":                                       `line 1: "FROM "`,
		"":                                             "there is no FROM scratch",
		good + "COPY --from=0 /a /b\n":                 `line 4: "COPY --from=0 /a /b"`,
		good + "FROM scratch\n":                        "an image takes a COPY and an ENTRYPOINT",
		"FROM scratch\n" + good:                        "an image takes a COPY and an ENTRYPOINT",
		good + "RUN true\n":                            `line 4: "RUN true" is not known here`,
		good + "COPY a b /c\n":                         `line 4: "COPY a b /c"`,
		good + "COPY a c\n":                            `line 4: "COPY a c"`,
		good + "COPY a /c/\n":                          `line 4: "COPY a /c/"`,
		good + "ENV A=b\n":                             `line 4: "ENV A=b"`,
		good + "USER $WHO\n":                           "line 4: USER $WHO: variables",
		good + "USER \\\n":                             "line 4: USER \\: variables",
		good + "ENTRYPOINT /a\n":                       `line 4: "ENTRYPOINT /a"`,
		"FROM scratch\nENTRYPOINT [\"/a\"]\n":          "an image takes a COPY and an ENTRYPOINT",
		"FROM scratch\nCOPY bin/linux-${TARGETARCH} /": "variables but TARGETARCH",
		// What ARG named ends with its stage, as with docker build.
		strings.Replace(good, "\n", "\nARG TARGETARCH\n", 1) + "FROM scratch\nCOPY $TARGETARCH /a\n": "line 6: COPY $TARGETARCH /a: variables",
		strings.Repeat("FROM scratch AS a\nCOPY a /a\nENTRYPOINT [\"/a\"]\n", 2):                     `line 4: there is a stage "a" already`,
	} {
		if _, err := parse(text, "amd64", ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: said %v, want %s", text, err, says)
		}
	}
}

func TestStages(t *testing.T) {
	const text = "FROM scratch AS one\nCOPY 1 /1\nUSER 1\nEXPOSE 1\nENTRYPOINT [\"/1\"]\n" +
		"FROM scratch AS two\nARG TARGETARCH\nCOPY $TARGETARCH /2\nENTRYPOINT [\"/2\"]\n" +
		"FROM scratch\nCOPY 3 /3\nENTRYPOINT [\"/3\"]\n"
	for target, want := range map[string]recipe{
		"one": {stage: "one", copies: []copied{{"1", "/1"}}, user: "1", ports: []string{"1/tcp"}, entrypoint: []string{"/1"}},
		"two": {stage: "two", copies: []copied{{"amd64", "/2"}}, entrypoint: []string{"/2"}},
		"":    {copies: []copied{{"3", "/3"}}, entrypoint: []string{"/3"}},
	} {
		if got, err := parse(text, "amd64", target); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%q: %+v, %v", target, got, err)
		}
	}
	if _, err := parse(text, "amd64", "three"); err == nil || !strings.Contains(err.Error(), `there is no stage "three"`) {
		t.Errorf("said %v", err)
	}
}
