package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ensure-volumes/ensure-volumes/test/docs"
)

// TestOperations does what docs/operations.md says, from an empty cluster to an uninstalled release, and sees what it says.
func TestOperations(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := docs.Parse(string(text))
	if err != nil {
		t.Fatalf("docs/operations.md: %v", err)
	}
	g := newGround(t)
	before := g.everything(t)
	shell := docs.Shell{Dir: g.root, Env: g.environment()}
	for _, b := range blocks {
		begin := time.Now()
		// The longest thing that it waits for is the end of a replica, 2 minutes.
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		err := shell.Run(ctx, b)
		cancel()
		if err != nil {
			t.Fatalf("docs/operations.md, %q: %v", b.Section, err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Logf("line %d, %q: %s", b.Line, b.Section, took.Round(time.Second))
		}
	}
	if after := g.everything(t); after != before {
		t.Errorf("the document leaves things behind; outside of namespaces there was\n%s\nand now there is\n%s", before, after)
	}
}
