package dockerproxy

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

func TestState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	s, err := OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{s.Use("a", "1"), s.Use("b", "1"), s.Use("a", "2"), s.Forget("b", "other"), s.Forget("c", "")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	again, err := OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"a": "2", "b": "1"}; !maps.Equal(again.All(), want) || !maps.Equal(s.All(), want) {
		t.Errorf("got %v, then %v", s.All(), again.All())
	}
	if err := again.Forget("a", "2"); err != nil || again.All()["a"] != "" {
		t.Errorf("forgetting: %v, left %v", err, again.All())
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("the folder holds %v, %v", files, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "volumes.json"), []byte(`{"a":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(dir); err == nil {
		t.Error("a torn file is opened as if it were empty")
	}
	var none *State
	if none.Use("a", "1") == nil {
		t.Error("a volume counts as recorded without a state")
	}
}
