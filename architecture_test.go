package tlswatch_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tlswatch/internal/dev/docpart"
)

// The diagram of imports in docs/architecture.md is drawn from the imports.
func TestImportDiagram(t *testing.T) {
	const page = "docs/architecture.md"
	want := "```mermaid\n" + diagram(importGraph(t), diagramNode) + "```\n"
	if *update {
		if err := docpart.Write(page, "imports", want); err != nil {
			t.Error(err)
		}
	} else if err := docpart.Check(page, "imports", want); err != nil {
		t.Errorf("'go test . -update' redraws it: %v", err)
	}
}

// diagramNode returns what stands for a package in the diagram, "" for nothing: one node for the command, one for the
// stand-ins, none for what only tests and development use.
func diagramNode(path string) string {
	name, ours := strings.CutPrefix(path, module+"/")
	if !ours || matches([]string{"internal/dev/...", "internal/template"}, name) {
		return ""
	}
	for _, folder := range []string{"internal/cli", "internal/localaws"} {
		if matches([]string{folder + "/..."}, name) {
			return folder
		}
	}
	return strings.TrimPrefix(name, "pkg/")
}

// diagram draws a graph of imports for Mermaid, without the arrows that follow from others.
func diagram(graph map[string][]string, node func(path string) string) string {
	imports := make(map[string]map[string]bool)
	for path, others := range graph {
		from := node(path)
		if from == "" {
			continue
		}
		if imports[from] == nil {
			imports[from] = make(map[string]bool)
		}
		for _, other := range others {
			if to := node(other); to != "" && to != from {
				imports[from][to] = true
			}
		}
	}
	// height is the length of the longest chain of imports below a node.
	heights := make(map[string]int)
	var height func(string) int
	height = func(from string) int {
		if h, known := heights[from]; known {
			return h
		}
		h := 0
		for to := range imports[from] {
			h = max(h, height(to)+1)
		}
		heights[from] = h
		return h
	}
	var reaches func(from, to string) bool
	reaches = func(from, to string) bool {
		if from == to {
			return true
		}
		for next := range imports[from] {
			if height(next) >= height(to) && reaches(next, to) {
				return true
			}
		}
		return false
	}
	nodes := slices.SortedFunc(maps.Keys(imports), func(a, b string) int {
		if d := height(b) - height(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var out strings.Builder
	out.WriteString("flowchart TD\n")
	id := func(node string) string { return strings.ReplaceAll(node, "/", "_") }
	for _, from := range nodes {
		if strings.Contains(from, "/") {
			fmt.Fprintf(&out, "    %s[\"%s\"]\n", id(from), from)
		}
	}
	var targets []string // each written once, with all that import just those
	sources := make(map[string][]string)
	for _, from := range nodes {
		var direct []string
		for _, to := range slices.Sorted(maps.Keys(imports[from])) {
			follows := slices.ContainsFunc(slices.Collect(maps.Keys(imports[from])), func(other string) bool {
				return other != to && reaches(other, to)
			})
			if !follows {
				direct = append(direct, id(to))
			}
		}
		if list := strings.Join(direct, " & "); list != "" {
			if sources[list] == nil {
				targets = append(targets, list)
			}
			sources[list] = append(sources[list], id(from))
		}
	}
	for _, list := range targets {
		fmt.Fprintf(&out, "    %s --> %s\n", strings.Join(sources[list], " & "), list)
	}
	return out.String()
}

func TestDiagram(t *testing.T) {
	graph := map[string][]string{
		"m/pkg/top":    {"m/pkg/middle", "m/pkg/low", "m/cmd/a", "fmt"},
		"m/pkg/middle": {"m/pkg/low"},
		"m/pkg/low":    {"fmt"},
		"m/cmd/a":      {"m/cmd/b", "m/pkg/low"},
		"m/cmd/b":      nil,
		"fmt":          nil,
	}
	got := diagram(graph, func(path string) string {
		name, _ := strings.CutPrefix(path, "m/")
		if name == "fmt" {
			return ""
		}
		if strings.HasPrefix(name, "cmd/") {
			return "cmd/all"
		}
		return strings.TrimPrefix(name, "pkg/")
	})
	want := `flowchart TD
    cmd_all["cmd/all"]
    top --> cmd_all & middle
    cmd_all & middle --> low
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The table of packages in docs/architecture.md has a row for each package, and no row for anything else.
func TestPackageTable(t *testing.T) {
	all, err := moduleGraph()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for path := range all {
		if name, ours := strings.CutPrefix(path, module+"/"); ours {
			names = append(names, name)
		}
	}
	if len(names) < 30 {
		t.Fatalf("only %d packages found", len(names))
	}
	for _, problem := range tableProblems(readFile(t, "docs/architecture.md"), names) {
		t.Errorf("docs/architecture.md: %s", problem)
	}
}

var backticked = regexp.MustCompile("`([^`]+)`")

// tableProblems compares the rows of the table of packages with the packages, by their paths in the module. A row names
// packages in its first cell: `connlog` is pkg/connlog, `internal/cli/...` all below a folder.
func tableProblems(page string, names []string) (problems []string) {
	_, table, _ := strings.Cut(page, "| package | does |")
	table, _, _ = strings.Cut(table, "\n\n")
	var rows []string
	for line := range strings.Lines(table) {
		if cells := strings.SplitN(line, "|", 3); len(cells) == 3 {
			for _, name := range backticked.FindAllStringSubmatch(cells[1], -1) {
				row := name[1]
				if first, _, _ := strings.Cut(row, "/"); !slices.Contains([]string{"cmd", "functions", "internal", "pkg"}, first) {
					row = "pkg/" + row
				}
				rows = append(rows, row)
			}
		}
	}
	for _, name := range slices.Sorted(slices.Values(names)) {
		if !matches(rows, name) {
			problems = append(problems, "the table of packages has no row for "+name)
		}
	}
	for _, row := range rows {
		if !slices.ContainsFunc(names, func(name string) bool { return matches([]string{row}, name) }) {
			problems = append(problems, "the table of packages has a row for "+row+", which does not exist")
		}
	}
	return problems
}

func TestTableProblems(t *testing.T) {
	page := "text `x`\n\n| package | does |\n|---|---|\n| `a`, `functions/f` | `b` |\n| `internal/cli/...` | all |\n| `gone` | |\n\n| `c` | |\n"
	got := tableProblems(page, []string{"pkg/a", "pkg/b", "functions/f", "internal/cli", "internal/cli/x", "internal/other"})
	want := []string{
		"the table of packages has no row for internal/other",
		"the table of packages has no row for pkg/b",
		"the table of packages has a row for pkg/gone, which does not exist",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
