package docs

import (
	"fmt"
	"slices"
	"strings"
)

// The kinds of blocks; see the package's documentation.
const (
	script  = "sh"
	console = "console"
)

// Block is one fenced block of a document.
type Block struct {
	// Section is the last heading before it.
	Section string
	// Line is where its first line stands in the document, from 1.
	Line int
	// Steps are its commands: one in a script, one or more in a console block, none where nobody runs it.
	Steps []Step
}

// Step is one command, or script, and what it says.
type Step struct {
	// Line is where it begins in the document, from 1.
	Line int
	// Command is run by bash.
	Command string
	// Output is compared line by line where Console is true; in a script nobody looks at it.
	Output  []string
	Console bool
}

// Parse finds the blocks of a document that are run, in their order. A block of a kind that is not known, one that does not end,
// and what Markdown shows as a block without such a fence are errors.
func Parse(markdown string) ([]Block, error) {
	blocks, _, err := parse(markdown)
	return blocks, err
}

// Illustrations finds the blocks of a document that nobody runs, in their order. They have no steps. Errors are those of [Parse].
func Illustrations(markdown string) ([]Block, error) {
	_, blocks, err := parse(markdown)
	return blocks, err
}

func parse(markdown string) (run, shown []Block, err error) {
	section := ""
	lines := strings.Split(markdown, "\n")
	between := prose{}
	for i := 0; i < len(lines); i++ {
		if heading := strings.TrimLeft(lines[i], "#"); heading != lines[i] && strings.HasPrefix(heading, " ") {
			section = strings.TrimSpace(heading)
		}
		indent, kind, ok := fence(lines[i])
		if !ok {
			if between.hides(lines[i]) {
				return nil, nil, fmt.Errorf("line %d: a block that no fence of three backticks opens: %q", i+1, lines[i])
			}
			continue
		}
		first := i + 1
		end := slices.IndexFunc(lines[first:], func(l string) bool { return strings.TrimSpace(l) == "```" })
		if end < 0 {
			return nil, nil, fmt.Errorf("line %d: the block does not end", first)
		}
		i = first + end
		body := make([]string, end)
		for n, l := range lines[first:i] {
			// Of a block in a list the list's indentation is no part.
			var within bool
			if body[n], within = strings.CutPrefix(l, indent); !within && strings.TrimSpace(l) != "" {
				return nil, nil, fmt.Errorf("line %d: indented less than the block that it is in", first+n+1)
			}
		}
		block := Block{Section: section, Line: first + 1}
		switch kind {
		case script:
			block.Steps = []Step{{Line: first + 1, Command: strings.Join(body, "\n")}}
		case console:
			if block.Steps, err = session(body, first+1); err != nil {
				return nil, nil, err
			}
		case "yaml", "text", "promql":
			shown = append(shown, block)
			continue
		default:
			return nil, nil, fmt.Errorf("line %d: a block of kind %q; write sh or console for what is run, yaml, text or promql for what is not", first, kind)
		}
		run = append(run, block)
	}
	return run, shown, nil
}

// fence reads the line that opens a block.
func fence(line string) (indent, kind string, ok bool) {
	text := strings.TrimLeft(line, " ")
	kind, ok = strings.CutPrefix(text, "```")
	return line[:len(line)-len(text)], strings.TrimSpace(kind), ok
}

// prose is what stands between the blocks, read line by line.
type prose struct {
	list  bool // what is indented continues an item
	blank bool // the line before was
}

// hides tells whether a line begins what Markdown shows as a block, or a reader takes for a command, and no fence of its own line
// opens: a block of tildes, within a quotation or beside a list's mark, by indentation, in HTML; a prompt.
func (p *prose) hides(line string) bool {
	text := strings.TrimSpace(line)
	after := p.blank
	p.blank = text == ""
	if mark, rest, ok := strings.Cut(text, " "); ok && rest != "" && (mark == "-" || mark == "*" || strings.Trim(mark, "0123456789") == ".") {
		p.list = true
	} else if text != "" && !strings.HasPrefix(line, " ") {
		p.list = false
	}
	if indented := strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t"); indented && text != "" && after && !p.list {
		return true
	}
	block := strings.Contains(text, "```") || strings.Contains(text, "~~~") || strings.Contains(text, "<pre")
	return block || strings.HasPrefix(strings.TrimLeft(text, "> "), "$ ")
}

// session reads a console block whose first line is the document's line number at.
func session(body []string, at int) ([]Step, error) {
	var steps []Step
	for n, l := range body {
		last := len(steps) - 1
		if command, ok := strings.CutPrefix(l, "$ "); ok {
			steps = append(steps, Step{Line: at + n, Command: command, Console: true})
		} else if last < 0 {
			return nil, fmt.Errorf("line %d: a console block begins with a command; write it as \"$ command\"", at+n)
		} else if more, ok := strings.CutPrefix(l, "> "); ok && len(steps[last].Output) == 0 {
			steps[last].Command += "\n" + more
		} else {
			steps[last].Output = append(steps[last].Output, l)
		}
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("line %d: a console block without a command", at)
	}
	return steps, nil
}
