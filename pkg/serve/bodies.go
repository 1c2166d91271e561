package serve

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// Nearly every pod is smaller; so many bodies of this size fit beside each other as there may be connections.
	smallBody = 64 << 10
	// No pod is larger: the API server reads 3 MiB of a request. Where the length is not known, this is it.
	largestBody = 4 << 20
	// What all larger bodies may have together.
	largeBodies = 8 * largestBody
	// How long one that is refused may take to come in.
	refusedBody = 5 * time.Second
)

// bodies bounds the memory that large bodies take while they come in and are answered. Without it a few connections on
// which they come in slowly would fill it. Small ones are always taken, so that nobody can keep those out.
type bodies struct{ taken atomic.Int64 }

// limit asks for a repetition where there is no room for a body now.
func (b *bodies) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size := r.ContentLength
		if size < 0 || size > largestBody {
			size = largestBody
		}
		if size > smallBody {
			defer b.taken.Add(-size)
			if b.taken.Add(size) > largeBodies {
				// Read all the same, which takes no memory: who still writes when the connection ends may not see
				// the answer.
				_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(refusedBody))
				_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, largestBody))
				w.Header().Set("Retry-After", "1")
				http.Error(w, "too many large bodies at once; try again", http.StatusServiceUnavailable)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
