package tlswatch_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/tools/go/packages"
)

const (
	module = "tlswatch"
	sdk    = "github.com/aws/aws-sdk-go-v2"
	lambda = "github.com/aws/aws-lambda-go"
)

// A rule says what some packages of the module must never import, directly or indirectly. Bans on the standard library
// apply to direct imports only, since fmt alone imports half of it.
type rule struct {
	packages []string // in the module; "pkg/..." is pkg and everything below
	never    []string // full paths, with /... as above
	unless   []string // exempt packages or imports
	why      string
}

var (
	pure     = []string{"pkg/inflate", "pkg/connlog", "pkg/connlog/internal/export", "pkg/connlog/internal/jsonline", "pkg/connlog/internal/scan", "pkg/logkey", "pkg/tlsname", "pkg/secpolicy", "pkg/tlsclient", "pkg/rollup", "pkg/accesslog", "pkg/incident", "pkg/incident/internal/history", "pkg/incident/tell", "pkg/metric", "pkg/alert", "pkg/notice", "pkg/posture", "pkg/widget", "pkg/digest", "internal/table", "internal/text"}
	adapters = []string{"pkg/s3source", "pkg/s3store", "pkg/cwsink", "pkg/snssink", "pkg/elbpolicy"}
)

// commands are the subcommands' packages: those whose New internal/cli/cli.go calls.
var commands = subcommands()

func subcommands() (list []string) {
	source, err := os.ReadFile("internal/cli/cli.go")
	if err != nil {
		panic(err)
	}
	for _, m := range regexp.MustCompile(`\b([a-z]+)\.New\(\)`).FindAllStringSubmatch(string(source), -1) {
		list = append(list, "internal/cli/"+m[1])
	}
	if len(list) < 10 {
		panic(fmt.Sprintf("internal/cli/cli.go has only the subcommands %q", list))
	}
	return list
}

// testCode is the packages that only tests import.
var testCode = []string{
	"internal/cli/clitest",
	"internal/dev/alerttest",
	"internal/dev/connlogtest",
	"internal/dev/functiontest",
	"internal/dev/hostile",
	"internal/dev/reporttest",
	"internal/localaws/awstest",
}

var rules = []rule{
	{
		packages: pure,
		never:    []string{sdk + "/...", lambda + "/...", "net/http", "log", "log/slog", "os", "syscall"},
		why:      "a result depends only on the log, so that anybody can reproduce it",
	},
	{
		packages: []string{"pkg/connlog", "pkg/connlog/internal/export", "pkg/connlog/internal/jsonline", "pkg/connlog/internal/scan", "pkg/logkey", "pkg/tlsname"},
		never:    []string{module + "/pkg/..."},
		unless:   ours("pkg/connlog/internal/...", "pkg/inflate", "pkg/logkey", "pkg/tlsname"),
		why:      "a parser depends only on its input and on the names of TLS",
	},
	{
		packages: []string{"pkg/inflate"},
		never:    []string{module + "/...", "unsafe"},
		why:      "a decompressor reads untrusted input: it must be memory-safe and reviewable on its own",
	},
	{
		packages: []string{"pkg/rollup"},
		never:    ours("pkg/metric", "pkg/alert"),
		why:      "a summary does not know what it is used for",
	},
	{
		packages: []string{"pkg/secpolicy"},
		never:    ours("pkg/rollup", "pkg/metric", "pkg/alert"),
		why:      "what a policy accepts does not depend on what is counted or sent",
	},
	{
		packages: []string{"pkg/tlsclient"},
		never:    []string{module + "/pkg/..."},
		unless:   ours("pkg/secpolicy", "pkg/tlsname", "pkg/connlog", "pkg/connlog/internal/...", "pkg/inflate", "pkg/logkey"),
		why:      "what a program offers depends on nothing else; the other exceptions come with secpolicy",
	},
	{
		packages: []string{"pkg/whatif"},
		never:    ours("pkg/rollup", "pkg/metric", "pkg/alert", "pkg/posture"),
		why:      "a prediction depends on the log and the policies alone",
	},
	{
		packages: []string{"pkg/metric", "pkg/alert"},
		never:    ours("pkg/metric", "pkg/alert"),
		why:      "two uses of one summary: either can change or be removed without the other",
	},
	{
		packages: []string{"pkg/pipeline"},
		never:    append(ours(adapters...), sdk+"/...", lambda+"/..."),
		why:      "the function and its tests run the same steps",
	},
	{
		packages: []string{"pkg/ledger"},
		never:    append(ours(adapters...), sdk+"/...", lambda+"/...", module+"/pkg/pipeline"),
		why:      "who publishes and who alerts is decided by records alone; a store keeps them",
	},
	{
		packages: adapters,
		never:    ours(adapters...),
		why:      "an adapter knows one service",
	},
	{
		packages: []string{"pkg/s3source", "pkg/s3store"},
		never:    []string{sdk + "/service/..."},
		unless:   []string{sdk + "/service/s3/...", sdk + "/service/internal/..."},
		why:      "it is an adapter for S3",
	},
	{
		packages: []string{"pkg/cwsink"},
		never:    []string{sdk + "/service/..."},
		unless:   []string{sdk + "/service/cloudwatch/...", sdk + "/service/internal/..."},
		why:      "it is the adapter for CloudWatch",
	},
	{
		packages: []string{"pkg/snssink"},
		never:    []string{sdk + "/service/..."},
		unless:   []string{sdk + "/service/sns/...", sdk + "/service/internal/..."},
		why:      "it is the adapter for SNS",
	},
	{
		packages: []string{"pkg/elbpolicy"},
		never:    []string{sdk + "/service/..."},
		unless:   []string{sdk + "/service/elasticloadbalancingv2/...", sdk + "/service/internal/..."},
		why:      "it is the adapter for Elastic Load Balancing",
	},
	{
		packages: []string{"pkg/trigger"},
		never:    []string{sdk + "/..."},
		why:      "an event is data: parsing it calls no service",
	},
	{
		packages: []string{"pkg/clienthello/capture"},
		never:    []string{module + "/...", sdk + "/...", lambda + "/...", "net/http", "log", "log/slog"},
		why:      "it decodes packets; what they carry is another package's subject",
	},
	{
		packages: []string{"pkg/clienthello/tlswire"},
		never:    []string{module + "/...", sdk + "/...", lambda + "/...", "net/http", "log", "log/slog", "os", "time"},
		unless:   ours("pkg/tlsname"),
		why:      "it decodes bytes of TLS; packets and connections are another package's subject",
	},
	{
		packages: []string{"pkg/clienthello/prelude"},
		never:    []string{module + "/...", sdk + "/...", lambda + "/...", "net/http", "log", "log/slog", "os", "time"},
		why:      "it recognizes protocols by their first bytes",
	},
	{
		packages: []string{"pkg/clienthello"},
		never:    append(ours(adapters...), sdk+"/...", lambda+"/...", module+"/pkg/connlog", module+"/pkg/secpolicy", "log", "log/slog"),
		why:      "a capture says what clients offered; what a policy accepts is another package's subject",
	},
	{
		packages: []string{"pkg/config"},
		never:    []string{sdk + "/...", "os"},
		why:      "it takes getenv, so that tests need no environment",
	},
	{
		packages: []string{"pkg/survey"},
		never:    append(ours(adapters...), sdk+"/...", "os", "net/http"),
		why:      "it decides which records to read; package ledger reads them",
	},
	{
		packages: []string{"pkg/report", "pkg/report/view"},
		never:    append(ours(append(slices.Clone(adapters), "pkg/pipeline", "pkg/rollup", "pkg/metric", "pkg/alert")...), sdk+"/...", "os", "net/http"),
		why:      "a report depends only on the logs and the policies of its caller, who says why negotiations failed",
	},
	{
		packages: []string{"internal/table", "internal/text"},
		never:    []string{module + "/..."},
		why:      "a table or text does not depend on what it holds or describes",
	},
	{
		packages: []string{"pkg/price"},
		never:    []string{module + "/...", sdk + "/...", "os", "net/http"},
		why:      "prices and formulas are data, shared by the command and the simulation",
	},
	{
		packages: []string{"internal/dev/handshake"},
		never:    []string{module + "/..."},
		why:      "a simulation that used our code would share our mistakes",
	},
	{
		packages: []string{"internal/dev/connlogtest", "internal/localaws/..."},
		never:    []string{module + "/..."},
		unless:   ours("internal/localaws/..."),
		why:      "a reference or stand-in that used our code would share our bugs",
	},
	{
		packages: []string{"internal/dev/chaos", "internal/dev/chaos/wire"},
		never:    []string{module + "/...", sdk + "/...", lambda + "/...", "github.com/aws/smithy-go/..."},
		unless:   ours("internal/dev/chaos/wire"),
		why:      "it checks the built function against AWS's documents alone, down to the bytes of a request",
	},
	{
		packages: []string{"pkg/..."},
		never:    []string{"os", "os/...", "syscall", "flag"},
		why:      "arguments, environment variables and exiting are the business of functions and cmd",
	},
	{
		packages: commands,
		never:    ours(commands...),
		why:      "a subcommand can change or be removed without the others; what several share has its own package",
	},
	{
		packages: []string{"..."},
		never:    append(ours(testCode...), "testing", "testing/...", "net/http/httptest"),
		unless:   append([]string{"internal/dev/benchcompare"}, testCode...),
		why:      "no test code in a binary",
	},
}

func ours(packages ...string) []string {
	paths := make([]string, len(packages))
	for i, p := range packages {
		paths[i] = module + "/" + p
	}
	return paths
}

func TestDependencies(t *testing.T) {
	graph := importGraph(t)
	for _, v := range violations(rules, graph) {
		t.Error(v)
	}
	for path := range graph {
		if matches([]string{module + "/pkg/..."}, path) && !hasRow(rules, path) {
			t.Errorf("%s has no rule: add what it must never import", path)
		}
	}
}

// TestDependenciesPlanted shows that the check can fail.
func TestDependenciesPlanted(t *testing.T) {
	graph := map[string][]string{
		"tlswatch/pkg/parse":       {"fmt", "tlswatch/pkg/helper"},
		"tlswatch/pkg/helper":      {"example.com/sdk/core"},
		"tlswatch/pkg/store":       {"os", "example.com/sdk/store"},
		"example.com/sdk/core":     {"example.com/sdk/store"},
		"example.com/sdk/store":    {"os"},
		"example.com/sdk/internal": nil,
		"fmt":                      {"os"},
		"os":                       nil,
	}
	for name, test := range map[string]struct {
		rule rule
		want []string
	}{
		"allowed": {
			rule{packages: []string{"pkg/parse"}, never: []string{"os", "tlswatch/pkg/store"}}, nil,
		},
		"standard library": {
			rule{packages: []string{"pkg/..."}, never: []string{"os"}, why: "pure"},
			[]string{"tlswatch/pkg/store imports os: pure"},
		},
		"exempt package": {
			rule{packages: []string{"pkg/..."}, never: []string{"os"}, unless: []string{"pkg/store"}}, nil,
		},
		"module, through others": {
			rule{packages: []string{"pkg/parse"}, never: []string{"example.com/sdk/store"}, why: "pure"},
			[]string{"tlswatch/pkg/parse -> tlswatch/pkg/helper -> example.com/sdk/core imports example.com/sdk/store: pure"},
		},
		"exempt import": {
			rule{packages: []string{"pkg/store"}, never: []string{"example.com/..."}, unless: []string{"example.com/sdk/store"}}, nil,
		},
		"sibling": {
			rule{packages: []string{"pkg/helper", "pkg/parse"}, never: ours("pkg/helper", "pkg/parse"), why: "apart"},
			[]string{"tlswatch/pkg/parse imports tlswatch/pkg/helper: apart"},
		},
		"subject gone": {
			rule{packages: []string{"pkg/gone"}, never: []string{"os"}},
			[]string{`rule about "tlswatch/pkg/gone": no such package`},
		},
		"ban gone": {
			rule{packages: []string{"pkg/parse"}, never: []string{"example.com/gone/..."}},
			[]string{`rule about [pkg/parse]: no package "example.com/gone/..."`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := violations([]rule{test.rule}, graph); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
	if hasRow([]rule{{packages: []string{"pkg/..."}}}, "tlswatch/pkg/parse") {
		t.Error("a rule about all packages counts as a rule about one")
	}
}

// violations checks rules against a graph: package path to the paths that it imports.
func violations(rules []rule, graph map[string][]string) []string {
	var found []string
	for _, r := range rules {
		for _, ban := range r.never {
			if len(matching(graph, ban)) == 0 {
				found = append(found, fmt.Sprintf("rule about %v: no package %q", r.packages, ban))
			}
		}
		for _, pattern := range ours(r.packages...) {
			subjects := matching(graph, pattern)
			if len(subjects) == 0 {
				found = append(found, fmt.Sprintf("rule about %q: no such package", pattern))
			}
			for _, subject := range subjects {
				if !matches(ours(r.unless...), subject) {
					found = append(found, r.broken(subject, graph)...)
				}
			}
		}
	}
	return found
}

// broken follows the imports of one package, breadth first, so that it reports a shortest chain.
func (r rule) broken(subject string, graph map[string][]string) []string {
	var found []string
	chain := map[string]string{subject: subject}
	for queue := []string{subject}; len(queue) > 0; queue = queue[1:] {
		from := queue[0]
		for _, path := range graph[from] {
			if chain[path] != "" || standard(path) && from != subject {
				continue
			}
			chain[path] = chain[from] + " -> " + path
			if matches(r.never, path) && !matches(r.unless, path) {
				found = append(found, fmt.Sprintf("%s imports %s: %s", chain[from], path, r.why))
			} else if !standard(path) {
				queue = append(queue, path)
			}
		}
	}
	return found
}

func hasRow(rules []rule, path string) bool {
	return slices.ContainsFunc(rules, func(r rule) bool { return slices.Contains(ours(r.packages...), path) })
}

func matching(graph map[string][]string, pattern string) []string {
	var paths []string
	for path := range graph {
		if matches([]string{pattern}, path) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

func matches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		parent, all := strings.CutSuffix(pattern, "/...")
		return path == parent || all && strings.HasPrefix(path, parent+"/")
	})
}

func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return first != module && !strings.Contains(first, ".")
}

// Pure packages use package time, but never its clock.
func TestPureCode(t *testing.T) {
	for _, p := range modulePackages(t) {
		if !matches(ours(pure...), p.PkgPath) {
			continue
		}
		for _, name := range p.GoFiles {
			for _, use := range clockUses(t, name, nil) {
				t.Errorf("%s: a result depends only on the log; pass the time as an argument", use)
			}
		}
	}
}

func TestPureCodePlanted(t *testing.T) {
	for source, want := range map[string]int{
		`import "time"; var _ = time.Unix(0, 0).Add(time.Second)`:     0,
		`import "time"; func f() { time.Now(); time.Since(now) }`:     2,
		`import clock "time"; var now = clock.Now`:                    1,
		`import . "time"; var now = Now`:                              1,
		`import "time"; func f(t *time.Timer) { <-time.After(1) }`:    1,
		`import "example.com/time/v2"; var _ = time.Now()`:            0,
		`import "time"; type s struct{ Now func() }; var _ = s{}.Now`: 0,
	} {
		if got := clockUses(t, "planted.go", "package p; "+source); len(got) != want {
			t.Errorf("%s: got %q, want %d uses", source, got, want)
		}
	}
}

var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}

// clockUses returns the uses of a clock in a file, or in source if that is not nil.
func clockUses(t *testing.T, filename string, source any) []string {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, filename, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var uses []string
	for _, spec := range file.Imports {
		if spec.Path.Value != `"time"` {
			continue
		}
		name := "time"
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "." {
			uses = append(uses, fmt.Sprintf("%s: dot import of time", files.Position(spec.Pos())))
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(clock, s.Sel.Name) {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == name {
					uses = append(uses, fmt.Sprintf("%s: time.%s", files.Position(s.Pos()), s.Sel.Name))
				}
			}
			return true
		})
	}
	return uses
}

// moduleGraph returns the packages of the module, their dependencies and the standard library. Go test caches a result
// until a file changes that the test process has read; TestLineEnds reads all files.
var moduleGraph = sync.OnceValues(func() (map[string]*packages.Package, error) {
	roots, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedDeps}, "./...", "std")
	graph := make(map[string]*packages.Package)
	packages.Visit(roots, nil, func(p *packages.Package) {
		graph[p.PkgPath] = p
		for _, fault := range p.Errors {
			err = errors.Join(err, fault)
		}
	})
	return graph, err
})

// importGraph maps the path of each package to the paths that it imports.
func importGraph(t *testing.T) map[string][]string {
	t.Helper()
	all, err := moduleGraph()
	if err != nil {
		t.Fatal(err)
	}
	graph := make(map[string][]string, len(all))
	for path, p := range all {
		graph[path] = slices.Sorted(maps.Keys(p.Imports))
	}
	return graph
}

// modulePackages returns the module's packages, except those with only tests.
func modulePackages(t *testing.T) []*packages.Package {
	t.Helper()
	all, err := moduleGraph()
	if err != nil {
		t.Fatal(err)
	}
	var list []*packages.Package
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if p := all[path]; matches([]string{module + "/..."}, path) && len(p.GoFiles) > 0 {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		t.Fatal("found no package of the module")
	}
	return list
}
