package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Image is the one image that [Import] makes: a root file system with busybox,
// also called sh, and empty folders /tmp and /data. It has no command.
const Image = "ensure-volumes.test/busybox:1"

// Import makes [Image] in the engine behind the socket.
func Import(ctx context.Context, socket string) error {
	root, err := busybox()
	if err != nil {
		return err
	}
	cmd := CLI(ctx, socket, "import", "--change", "ENV PATH=/bin", "-", Image)
	cmd.Stdin = root
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making the image %s: %w\n%s", Image, err, said)
	}
	return nil
}

// busybox is the image's root file system, as a tar archive.
func busybox() (io.Reader, error) {
	program, err := static("/bin/busybox", "/usr/bin/busybox")
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, dir := range []string{"tmp/", "data/"} {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o1777}))
	}
	err = errors.Join(err, w.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(program))}))
	_, writeErr := w.Write(program)
	err = errors.Join(err, writeErr)
	for _, applet := range []string{"sh", "cat", "df", "echo", "env", "false", "ls", "rm", "seq", "sleep", "stty", "touch", "true"} {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeLink, Name: "bin/" + applet, Linkname: "bin/busybox", Mode: 0o755}))
	}
	return &archive, errors.Join(err, w.Close())
}

// static is the content of the first of the files that is a program without libraries.
func static(paths ...string) ([]byte, error) {
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		program, err := elf.NewFile(bytes.NewReader(content))
		if err == nil && !slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			return content, nil
		}
	}
	return nil, errors.New("there is no static busybox here; `make engine-packages` installs it (busybox-static)")
}
