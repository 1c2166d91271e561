package main

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
)

// Every file is told, and none holds a field that a pod does not have.
func TestEachFileIsAStory(t *testing.T) {
	files, err := storyFiles.ReadDir("stories")
	if err != nil {
		t.Fatal(err)
	}
	all := stories()
	if len(files) != len(all) {
		t.Errorf("%d files and %d stories", len(files), len(all))
	}
	strict := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	for i, s := range all {
		if i < len(files) && files[i].Name() != s.file {
			t.Errorf("story %d is told from %s, want %s", i+1, s.file, files[i].Name())
		}
		manifest, err := s.manifest()
		if err != nil {
			t.Error(err)
			continue
		}
		object, _, err := strict.Decode([]byte(manifest), nil, nil)
		if err != nil {
			t.Errorf("%s: %v", s.file, err)
		} else if _, ok := object.(*corev1.Pod); !ok {
			t.Errorf("%s: a %T, want a pod", s.file, object)
		}
	}
}

func TestAskedTellsClaimsAndHints(t *testing.T) {
	manifest, err := stories()[1].manifest()
	if err != nil {
		t.Fatal(err)
	}
	got, err := asked(manifest)
	want := []string{
		"claims bob-data, bob-shared",
		"bob-data.volumes.opensandbox.io/storage: 5Gi",
		"bob-shared.volumes.opensandbox.io/accessModes: RWX",
		"volumes.opensandbox.io/storageClass: fast",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestWrapKeepsEveryWord(t *testing.T) {
	for line, want := range map[string][]string{
		"":                     {""},
		"short":                {"short"},
		"exactly te":           {"exactly te"},
		"one two three four":   {"one two", "  three", "  four"},
		"unbreakably-long one": {"unbreakably-long one"},
		"a unbreakably-long":   {"a unbreakably-long"},
	} {
		if got := wrap(line, 10); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
	text := strings.Repeat("all the words ", 40)
	if got := strings.Fields(strings.Join(wrap(text, 30), " ")); !slices.Equal(got, strings.Fields(text)) {
		t.Errorf("words were lost: %q", got)
	}
}
