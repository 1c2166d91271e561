package docs_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ensure-volumes/ensure-volumes/test/docs"
)

const document = "# Title\n" +
	"```sh\n" +
	"cd sub\n" +
	"echo hello > file\n" +
	"```\n" +
	"## Section\n" +
	"1. A list:\n" +
	"\n" +
	"   ```console\n" +
	"   $ cat sub/file\n" +
	"   hello\n" +
	"   $ cat <<E\n" +
	"   > # no heading\n" +
	"   > E\n" +
	"   # no heading\n" +
	"   ```\n" +
	"```yaml\n" +
	"not: run\n" +
	"```\n"

func TestParse(t *testing.T) {
	blocks, err := docs.Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	if len(blocks) != 2 {
		t.Fatalf("%d blocks: %+v", len(blocks), blocks)
	}
	if b := blocks[0]; b.Section != "Title" || b.Line != 3 || len(b.Steps) != 1 || b.Steps[0].Command != "cd sub\necho hello > file" {
		t.Errorf("the script: %+v", b)
	}
	b := blocks[1]
	if b.Section != "Section" || len(b.Steps) != 2 {
		t.Fatalf("the session: %+v", b)
	}
	if s := b.Steps[0]; s.Line != 10 || s.Command != "cat sub/file" || strings.Join(s.Output, "|") != "hello" {
		t.Errorf("its first command: %+v", s)
	}
	if s := b.Steps[1]; s.Command != "cat <<E\n# no heading\nE" || strings.Join(s.Output, "|") != "# no heading" {
		t.Errorf("its second command: %+v", s)
	}
}

func TestIllustrations(t *testing.T) {
	shown, err := docs.Illustrations(document)
	if err != nil {
		t.Fatal(err)
	}
	if len(shown) != 1 || shown[0].Section != "Section" || shown[0].Line != 18 || len(shown[0].Steps) > 0 {
		t.Errorf("what is not run: %+v", shown)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ document, want string }{
		"a kind that nobody runs": {"```bash\ntrue\n```\n", `line 1: a block of kind "bash"`},
		"no kind":                 {"\n```\ntrue\n```\n", `line 2: a block of kind ""`},
		"no end":                  {"```sh\ntrue\n", "line 1: the block does not end"},
		"no command":              {"```console\n```\n", "line 2: a console block without a command"},
		"output first":            {"```console\nhello\n$ echo hello\n```\n", "line 2: a console block begins with a command"},
		"less indented":           {"  ```sh\ntrue\n  ```\n", "line 2: indented less"},
		"a fence of tildes":       {"Text\n~~~sh\ntrue\n~~~\n", `line 2: a block that no fence of three backticks opens: "~~~sh"`},
		"a block by indentation":  {"- item\n\n    its text\n\nText\n\n    true\n", "line 7: a block that no fence"},
		"a block by a tab":        {"Text\n\n\ttrue\n", "line 3: a block that no fence"},
		"a block in a quotation":  {"> ```sh\n> true\n> ```\n", "line 1: a block that no fence"},
		"a block beside a mark":   {"- ```sh\n  true\n  ```\n", "line 1: a block that no fence"},
		"a block in HTML":         {"<pre>true</pre>\n", "line 1: a block that no fence"},
		"a prompt in the text":    {"1. item\n   $ true\n", "line 2: a block that no fence"},
	} {
		if _, err := docs.Parse(c.document); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMatch(t *testing.T) {
	for name, c := range map[string]struct {
		expected, output string
		wrong            string // "": it fits
	}{
		"the same":               {"a\nb", "a\nb\n", ""},
		"nothing":                {"", "", ""},
		"columns":                {"NAME STATUS", "NAME       STATUS   \n", ""},
		"any lines":              {"a\n…\nd", "a\nb\nc\nd\n", ""},
		"any lines, none":        {"a\n…\nd", "a\nd\n", ""},
		"any lines, twice":       {"…\nb\n…", "a\nb\nc\n", ""},
		"any lines, later":       {"…\nb\nc", "b\nx\nb\nc\n", ""},
		"any text":               {"pod/… created in … s", "pod/x-1 created in 3 s\n", ""},
		"any text, none":         {"a…b", "ab\n", ""},
		"another line":           {"a\nb", "a\nc\n", `the document has "b", the output "c"`},
		"another end":            {"a…b", "abc\n", `the document has "a…b", the output "abc"`},
		"parts that overlap":     {"aa…aa", "aaa\n", `the document has "aa…aa", the output "aaa"`},
		"too little":             {"a\nb", "a\n", `the output ends where the document has "b"`},
		"too much":               {"a", "a\nb\n", `the output goes on with "b"`},
		"something, not nothing": {"", "a\n", `the output goes on with "a"`},
		"nothing, not something": {"…\na", "", `the output ends where the document has "a"`},
		"indentation":            {"  a", "a\n", `the document has " a", the output "a"`},
	} {
		var expected []string
		if c.expected != "" {
			expected = strings.Split(c.expected, "\n")
		}
		err := docs.Match(expected, c.output)
		switch {
		case c.wrong == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s: %v, want %s", name, err, c.wrong)
		}
	}
}

// Run is what the documents rest on: what they say must be caught where it is not so.
func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		block string
		wrong string // "": it is as the document says
	}{
		"a script":                     {"```sh\ntest $GREETING = hello\n```", ""},
		"a script that fails":          {"```sh\nfalse\ntrue\n```", "line 2: exit status 1"},
		"a script with an unset name":  {"```sh\necho $nobody\n```", "nobody: unbound variable"},
		"a pipe that fails":            {"```sh\nfalse | cat\n```", "line 2: exit status 1"},
		"output":                       {"```console\n$ echo $GREETING\nhello\n$ echo you\nyou\n```", ""},
		"other output":                 {"```console\n$ true\n$ echo $GREETING\nbye\n```", "line 3: the document has \"bye\", the output \"hello\"\n$ echo $GREETING\nhello\n"},
		"output that is not there":     {"```console\n$ true\nhello\n```", "line 2: the output ends"},
		"output of errors":             {"```console\n$ echo oh >&2\noh\n```", ""},
		"a failure that is shown":      {"```console\n$ echo oh >&2; false\noh\n```", ""},
		"a failure that is not shown":  {"```console\n$ false\n```", "line 2: exit status 1"},
		"a failure among any lines":    {"```console\n$ echo fine; echo oh; false\nfine\n…\n```", "line 2: exit status 1"},
		"a command that is not known":  {"```console\n$ nobody-has-this\n…\n```", "exit status 127"},
		"a success shown as a failure": {"```console\n$ echo fine\nError: not fine\n```", "the output \"fine\""},
	} {
		blocks, err := docs.Parse(c.block)
		if err != nil {
			t.Fatal(err)
		}
		shell := docs.Shell{Dir: t.TempDir(), Env: []string{"PATH=/usr/bin:/bin", "GREETING=hello"}}
		err = shell.Run(t.Context(), blocks[0])
		switch {
		case c.wrong == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s: %v, want %s", name, err, c.wrong)
		}
	}
}

// What a script exports holds for the blocks after it, and nothing else of one block does.
func TestExports(t *testing.T) {
	blocks, err := docs.Parse("```sh\nexport GREETING='hello\nyou' PATH=$PWD/bin:$PATH\nmkdir sub\ncd sub\nunexported=x\n```\n" +
		"```console\n$ echo \"$GREETING\"; echo ${PATH%%/bin*}; pwd; echo ${unexported-none}; export GREETING=bye\nhello\nyou\nDIR\nDIR\nnone\n" +
		"$ echo \"$GREETING\"\nhello\nyou\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range blocks[1].Steps[0].Output {
		blocks[1].Steps[0].Output[i] = strings.ReplaceAll(line, "DIR", dir)
	}
	shell := docs.Shell{Dir: dir, Env: []string{"PATH=/usr/bin:/bin", "GREETING=none"}}
	for _, b := range blocks {
		if err := shell.Run(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}
