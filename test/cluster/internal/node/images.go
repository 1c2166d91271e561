package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/image"
)

// The images that every node has.
const (
	BusyboxImage = "ensure-volumes.test/busybox:1" // a shell and its friends
	PauseImage   = "ensure-volumes.test/pause:1"   // does nothing for ever: holds a pod's network
)

// ctr is the command line that asks containerd for something, in kubelet's
// namespace.
func ctr(args ...string) []string {
	return append([]string{"ctr", "--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io"}, args...)
}

// images are made from the machine's static busybox.
func images(ctx context.Context) ([]image.Image, error) {
	path := busybox()
	if path == "" {
		return nil, errors.New("making images: there is no static busybox on this machine")
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("making images: %w", err)
	}
	list, err := exec.CommandContext(ctx, path, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("asking busybox what it can do: %w", err)
	}
	files := []image.File{
		{Name: "bin/", Mode: 0o755},
		{Name: "etc/", Mode: 0o755},
		{Name: "tmp/", Mode: 0o1777},
		{Name: "bin/busybox", Mode: 0o755, Content: content},
		{Name: "etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")},
		{Name: "etc/group", Mode: 0o644, Content: []byte("root:x:0:\nnogroup:x:65534:\n")},
	}
	pause := image.Image{
		Reference: PauseImage,
		// As long as it goes: not every busybox knows infinity.
		Entrypoint: []string{"/bin/busybox", "sleep", "2147483647"},
		Files:      files[:4:4],
	}
	for applet := range strings.FieldsSeq(string(list)) {
		if applet != "busybox" {
			files = append(files, image.File{Name: "bin/" + applet, Link: "busybox"})
		}
	}
	shell := image.Image{
		Reference: BusyboxImage,
		Cmd:       []string{"/bin/sh"},
		Env:       []string{"PATH=/bin"},
		Files:     files,
	}
	return []image.Image{pause, shell}, nil
}

// loadImages puts the images into containerd.
func loadImages(ctx context.Context) error {
	all, err := images(ctx)
	if err != nil {
		return err
	}
	for _, one := range all {
		archive, err := os.CreateTemp("", "image-")
		if err != nil {
			return fmt.Errorf("writing %s: %w", one.Reference, err)
		}
		err = one.Write(archive)
		archive.Close()
		if err == nil {
			load := ctr("images", "import", archive.Name())
			err = command(ctx, load[0], load[1:]...)
		}
		os.Remove(archive.Name())
		if err != nil {
			return err
		}
	}
	return nil
}
