package docker

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
)

// TestFraming: a body is what its framing says, and what comes behind it is a
// request of its own.
func TestFraming(t *testing.T) {
	c := start(t)
	for _, w := range ways {
		for i, row := range []struct {
			rule string
			// framed is the rest of the request, after its head.
			framed func(body string, half int) string
			code   int
			cut    bool // nothing more comes, although more is to come
		}{
			{"chunked", func(b string, half int) string {
				return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", half, b[:half], len(b)-half, b[half:])
			}, 201, false},
			{"chunked, with an extension and a trailer", func(b string, _ int) string {
				return fmt.Sprintf("Trailer: X\r\nTransfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%s\r\n0\r\nX: y\r\n\r\n", len(b), b)
			}, 201, false},
			{"chunked, cut off", func(b string, half int) string {
				return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(b), b[:half])
			}, 400, true},
			{"chunked, without an end", func(b string, _ int) string {
				return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(b), b)
			}, 400, true},
			{"chunked, of no size", func(b string, _ int) string { return "Transfer-Encoding: chunked\r\n\r\nz\r\n" + b + "\r\n0\r\n\r\n" }, 400, false},
			{"chunked, and a length", func(b string, half int) string {
				return fmt.Sprintf("Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", half, len(b), b)
			}, 201, false},
			{"two framings", func(b string, _ int) string {
				return fmt.Sprintf("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
			}, 501, false},
			{"too short a length", func(b string, half int) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", half, b) }, 400, false},
			{"too long a length", func(b string, _ int) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(b)+1, b) }, 400, true},
			{"two lengths", func(b string, half int) string {
				return fmt.Sprintf("Content-Length: %d\r\nContent-Length: %d\r\n\r\n%s", half, len(b), b)
			}, 400, false},
			{"a length that is none", func(b string, _ int) string { return fmt.Sprintf("Content-Length: +%d\r\n\r\n%s", len(b), b) }, 400, false},
			{"no length", func(b string, _ int) string { return "\r\n" + b }, 400, false},
			{"upgrading", func(b string, _ int) string {
				return fmt.Sprintf("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: tcp\r\nHTTP2-Settings: AA\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
			}, 201, false},
			{"to HTTP/2", func(b string, _ int) string {
				return fmt.Sprintf("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
			}, 400, false},
			{"on a promise", func(b string, _ int) string {
				return fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
			}, 201, false},
		} {
			name := fmt.Sprintf("framed-%s-%d", w.plural, i)
			body := w.body(name)
			codes := answers(t, c.Socket, w.head()+row.framed(body, len(body)/2), 1, row.cut)
			if codes[0] != row.code {
				t.Errorf("%s, %s: answered with %d", w.path, row.rule, codes)
			}
			checkMade(t, w.path+", "+row.rule, name, codes[0])
		}
		refused, behind := "refused-"+w.plural, "behind-"+w.plural
		codes := answers(t, c.Socket, w.whole(w.body(refused)+"x")+w.whole(w.body(behind)), 2, false)
		if !slices.Equal(codes, []int{400, 201}) {
			t.Errorf("%s, one behind the other: answered with %d", w.path, codes)
		}
		checkMade(t, w.path, refused, 400)
		checkMade(t, w.path, behind, 201)
		// A connection that has carried a body unread carries nothing more.
		for i, head := range []string{"GET /containers/none/archive?path=/ HTTP/1.1\r\nHost: x\r\n\r\n", "GET /containers/none/export HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"} {
			unread := fmt.Sprintf("unread-%s-%d", w.plural, i)
			if codes := answers(t, c.Socket, head+w.whole(w.body(unread)), 1, false); !slices.Equal(codes, []int{404}) {
				t.Errorf("%q: answered with %d", head, codes)
			}
			checkMade(t, w.path+", behind an unread body", unread, 404)
		}
	}
	if codes := answers(t, c.Socket, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1, false); !slices.Equal(codes, []int{400}) {
		t.Errorf("HTTP/2: answered with %d", codes)
	}
}

// answers sends what a client says and returns the codes of the first answers.
// cut: it then ends its direction.
func answers(t *testing.T, socket, said string, count int, cut bool) []int {
	t.Helper()
	conn := dial(t, socket)
	defer conn.Close()
	go func() {
		// The answer may come before all is read: writing then fails, and the answer counts.
		if _, err := io.WriteString(conn, said); err == nil && cut {
			_ = conn.CloseWrite()
		}
	}()
	var codes []int
	for len(codes) < count {
		response, err := http.ReadResponse(conn.buffered, nil)
		if err != nil {
			t.Fatalf("%.200q: %v", said, err)
		}
		if response.StatusCode != http.StatusContinue {
			codes = append(codes, response.StatusCode)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
	}
	return codes
}
