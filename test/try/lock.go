package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// lock is a file that a process holds for as long as it lives, with its pid in
// it: the kernel lets go of it with the process, so a pid is believed only
// while the file is locked. The file stays; removing it would let two processes
// lock two files of one name.
type lock struct{ file *os.File }

func openLock(path string) (*lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	return &lock{file}, nil
}

// try takes the lock unless somebody has it.
func (l *lock) try() (taken bool, err error) {
	err = syscall.Flock(int(l.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("locking %s: %w", l.file.Name(), err)
	}
	return true, nil
}

// clear forgets the pid of an earlier holder. We hold the lock.
func (l *lock) clear() error {
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("clearing the lock: %w", err)
	}
	return nil
}

// write puts our pid into a lock that we hold and have cleared.
func (l *lock) write() error {
	if _, err := l.file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0); err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	return nil
}

// read returns the pid of whoever holds the lock, 0 when not written yet.
func (l *lock) read() (int, error) {
	content, err := io.ReadAll(io.NewSectionReader(l.file, 0, 32))
	if err != nil {
		return 0, fmt.Errorf("reading the lock: %w", err)
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return 0, nil
	}
	pid, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("reading the lock %s: %w", l.file.Name(), err)
	}
	return pid, nil
}

// close lets go of a lock that only we hold.
func (l *lock) close() { l.file.Close() }
