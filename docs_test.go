package tlswatch_test

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/report"
)

// documents lists the Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", ".aws-sam", "build"}, path):
			return fs.SkipDir
		case strings.HasSuffix(path, ".md"):
			list = append(list, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil || len(list) < 20 {
		t.Fatalf("%d documents: %v", len(list), err)
	}
	return list
}

// Links between documents lead to files and headings that exist.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	links := 0
	for _, name := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(readFile(t, name), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			target, anchor, _ := strings.Cut(m[1], "#")
			if target == "" {
				target = name
			} else {
				target = path.Join(path.Dir(name), target)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link to %s: %v", name, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors(readFile(t, target)), anchor) {
				t.Errorf("%s: link to %s: no such heading; there are %q", name, m[1], anchors(readFile(t, target)))
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d links found", links)
	}
}

// anchors returns the names by which links refer to the headings of a text.
func anchors(markdown string) []string {
	var list []string
	drop := regexp.MustCompile("[^a-z0-9 _-]")
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(markdown, -1) {
		list = append(list, strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return list
}

// README.md stays short, and docs/README.md has every page.
func TestDocsIndex(t *testing.T) {
	if lines := strings.Count(readFile(t, "README.md"), "\n"); lines > 120 {
		t.Errorf("README.md has %d lines, want at most 120", lines)
	}
	entries, err := os.ReadDir("docs")
	if err != nil {
		t.Fatal(err)
	}
	index := readFile(t, "docs/README.md")
	for _, e := range entries {
		if e.Name() != "README.md" && !strings.Contains(index, "]("+e.Name()+")") {
			t.Errorf("docs/README.md does not list %s", e.Name())
		}
	}
}

// athenaTable returns the columns of the table in docs/athena.md and its
// expression.
func athenaTable(t *testing.T) (columns []string, expression *regexp.Regexp) {
	t.Helper()
	doc := readFile(t, "docs/athena.md")
	_, table, ok := strings.Cut(doc, "CREATE EXTERNAL TABLE alb_connection_logs (\n")
	table, _, ok2 := strings.Cut(table, "\n)\n")
	if !ok || !ok2 {
		t.Fatal("docs/athena.md has no table")
	}
	for line := range strings.Lines(table) {
		columns = append(columns, strings.Fields(line)[0])
	}
	m := regexp.MustCompile(`'input\.regex' = '(.*)'`).FindStringSubmatch(doc)
	if m == nil {
		t.Fatal("docs/athena.md has no expression")
	}
	return columns, regexp.MustCompile("^(?:" + strings.ReplaceAll(m[1], `\\`, `\`) + ")$") // as SQL reads it; Hive matches whole lines
}

// The Athena table reads what the parser reads.
func TestAthenaTable(t *testing.T) {
	columns, expression := athenaTable(t)
	if len(columns) != 15 || expression.NumSubexp() != 15 {
		t.Fatalf("%d columns, %d groups, want 15", len(columns), expression.NumSubexp())
	}
	var lines []string
	for _, fields := range []int{11, 12, 13, 15} {
		var log bytes.Buffer
		if err := connlogtest.Write(&log, connlogtest.Options{Seed: uint64(fields), Lines: 2000, Fields: fields}); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")...)
	}
	const rest = ` 4.036 "CN=\"a b\" \\, O=\"c\"" NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z 0A Success TID_3180a73013c8ca4bac2f731159d4b0fe`
	lines = append(lines,
		"2023-10-04T17:05:15.514108Z [2001:db8::1] 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256"+rest,
		"2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256"+rest+" x25519 app/a/1 192.0.2.1 - new fields",
		`2023-10-04T17:05:15.514108Z 203.0.113.1 36280 80 - - - "-" - - -`,
	)
	for _, line := range lines {
		m := expression.FindStringSubmatch(line)
		want := connlogtest.Reference(line)
		if m == nil || want == nil {
			t.Fatalf("%s\nmatches: %v; is a line: %v", line, m != nil, want != nil)
		}
		got := m[1:]
		for i, s := range got {
			if s == "-" {
				got[i] = ""
			}
		}
		want = append(slices.Clone(want), make([]string, 15)...)[:15]
		for i := range want {
			want[i] = strings.Trim(want[i], "[]")
			if i == 7 { // the table keeps the escapes of a subject
				want[i], got[i] = unescape(want[i]), unescape(got[i])
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("%s\n-want +got\n%s", line, d)
		}
	}
	for _, other := range []string{
		`https 2018-07-02T22:23:00.186641Z app/a/1 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://a:443/ HTTP/1.1" "curl" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn "Root" "a" "arn" 1 2018-07-02T22:22:48.364000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-"`,
		"", "# comment",
	} {
		if expression.MatchString(other) {
			t.Errorf("matches %q", other)
		}
	}
}

func unescape(s string) string { return strings.ReplaceAll(s, `\`, "") }

// docs/report.md describes each member of the report's JSON.
func TestReportMembers(t *testing.T) {
	text := readFile(t, "docs/report.md")
	members := 0
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() || seen[typ] {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() {
				continue
			}
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				members++
				if !strings.Contains(text, "`"+name+"`") {
					t.Errorf("docs/report.md has no member %q of %s", name, typ)
				}
			}
			visit(f.Type)
		}
	}
	visit(reflect.TypeFor[report.Result]())
	if members < 50 {
		t.Errorf("only %d members looked at", members)
	}
}

// Queries use columns of the table or names that they make themselves.
func TestAthenaQueries(t *testing.T) {
	columns, _ := athenaTable(t)
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(readFile(t, "docs/athena.md"), -1)
	if len(blocks) < 14 {
		t.Fatalf("%d blocks of SQL", len(blocks))
	}
	functions := []string{"count_if", "date_trunc", "approx_percentile", "current_timestamp", "from_iso8601_timestamp", "regexp_extract", "alb_connection_logs", "tls_connections"}
	texts := regexp.MustCompile(`'[^']*'|"[^"]*"`)
	words := regexp.MustCompile(`\b[a-z]+(?:_[a-z0-9]+)+\b`)
	named := regexp.MustCompile(`\bAS ([a-z_0-9]+)`)
	var view []string
	for i, b := range blocks[1:] {
		sql := texts.ReplaceAllString(b[1], "''")
		known := slices.Concat(columns, view, functions)
		for _, m := range named.FindAllStringSubmatch(sql, -1) {
			known = append(known, m[1])
		}
		if i == 0 {
			view = known
		}
		for _, word := range words.FindAllString(sql, -1) {
			if !slices.Contains(known, word) {
				t.Errorf("%s is neither a column nor a function, in\n%s", word, b[1])
			}
		}
		if !strings.HasSuffix(strings.TrimSpace(sql), ";") || strings.Count(sql, "(") != strings.Count(sql, ")") {
			t.Errorf("not a statement:\n%s", b[1])
		}
	}
}
