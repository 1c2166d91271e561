package integration

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Large bodies that come in slowly take each other's room, and no small one's. Not parallel: others send large ones.
func TestLargeBodiesAtOnce(t *testing.T) {
	ns := world.namespace(t)
	small := strings.Replace(review(t, ns, pod(ns, "sb1", "data")), `"operation":"CREATE"`, `"operation":"CREATE","dryRun":true`, 1)
	large := small + strings.Repeat(" ", 65<<10)
	answer := func(body string, want int) (said string, err error) {
		code, said := post(t, jsonType, body)
		if code != want {
			err = fmt.Errorf("%d %.200s, want %d", code, said, want)
		}
		return fmt.Sprintf("%d %s", code, said), err
	}
	var held []*tls.Conn
	for range 8 {
		conn, err := tls.Dial("tcp", world.in.Address, &tls.Config{RootCAs: world.in.CAPool, MinVersion: tls.VersionTLS12})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		held = append(held, conn)
		if _, err := io.WriteString(conn, "POST /mutate?timeout=30s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4194304\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, "there is no room for another large body", func(context.Context) error {
		said, err := answer(large, http.StatusServiceUnavailable)
		if err == nil {
			world.faults.Saw(t, "large-bodies", said)
		}
		return err
	})
	if _, err := answer(small, http.StatusOK); err != nil {
		t.Errorf("a small body: %v", err)
	}
	for _, conn := range held {
		_ = conn.Close()
	}
	wait(t, "there is room again", func(context.Context) error {
		_, err := answer(large, http.StatusOK)
		return err
	})
}
