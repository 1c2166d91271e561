package explain

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Table writes the report for people. It is as printable as its texts are.
func (r *Report) Table(out io.Writer) error {
	var b strings.Builder
	for _, p := range r.Pods {
		p.table(&b)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (p *Pod) table(b *strings.Builder) {
	fmt.Fprintf(b, "%s %s/%s", p.Object.Kind, p.Object.Namespace, p.Object.Name)
	if p.Object.Kind != "Pod" || p.Object.APIVersion != "v1" {
		fmt.Fprintf(b, ", pod %s", p.Name)
	}
	switch {
	case p.Allowed:
		b.WriteString(": allowed\n")
	default:
		fmt.Fprintf(b, ": refused (%d %s)\n", p.Refusal.Code, p.Refusal.Reason)
	}
	p.claims(b)
	if r := p.Refusal; r != nil {
		for _, c := range r.Causes {
			fmt.Fprintf(b, "  refused: %s: %s\n", c.Path, c.Text)
		}
		if len(r.Causes) == 0 {
			fmt.Fprintf(b, "  refused: %s\n", r.Message)
		}
	} else {
		for _, f := range p.Faults {
			fmt.Fprintf(b, "  fault: %s: %s\n", f.Path, f.Text)
		}
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(b, "  warning: %s\n", w)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(b, "  note: %s\n", n)
	}
	b.WriteByte('\n')
}

// claims writes a row for each value of each claim.
func (p *Pod) claims(b *strings.Builder) {
	if len(p.Claims) == 0 {
		return
	}
	var rows strings.Builder
	t := tabwriter.NewWriter(&rows, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "  CLAIM\tACTION\tFIELD\tVALUE\tFROM")
	for _, c := range p.Claims {
		if len(c.Values) == 0 {
			fmt.Fprintf(t, "  %s\t%s\t\t\t\n", c.Name, c.Action)
		}
		name, action := c.Name, c.Action
		for _, v := range c.Values {
			value := v.Value
			if value == "" {
				value = `""`
				if v.From == FromDefault {
					value = "the cluster's"
				}
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", name, action, v.Field, value, v.From)
			name, action = "", ""
		}
	}
	_ = t.Flush() // into memory
	for row := range strings.Lines(rows.String()) {
		b.WriteString(strings.TrimRight(row, " \n") + "\n")
	}
}
