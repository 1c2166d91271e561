package docker

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ensure-volumes/ensure-volumes/test/engine"
)

// terminal is the CLI on a terminal of its own, as in front of a person.
type terminal struct {
	screen *os.File
	ended  chan struct{} // the CLI has ended, and all that it wrote is on the screen
	code   int           // once ended
	mu     sync.Mutex
	shown  strings.Builder
}

// openTerminal starts the CLI on a terminal of that size.
func openTerminal(t *testing.T, socket string, rows, columns uint16, args ...string) *terminal {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetUint32(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	keyboard, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close() // the CLI has its own
	tt := &terminal{screen: screen, ended: make(chan struct{})}
	tt.resize(t, rows, columns)
	cmd := engine.CLI(t.Context(), socket, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = keyboard, keyboard, keyboard
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(tt.ended)
		var err error // EIO once nobody has the terminal
		for buffer := make([]byte, 4096); err == nil; {
			var n int
			n, err = screen.Read(buffer)
			tt.mu.Lock()
			tt.shown.Write(buffer[:n])
			tt.mu.Unlock()
		}
		_ = cmd.Wait() // its exit code says it
		tt.code = cmd.ProcessState.ExitCode()
	}()
	return tt
}

// resize is what a window's edge does; the kernel tells the CLI (SIGWINCH).
func (tt *terminal) resize(t *testing.T, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(tt.screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

func (tt *terminal) keys(t *testing.T, keys string) {
	t.Helper()
	if _, err := tt.screen.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

func (tt *terminal) shows() string {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	return tt.shown.String()
}

// until waits for words on the screen.
func (tt *terminal) until(t *testing.T, words string) {
	t.Helper()
	waitFor(t, fmt.Sprintf("the screen shows %q", words), func() bool { return strings.Contains(tt.shows(), words) })
}

// end is the exit code.
func (tt *terminal) end(t *testing.T) int {
	t.Helper()
	select {
	case <-tt.ended:
	case <-time.After(30 * time.Second):
		t.Fatalf("the CLI does not end; the screen shows\n%s", tt.shows())
	}
	return tt.code
}

// TestTerminal: a person at a terminal, with exec -it, run -it and attach, sees the same on both sides.
func TestTerminal(t *testing.T) {
	t.Parallel()
	c := start(t)
	// The program says its size where it has one at the start, and at each change,
	// which may come in the middle of a read; and what is typed, until "bye".
	const program = `trap 'stty size' WINCH; stty size 2>/dev/null; echo ready; while :; do read l || continue; case $l in bye) exit 5;; esac; echo got $l; done`
	screens := map[string]string{}
	for _, side := range []struct{ name, socket string }{{"direct", shared.Socket}, {"through", c.Socket}} {
		id, _ := c.create(t, "-it", image, "sh", "-c", "trap 'echo redrawn' WINCH; echo started; until read l; do :; done; echo got $l; until read l; do :; done; exit 8")
		sitting := func(args ...string) string {
			tt := openTerminal(t, side.socket, 40, 100, args...)
			tt.until(t, "ready\r\n")
			tt.until(t, "40 100\r\n")
			tt.keys(t, "typed\r")
			tt.until(t, "got typed\r\n")
			tt.resize(t, 50, 132)
			tt.until(t, "50 132\r\n")
			tt.keys(t, "bye\r")
			if code := tt.end(t); code != 5 {
				t.Errorf("%s: docker %q: exit code %d, want 5", side.name, args, code)
			}
			return tt.shows()
		}
		tt := openTerminal(t, side.socket, 40, 100, "start", "-ai", id)
		tt.until(t, "started\r\n")
		seen := sitting("exec", "-it", id, "sh", "-c", program)
		seen += sitting("run", "--rm", "-it", "--network", "none", image, "sh", "-c", program)
		tt.keys(t, "\x10\x11") // ctrl-p ctrl-q
		seen += fmt.Sprintln("detached:", tt.end(t))
		again := openTerminal(t, side.socket, 40, 100, "attach", id)
		again.until(t, "redrawn\r\n") // the CLI asks for that once it has attached
		again.keys(t, "one\r")
		again.until(t, "got one\r\n")
		again.keys(t, "two\r")
		code := again.end(t)
		seen += fmt.Sprintln(again.shows(), code)
		// How often the size was told, and when, depends on who is first.
		screens[side.name] = regexp.MustCompile(`(redrawn|\d+ \d+)\r\n`).ReplaceAllString(seen, "")
	}
	if screens["direct"] != screens["through"] {
		t.Errorf("the screen shows %q, with the engine itself %q", screens["through"], screens["direct"])
	}
}
