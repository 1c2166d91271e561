package serve

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Large bodies have a share, and give it back; small ones need none.
func TestLargeBodiesShareTheirRoom(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	var b bodies
	handler := b.limit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begun <- struct{}{}
		<-finish
		w.WriteHeader(http.StatusOK)
	}))
	send := func(size int64) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/mutate", http.NoBody)
		r.ContentLength = size
		handler.ServeHTTP(w, r)
		return w
	}
	var taken sync.WaitGroup
	take := func(size int64) {
		taken.Go(func() {
			if w := send(size); w.Code != http.StatusOK {
				t.Errorf("%d bytes: %d %s", size, w.Code, w.Body)
			}
		})
		<-begun
	}
	for _, size := range []int64{largestBody, largestBody + 1, -1, largestBody, largestBody, largestBody, largestBody, largestBody} {
		take(size) // eight that count as the largest
	}
	for _, size := range []int64{smallBody + 1, largestBody, -1} {
		if w := send(size); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%d bytes: %d %s", size, w.Code, w.Body)
		}
	}
	take(smallBody)
	take(0)
	close(finish)
	taken.Wait()
	if n := b.taken.Load(); n != 0 {
		t.Errorf("%d bytes are still taken", n)
	}
	take(largestBody)
	taken.Wait()
}
