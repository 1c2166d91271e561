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
	one, two, moved := Identity{"1", "then"}, Identity{"2", "then"}, Identity{"1", "later"}
	for _, err := range []error{s.Use("a", one), s.Use("b", one), s.Use("a", two), s.Forget("b", moved), s.Forget("c", Identity{})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	again, err := OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]Identity{"a": two, "b": one}; !maps.Equal(again.All(), want) || !maps.Equal(s.All(), want) {
		t.Errorf("got %v, then %v", s.All(), again.All())
	}
	if err := again.Forget("a", two); err != nil || len(again.All()) != 1 {
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
	if none.Use("a", one) == nil {
		t.Error("a volume counts as recorded without a state")
	}
}
