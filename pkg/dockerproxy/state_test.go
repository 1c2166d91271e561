package dockerproxy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	s, err := OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	used := Entry{Name: "a", Label: "2", Used: true, CreatedAt: "then", Engine: "one"}
	for _, err := range []error{
		s.Intend("1", "a", "b"), s.Intend("2", "a"), s.Use(used), s.Use(Entry{Name: "c", Label: "1"}), s.Use(Entry{Name: "b", Label: "2"}),
		s.Forget(Entry{Name: "b", Label: "other"}, Entry{Name: "c"}), s.Forget(Entry{Name: "a", Label: "1"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenState(dir); err == nil || !strings.Contains(err.Error(), "another companion has it") {
		t.Errorf("a second companion has the state too: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Entry{{Name: "b", Label: "1"}, used}; !slices.Equal(again.All(), want) || !slices.Equal(s.All(), want) {
		t.Errorf("got %v, then %v", s.All(), again.All())
	}
	if !again.Knows("a", "2") || again.Knows("a", "1") || again.Knows("c", "1") {
		t.Errorf("it knows what it should not, or not what it should: %v", again.All())
	}
	if err := again.Forget(used); err != nil || len(again.All()) != 1 {
		t.Errorf("forgetting: %v, left %v", err, again.All())
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 { // with the lock
		t.Errorf("the folder holds %v, %v", files, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "volumes.json"), []byte(`[{"name":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(dir); err == nil || !strings.Contains(err.Error(), "reading the state") {
		t.Error("a torn file is opened as if it were empty")
	}
	var none *State
	if none.Intend("1", "a") == nil {
		t.Error("a volume counts as recorded without a state")
	}
}
