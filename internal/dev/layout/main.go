// Command layout checks the Go code of the module against limits: the size of
// packages and files, the length and complexity of functions, and exported names that
// only their own package uses. It prints figures and findings, and exits with 1 if
// there are findings.
//
//	go run ./internal/dev/layout
//
// The table of exceptions says what may be beyond a limit, and why. deps_test.go at
// the root checks imports.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	code, err := load(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "layout:", err)
		os.Exit(2)
	}
	code.figures(os.Stdout)
	findings := apply(exceptions, code.findings())
	fmt.Println()
	for _, f := range findings {
		fmt.Println(f)
	}
	if len(findings) > 0 {
		fmt.Fprintf(os.Stderr, "layout: %d findings\n", len(findings))
		os.Exit(1)
	}
}

// figures prints the sizes and the number of findings of each kind, with exceptions.
func (c *code) figures(w io.Writer) {
	lines, tests := 0, 0
	for _, f := range c.files {
		if f.test {
			tests += f.lines
		} else {
			lines += f.lines
		}
	}
	fmt.Fprintf(w, "lines outside of tests %d, of tests %d\n", lines, tests)
	fmt.Fprintln(w, "largest packages:")
	sizes := c.packageSizes()
	for _, p := range sizes[:min(len(sizes), 8)] {
		fmt.Fprintf(w, "%7d %s\n", p.lines, p.name)
	}
	count := make(map[kind]int)
	for _, f := range c.findings() {
		count[f.kind]++
	}
	for _, k := range kinds {
		fmt.Fprintf(w, "%-20s %d\n", k, count[k])
	}
}
