package child

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func start(t *testing.T, script string) *Child {
	t.Helper()
	c, err := Start("/bin/sh", filepath.Join(t.TempDir(), "log"), nil, "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop(0) })
	return c
}

func TestStopIsPoliteFirst(t *testing.T) {
	c := start(t, `trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.05; done`)
	waitFor(t, c, "up")
	c.Stop(10 * time.Second)
	if got := Tail(c.Log, 1); got != "asked" {
		t.Errorf("the log ends with %q, want asked", got)
	}
}

func TestStopDoesNotTakeNoForAnAnswer(t *testing.T) {
	c := start(t, `trap '' TERM; echo up; while :; do sleep 0.05; done`)
	waitFor(t, c, "up")
	c.Stop(100 * time.Millisecond)
	select {
	case <-c.Done():
	default:
		t.Error("still running")
	}
}

func TestAnEndTellsItsLastWords(t *testing.T) {
	c := start(t, `echo first; echo "the reason" >&2; exit 3`)
	<-c.Done()
	got := c.Err().Error()
	for _, want := range []string{"sh ended by itself", "exit status 3", "first\nthe reason"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}

func TestStartNamesWhatIsMissing(t *testing.T) {
	_, err := Start("/there/is/no/such-program", filepath.Join(t.TempDir(), "log"), nil)
	if err == nil || !strings.Contains(err.Error(), "starting such-program") {
		t.Errorf("got %v", err)
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Repeat("x", 20<<10)+"\na\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Tail(path, 2); got != "a\nb" {
		t.Errorf("two lines: %q", got)
	}
	if got := Tail(path, 9); len(got) > 8<<10 {
		t.Errorf("a long line: %d bytes", len(got))
	}
}

func waitFor(t *testing.T, c *Child, line string) {
	t.Helper()
	for range 500 {
		if strings.Contains(Tail(c.Log, 5), line) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the child never said %q", line)
}
