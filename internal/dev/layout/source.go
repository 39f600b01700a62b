package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// code is the Go code of a module.
type code struct {
	files  []file
	unused []finding // exported names
}

type file struct {
	name      string // from the root of the module, with slashes
	test      bool
	generated bool
	lines     int
	functions []function
}

type function struct {
	name       string // folder.Type.Method
	lines      int    // from func to the closing brace
	complexity int
}

// load reads the module in a folder.
func load(root string) (*code, error) {
	c := new(code)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "build") {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		f, err := readFile(name, filepath.ToSlash(relative))
		c.files = append(c.files, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.unused, err = unusedExports(root)
	return c, err
}

func readFile(name, relative string) (file, error) {
	source, err := os.ReadFile(name)
	if err != nil {
		return file{}, err
	}
	positions := token.NewFileSet()
	syntax, err := parser.ParseFile(positions, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	f := file{
		name: relative, test: strings.HasSuffix(relative, "_test.go"), generated: ast.IsGenerated(syntax),
		lines: bytes.Count(source, []byte("\n")),
	}
	for _, d := range syntax.Decls {
		if d, ok := d.(*ast.FuncDecl); ok {
			f.functions = append(f.functions, function{
				name:       path.Dir(relative) + "." + receiver(d) + d.Name.Name,
				lines:      positions.Position(d.End()).Line - positions.Position(d.Pos()).Line + 1,
				complexity: complexity(d),
			})
		}
	}
	return f, nil
}

// receiver returns the name of a method's type and a dot, "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	var name string
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name + "."
		}
		return true
	})
	return name
}

// complexity returns the cyclomatic complexity: 1 and one more for each branch.
// Function literals belong to the function that contains them.
func complexity(d *ast.FuncDecl) int {
	n := 1
	ast.Inspect(d, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if node.List != nil {
				n++
			}
		case *ast.CommClause:
			if node.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if node.Op == token.LAND || node.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}
