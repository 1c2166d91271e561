package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// The goal: at so many claims at most so much resident at the peak.
const (
	goalClaims = 50000
	goalBytes  = 80 << 20
)

// report writes the facts, the table and the plot in Markdown.
func report(w io.Writer, facts []string, rows []row) error {
	var out bytes.Buffer
	for _, fact := range facts {
		fmt.Fprintln(&out, "-", fact)
	}
	out.WriteString("\n| claims | resident at the peak | resident when quiet | ready after | goal |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		goal := "–"
		if r.claims == goalClaims {
			goal = fmt.Sprintf("%.0f MiB at the peak: %s", mib(goalBytes), map[bool]string{true: "met", false: "**missed**"}[r.peak <= goalBytes])
		}
		fmt.Fprintf(&out, "| %d | %.1f MiB | %.1f MiB | %.1f s | %s |\n", r.claims, mib(r.peak), mib(r.after), r.ready.Seconds(), goal)
	}
	out.WriteString("\n```\nresident at the peak, a # for 2 MiB; the goal at |\n")
	for _, r := range rows {
		fmt.Fprintf(&out, "%6d claims  %s %.1f MiB\n", r.claims, bar(r.peak), mib(r.peak))
	}
	out.WriteString("```\n")
	_, err := w.Write(out.Bytes())
	return err
}

// bar is as long as the memory is large, with the goal in it.
func bar(size int64) string {
	const unit = 2 << 20
	filled, goal := int((size+unit/2)/unit), goalBytes/unit
	line := strings.Repeat("#", filled) + strings.Repeat(" ", max(0, goal-filled))
	return line[:goal] + "|" + line[goal:]
}
