package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// What a load has seen.

func (l *load) fail(at time.Time, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, failure{at, what})
}

// witness sees every answer to a create of a pod: client-go repeats some by
// itself, and tells nobody.
func (l *load) witness(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		begin := time.Now()
		response, err := next.RoundTrip(request)
		if err == nil && request.Method == http.MethodPost && strings.HasSuffix(request.URL.Path, "/pods") && response.StatusCode != http.StatusCreated {
			body, _ := io.ReadAll(response.Body) // what is lost of it the client will miss as well
			response.Body.Close()
			response.Body = io.NopCloser(bytes.NewReader(body))
			l.fail(begin, fmt.Sprintf("%s: %.400s", response.Status, body))
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// count is how many pods were created so far.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.created
}

// since are the failures of creates that began at a time or later.
func (l *load) since(at time.Time) []failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.failures), func(f failure) bool { return f.at.Before(at) })
}

// waited are the waits that began within a time.
func (l *load) waited(from, to time.Time) (waits []wait) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.waits {
		if !w.from.Before(from) && w.from.Before(to) {
			waits = append(waits, *w)
		}
	}
	return waits
}

// summary says how long creates took. It is called after finish.
func (l *load) summary() string {
	if len(l.took) == 0 {
		return "no creates"
	}
	took := slices.Sorted(slices.Values(l.took))
	at := func(share float64) string {
		return took[int(share*float64(len(took)-1))].Round(100 * time.Microsecond).String()
	}
	return fmt.Sprintf("%d creates; the median took %s, 99%% at most %s, the slowest %s", l.created, at(0.5), at(0.99), at(1))
}

// wantNone fails the test for failures, and shows the first of them.
func wantNone(t *testing.T, failures []failure) {
	t.Helper()
	for i, f := range failures {
		if i == 20 {
			t.Errorf("and %d more", len(failures)-i)
			return
		}
		t.Errorf("%s: %s", f.at.UTC().Format("15:04:05.000"), f.what)
	}
}
