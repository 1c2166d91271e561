package dockerproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// Entry is a volume that the companion has written into a create, to go with its
// last container.
type Entry struct {
	Name string `json:"name"`
	// Label is volumes.opensandbox.io/created, which tells it from other volumes
	// that had the name, and from its copies.
	Label string `json:"label"`
	// Used is whether a container has used it, as far as is known.
	Used bool `json:"used"`
	// CreatedAt is the engine's, from when it was used; empty where that does not last.
	CreatedAt string `json:"createdAt,omitempty"`
	// Engine tells whose containers those were.
	Engine string `json:"engine,omitempty"`
}

// State is what must be known of volumes that go with their last container: that
// the companion made them, and that a container used them. It is a small JSON
// file, replaced as a whole and synced before a change counts. It is safe for
// concurrent use. A nil State knows nothing.
type State struct {
	path    string
	lock    *os.File // held by one companion at a time
	mu      sync.Mutex
	entries []Entry // in the order they came
}

// OpenState reads the file in the folder, which is made where it is missing, and
// has it until [State.Close] or the end of the process. A file that cannot be read
// is an error: starting without it would keep for ever what it names, unnoticed.
// So is a folder that another companion has.
func OpenState(dir string) (*State, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state's folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the state: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("locking the state in %s: another companion has it (%w)", dir, errors.Join(err, lock.Close()))
	}
	s := &State{path: filepath.Join(dir, "volumes.json"), lock: lock}
	if err := s.read(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// Close lets another companion have the state.
func (s *State) Close() error { return s.lock.Close() }

func (s *State) read() error {
	raw, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("reading the state: %w", err)
	}
	if err := json.Unmarshal(raw, &s.entries); err != nil {
		return fmt.Errorf("reading the state %s: %w; move it away to keep every volume that it names", s.path, err)
	}
	return nil
}

// Intend records volumes that are about to be written into a create, before
// anybody can know whether it comes to that.
func (s *State) Intend(label string, names ...string) error {
	if s == nil {
		return errors.New("the companion keeps no state")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.Clone(s.entries)
	for _, name := range names {
		next = append(next, Entry{Name: name, Label: label})
	}
	return s.store(next)
}

// Knows reports whether the volume is one that the companion has made to go with
// its last container.
func (s *State) Knows(name, label string) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(name, label) >= 0
}

// Use records that a container uses a volume. One that is not known stays so.
func (s *State) Use(e Entry) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(e.Name, e.Label)
	e.Used = true
	if i < 0 || s.entries[i] == e {
		return nil
	}
	next := slices.Clone(s.entries)
	next[i] = e
	return s.store(next)
}

// Forget drops what is known of volumes.
func (s *State) Forget(gone ...Entry) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(s.entries), func(e Entry) bool {
		return slices.ContainsFunc(gone, func(g Entry) bool { return g.Name == e.Name && g.Label == e.Label })
	})
	if len(next) == len(s.entries) {
		return nil
	}
	return s.store(next)
}

// All is a copy of what is known.
func (s *State) All() []Entry {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.entries)
}

// find is the index of a volume, or -1. The caller holds mu.
func (s *State) find(name, label string) int {
	return slices.IndexFunc(s.entries, func(e Entry) bool { return e.Name == name && e.Label == label })
}

// store writes the file and only then believes it. The caller holds mu.
func (s *State) store(next []Entry) error {
	raw, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := replace(s.path, raw); err != nil {
		return fmt.Errorf("writing the state: %w", err)
	}
	s.entries = next
	return nil
}

// replace makes the file's new content last before its old one is gone.
func replace(path string, content []byte) error {
	f, err := os.Create(path + ".new")
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
