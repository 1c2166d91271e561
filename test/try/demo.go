package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// demo tells the stories on a control plane of its own, in a fresh folder
// under dir, and ends everything. The error names the first story that came
// out in another way than it should.
func demo(ctx context.Context, dir string, stdout, stderr io.Writer) (err error) {
	begin := time.Now()
	own, err := os.MkdirTemp(dir, "demo-")
	if err != nil {
		return fmt.Errorf("creating the demo's folder: %w", err)
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w\nthe logs are kept in %s", err, own)
			return
		}
		err = errors.Join(err, os.RemoveAll(own))
	}()
	if err := tellAll(ctx, own, stdout, stderr); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nEvery story came out as it should, in %.0f s. Nothing is left running.\n", time.Since(begin).Seconds())
	return nil
}

// tellAll prepares a ground in dir, tells the stories on it and ends it.
func tellAll(ctx context.Context, dir string, stdout, stderr io.Writer) (err error) {
	g, err := prepare(ctx, dir, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.stop()) }()

	t := &teller{ground: g, out: stdout}
	if err := t.introduce(ctx); err != nil {
		return err
	}
	for i, s := range stories() {
		fmt.Fprintf(stdout, "\n%d. %s\n", i+1, s.title)
		if err := t.tell(ctx, s); err != nil {
			return fmt.Errorf("story %d: %w", i+1, err)
		}
	}
	return nil
}

// teller tells stories to out, holding each to what it promises.
type teller struct {
	ground *ground
	out    io.Writer
	table  string // the claims after the story before
}

func (t *teller) introduce(ctx context.Context) error {
	fmt.Fprintf(t.out, `
Kubernetes %s without nodes: pods are admitted but never run, and claims stay Pending.
Namespace %q is enabled. Every pod is created by %q, who may create pods and no claims:
`, t.ground.version, namespace, author)
	const question = "create persistentvolumeclaims"
	output, err := t.kubectl(ctx, "", append([]string{"auth", "can-i", "--as", author}, strings.Fields(question)...)...)
	if output != "no\n" {
		return fmt.Errorf("%s may %s, which spoils the demo: %q, %w", author, question, output, err)
	}
	fmt.Fprintf(t.out, "  $ kubectl auth can-i %s --as %s\n  no\n", question, author)
	return nil
}

func (t *teller) tell(ctx context.Context, s story) error {
	manifest, err := s.manifest()
	if err != nil {
		return err
	}
	hints, err := asked(manifest)
	if err != nil {
		return err
	}
	for i, args := range [][]string{s.before, s.until} {
		if len(args) == 0 {
			continue
		}
		if i == 0 {
			t.paragraph("first", "an administrator: kubectl "+strings.Join(args, " "))
		}
		if output, err := t.kubectl(ctx, "", args...); err != nil {
			return fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, output)
		}
	}
	command := append([]string{"create", "--as", author, "-f", "-"}, s.flags...)
	t.paragraph("asked", append(hints, "$ kubectl "+strings.Join(command, " ")+" < stories/"+s.file)...)
	output, failure := t.kubectl(ctx, manifest, command...)
	t.paragraph("answered", strings.Split(strings.TrimSpace(output), "\n")...)
	if exit := (*exec.ExitError)(nil); failure != nil && !errors.As(failure, &exit) {
		return fmt.Errorf("running kubectl: %w", failure)
	}
	if refused := failure != nil; refused != s.refused {
		return fmt.Errorf("refused: %t, want %t", refused, s.refused)
	}
	for _, want := range s.answer {
		if !strings.Contains(output, want) {
			return fmt.Errorf("the answer lacks %s", want)
		}
	}
	return t.tellClaims(ctx, s.claims)
}

// tellClaims shows the claims that exist, which must be those of want.
func (t *teller) tellClaims(ctx context.Context, want []string) error {
	const columns = "NAME:.metadata.name,STATUS:.status.phase,REQUESTED:.spec.resources.requests.storage," +
		"CLASS:.spec.storageClassName,MODES:.spec.accessModes[*]"
	table, err := t.kubectl(ctx, "", "get", "persistentvolumeclaims", "-o", "custom-columns="+columns)
	if err != nil {
		return fmt.Errorf("listing the claims: %w\n%s", err, table)
	}
	rows := strings.Split(strings.TrimSpace(table), "\n")
	var got, names []string
	for _, row := range rows[1:] {
		fields := strings.Fields(row)
		names = append(names, fields[0])
		if fields[1] != "Pending" {
			return fmt.Errorf("claim %s is %s, want Pending", fields[0], fields[1])
		}
		got = append(got, strings.Join(slices.Delete(fields, 1, 2), " "))
	}
	if table == t.table {
		t.paragraph("claims", "as before: "+strings.Join(names, ", "))
	} else {
		t.paragraph("claims", rows...)
	}
	t.table = table
	if !slices.Equal(got, want) {
		return fmt.Errorf("the claims are %q, want %q", got, want)
	}
	return nil
}

func (t *teller) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	return t.ground.controlPlane.Kubectl(ctx, stdin, append([]string{"--namespace", namespace}, args...)...)
}

// paragraph writes lines beside a word that says what they are.
func (t *teller) paragraph(word string, lines ...string) {
	const width = 100
	for _, line := range lines {
		for _, part := range wrap(strings.TrimRight(line, " "), width) {
			fmt.Fprintf(t.out, "   %-10s%s\n", word, part)
			word = ""
		}
	}
}

// wrap breaks a line at blanks so that no part is wider than width, if it can.
// Every part but the first is indented.
func wrap(line string, width int) []string {
	var parts []string
	const indent = "  "
	for len(line) > width {
		cut := strings.LastIndexByte(line[:width+1], ' ')
		if cut <= len(indent) {
			break
		}
		parts = append(parts, line[:cut])
		line = indent + strings.TrimLeft(line[cut:], " ")
	}
	return append(parts, line)
}
