package tlswatch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The files that CONTRIBUTING.md and docs/architecture.md name exist, and the
// Go files declare what they are said to: `path/file.go`: `Name` or `Type.Method`.
func TestCodeReferences(t *testing.T) {
	reference := regexp.MustCompile("`([a-z][a-zA-Z0-9/_.-]*\\.(?:go|json|yaml|md|pgo))`(?::\\s+`([A-Za-z.]+)`(?: or\\s+`([A-Za-z.]+)`)?)?")
	files, names := 0, 0
	for _, page := range []string{"CONTRIBUTING.md", "docs/architecture.md"} {
		for _, m := range reference.FindAllStringSubmatch(readFile(t, page), -1) {
			path := m[1]
			if !strings.Contains(path, "/") || strings.Contains(path, "NAME") {
				continue
			}
			files++
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if m[2] == "" || !strings.HasSuffix(path, ".go") {
				continue
			}
			declared := declarations(t, path)
			for _, name := range m[2:] {
				if name == "" {
					continue
				}
				names++
				if !slices.Contains(declared, name) {
					t.Errorf("%s: %s does not declare %s", page, path, name)
				}
			}
		}
	}
	if files < 40 || names < 30 {
		t.Errorf("only %d files and %d names found", files, names)
	}
}

// declarations returns what a Go file declares at package level; methods as
// Type.Method.
func declarations(t *testing.T, path string) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				typ := d.Recv.List[0].Type
				if star, ok := typ.(*ast.StarExpr); ok {
					typ = star.X
				}
				if id, ok := typ.(*ast.Ident); ok {
					name = id.Name + "." + name
				}
			}
			names = append(names, name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, spec.Name.Name)
				case *ast.ValueSpec:
					for _, id := range spec.Names {
						names = append(names, id.Name)
					}
				}
			}
		}
	}
	return names
}
