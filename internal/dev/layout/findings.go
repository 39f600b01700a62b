package main

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// The limits. They do not apply to tests and generated files.
const (
	packageLines     = 2500
	fileLines        = 500
	functionLines    = 75
	functionBranches = 25 // cyclomatic complexity
)

// A kind is what a finding is about.
type kind string

const (
	largePackage    kind = "large package"
	longFile        kind = "long file"
	longFunction    kind = "long function"
	complexFunction kind = "complex function"
	unusedExport    kind = "exported, unused"
	needless        kind = "needless exception"
)

var kinds = []kind{largePackage, longFile, longFunction, complexFunction, unusedExport}

// A finding is something beyond a limit.
type finding struct {
	kind kind
	name string // a folder, a file, or folder.Name, from the root of the module
	says string
}

func (f finding) String() string { return fmt.Sprintf("%s: %s: %s", f.kind, f.name, f.says) }

// An exception allows findings.
type exception struct {
	kind   kind
	name   string // of the finding, or a pattern of path.Match for several
	reason string
}

func (e exception) covers(f finding) bool {
	match, err := path.Match(e.name, f.name)
	return e.kind == f.kind && match && err == nil
}

// apply returns the findings that no exception covers, and a finding for each
// exception that covers none.
func apply(exceptions []exception, findings []finding) []finding {
	var left []finding
	used := make([]bool, len(exceptions))
	for _, f := range findings {
		i := slices.IndexFunc(exceptions, func(e exception) bool { return e.covers(f) })
		if i < 0 {
			left = append(left, f)
		} else {
			used[i] = true
		}
	}
	for i, e := range exceptions {
		if !used[i] {
			left = append(left, finding{needless, e.name, "no such finding: " + string(e.kind)})
		}
	}
	return left
}

func (c *code) findings() []finding {
	var list []finding
	for _, p := range c.packageSizes() {
		if p.lines > packageLines {
			list = append(list, finding{largePackage, p.name, fmt.Sprintf("%d lines", p.lines)})
		}
	}
	for _, f := range c.files {
		if !f.test && !f.generated && f.lines > fileLines {
			list = append(list, finding{longFile, f.name, fmt.Sprintf("%d lines", f.lines)})
		}
		for _, fn := range f.functions {
			if f.test || f.generated {
				continue
			}
			if fn.lines > functionLines {
				list = append(list, finding{longFunction, fn.name, fmt.Sprintf("%d lines", fn.lines)})
			}
			if fn.complexity > functionBranches {
				list = append(list, finding{complexFunction, fn.name, fmt.Sprintf("complexity %d", fn.complexity)})
			}
		}
	}
	return append(list, c.unused...)
}

type size struct {
	name  string
	lines int
}

// packageSizes returns the lines of each package, the largest first.
func (c *code) packageSizes() []size {
	lines := make(map[string]int)
	for _, f := range c.files {
		if !f.test && !f.generated {
			lines[path.Dir(f.name)] += f.lines
		}
	}
	var list []size
	for name, n := range lines {
		list = append(list, size{name, n})
	}
	slices.SortFunc(list, func(a, b size) int {
		return cmp.Or(cmp.Compare(b.lines, a.lines), strings.Compare(a.name, b.name))
	})
	return list
}
