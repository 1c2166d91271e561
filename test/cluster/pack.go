package main

import (
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/image"
)

// pack writes an archive of an image that is made of programs: pairs such as
// /webhook=bin/webhook, of which the first is the entrypoint.
func pack(reference, user string, pairs []string, w io.Writer) error {
	packed := image.Image{Reference: reference, User: user, Env: []string{"PATH=/bin"}}
	folders := []string{"tmp"}
	packed.Files = []image.File{{Name: "tmp/", Mode: 0o1777}}
	for _, pair := range pairs {
		inside, outside, ok := strings.Cut(pair, "=")
		inside = path.Clean("/" + inside)[1:]
		if !ok || inside == "" || outside == "" {
			return fmt.Errorf("packing %q: write it as /path/in/image=file", pair)
		}
		content, err := os.ReadFile(outside)
		if err != nil {
			return fmt.Errorf("packing %q: %w", pair, err)
		}
		for i, c := range inside {
			if folder := inside[:i]; c == '/' && !slices.Contains(folders, folder) {
				folders = append(folders, folder)
				packed.Files = append(packed.Files, image.File{Name: folder + "/", Mode: 0o755})
			}
		}
		packed.Files = append(packed.Files, image.File{Name: inside, Mode: 0o755, Content: content})
		if packed.Entrypoint == nil {
			packed.Entrypoint = []string{"/" + inside}
		}
	}
	return packed.Write(w)
}
