package dockerproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
)

// Identity tells a volume from another one that has had its name.
type Identity struct {
	// Label is volumes.opensandbox.io/created, which the companion gives a volume.
	Label string `json:"label"`
	// CreatedAt is the engine's. It means nothing before API version 1.42.
	CreatedAt string `json:"createdAt"`
}

// State is what must be known of volumes that go with their last container: that
// a container used them, and which volume of that name it was. It is a small
// JSON file, replaced as a whole and synced before a change counts. It is safe
// for concurrent use; one companion has it at a time. A nil State remembers nothing.
type State struct {
	path string
	mu   sync.Mutex
	used map[string]Identity // by the volume's name
}

// OpenState reads the file in the folder, which is made where it is missing. A
// file that cannot be read is an error: starting without it would keep for ever
// what it names, unnoticed.
func OpenState(dir string) (*State, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state's folder: %w", err)
	}
	s := &State{path: filepath.Join(dir, "volumes.json"), used: map[string]Identity{}}
	raw, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	if err := json.Unmarshal(raw, &s.used); err != nil {
		return nil, fmt.Errorf("reading the state %s: %w; move it away to keep every volume that it names", s.path, err)
	}
	if s.used == nil {
		s.used = map[string]Identity{}
	}
	return s, nil
}

// Use records that a container uses the volume.
func (s *State) Use(name string, v Identity) error {
	if s == nil {
		return errors.New("the companion keeps no state")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used[name] == v {
		return nil
	}
	return s.change(func(used map[string]Identity) { used[name] = v })
}

// Forget drops what is known of the volume, unless it is of another one by now.
func (s *State) Forget(name string, v Identity) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.used[name]; !ok || known != v {
		return nil
	}
	return s.change(func(used map[string]Identity) { delete(used, name) })
}

// All is a copy of what is known, by the volumes' names.
func (s *State) All() map[string]Identity {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.used)
}

// change writes the changed file and only then believes it. The caller holds mu.
func (s *State) change(edit func(map[string]Identity)) error {
	next := maps.Clone(s.used)
	edit(next)
	raw, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := replace(s.path, raw); err != nil {
		return fmt.Errorf("writing the state: %w", err)
	}
	s.used = next
	return nil
}

// replace makes the file's new content last before its old one is gone.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".volumes-")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
