package docker

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// metric is a number that the companion tells of itself.
func (c *companion) metric(t *testing.T, name string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.MetricsURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true // a connection that is kept would count
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(number)
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// connections counts those that the server of a Unix socket has not ended yet.
func connections(t *testing.T, socket string) int {
	t.Helper()
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(string(table)) {
		// Num RefCount Protocol Flags Type St Inode Path; state 01 is the listener's.
		if field := strings.Fields(line); len(field) == 8 && field[5] == "03" && field[7] == socket {
			count++
		}
	}
	return count
}
