// Command image writes the image that a Dockerfile describes into a tarball
// which `docker load` and `ctr images import` read, where no engine is at hand.
//
//	image -arch amd64 -name ensure-volumes:dev -o bin/ensure-volumes-image.tar
//	image -target companion -name ensure-volumes-companion:dev -o bin/ensure-volumes-companion-image.tar
//
// It knows stages FROM scratch and the few instructions that an image of one
// static binary takes, ARG TARGETARCH, COPY, USER, EXPOSE and ENTRYPOINT, and
// refuses every other: what `docker build` makes of the same file and the same
// target is the same image. Equal input gives an equal tarball.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dockerfile := flags.String("dockerfile", "Dockerfile", "`path` of the Dockerfile")
	context := flags.String("context", ".", "`folder` that COPY copies from")
	arch := flags.String("arch", "amd64", "TARGETARCH, and the image's `architecture`")
	target := flags.String("target", "", "`stage` that is the image; empty: the last one")
	name := flags.String("name", "", "the image's `name:tag`")
	output := flags.String("o", "", "`path` of the tarball")
	most := flags.Int64("max-mib", 0, "refuse an image whose files have more than this `size`, uncompressed, as an engine keeps them; 0: any will do")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *name == "" || *output == "" || flags.NArg() > 0 {
		return errors.New("usage: image [-dockerfile FILE] [-context FOLDER] [-arch ARCH] [-target STAGE] -name NAME:TAG -o TARBALL")
	}
	text, err := os.ReadFile(*dockerfile)
	if err != nil {
		return fmt.Errorf("reading the Dockerfile: %w", err)
	}
	recipe, err := parse(string(text), *arch, *target)
	if err != nil {
		return fmt.Errorf("reading %s: %w", *dockerfile, err)
	}
	// Written beside its place and renamed: an interrupted run leaves no half image.
	fresh := *output + ".new"
	file, err := os.Create(fresh)
	if err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	defer os.Remove(fresh)
	size, err := recipe.write(file, *context, *arch, *name)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	info, err := os.Stat(fresh)
	if err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	if *most > 0 && size > *most<<20 {
		return fmt.Errorf("the image has %.2f MiB, more than %d MiB", mebibytes(size), *most)
	}
	if err := os.Rename(fresh, *output); err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	fmt.Fprintf(stderr, "%s: %s for linux/%s, %.1f MiB, as a compressed tarball %.1f MiB\n",
		*output, *name, *arch, mebibytes(size), mebibytes(info.Size()))
	return nil
}

func mebibytes(size int64) float64 { return float64(size) / (1 << 20) }
