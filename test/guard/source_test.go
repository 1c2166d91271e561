package guard

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// root is the repository's root folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

type source struct {
	path string // from the root
	set  *token.FileSet
	file *ast.File
}

// sources are all Go files below the folders.
func sources(t *testing.T, folders ...string) []source {
	t.Helper()
	var all []source
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(root(t), folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			s := source{set: token.NewFileSet()}
			s.path, _ = filepath.Rel(root(t), path)
			s.file, err = parser.ParseFile(s.set, path, nil, parser.ParseComments)
			all = append(all, s)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) == 0 {
		t.Fatalf("no Go files in %v", folders)
	}
	return all
}

func (s source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.set.Position(n.Pos()).Line)
}

// TestDocumented: every package and every exported name has a doc comment.
func TestDocumented(t *testing.T) {
	packages := map[string]bool{}
	for _, s := range sources(t, "build", "charts", "cmd", "config", "examples", "pkg", "test") {
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		dir := filepath.Dir(s.path)
		packages[dir] = packages[dir] || s.file.Doc != nil
		for _, decl := range s.file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					t.Errorf("%s: %s has no doc comment", s.at(d), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					undocumented(t, s, d, spec)
				}
			}
		}
	}
	for dir, documented := range packages {
		if !documented {
			t.Errorf("package %s has no doc comment", dir)
		}
	}
}

// exportedReceiver reports whether a function is no method of a type that nobody outside sees.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if p, ok := typ.(*ast.StarExpr); ok {
		typ = p.X
	}
	if i, ok := typ.(*ast.IndexExpr); ok {
		typ = i.X
	}
	name, ok := typ.(*ast.Ident)
	return ok && name.IsExported()
}

// undocumented reports exported names without a comment of their own or of their group.
func undocumented(t *testing.T, s source, d *ast.GenDecl, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
			t.Errorf("%s: %s has no doc comment", s.at(spec), spec.Name.Name)
		}
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				t.Errorf("%s: %s has no doc comment", s.at(name), name.Name)
			}
		}
	}
}

// TestManners: what product code does not do, each for the reason given.
func TestManners(t *testing.T) {
	for _, s := range sources(t, "cmd", "pkg") {
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		inPkg := strings.HasPrefix(s.path, "pkg/")
		switch s.file.Name.Name {
		case "util", "utils", "common", "helpers", "types":
			t.Errorf("%s: a package named %s has no subject", s.path, s.file.Name.Name)
		}
		for _, i := range s.file.Imports {
			if inPkg && i.Path.Value == `"flag"` {
				t.Errorf("%s: only cmd/ reads flags", s.at(i))
			}
		}
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: init() runs before anybody decided to", s.at(f))
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && inPkg {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "os" && strings.Contains("Getenv LookupEnv Environ Exit", sel.Sel.Name) {
					t.Errorf("%s: os.%s: only cmd/ reads the environment and ends the program", s.at(sel), sel.Sel.Name)
				}
			}
			return true
		})
		if lines := s.set.Position(s.file.End()).Line; lines > 400 {
			t.Errorf("%s has %d lines; files that fit in the head have 400 at most", s.path, lines)
		}
	}
}

// TestNoSkips: a test that cannot run fails and says what is missing.
func TestNoSkips(t *testing.T) {
	for _, s := range sources(t, "build", "charts", "cmd", "config", "examples", "pkg", "test") {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				switch sel.Sel.Name {
				case "Skip", "Skipf", "SkipNow":
					t.Errorf("%s: %s", s.at(sel), sel.Sel.Name)
				}
			}
			return true
		})
	}
}
