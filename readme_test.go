package tlswatch_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tlswatch/pkg/config"
	"tlswatch/pkg/metric"
)

var update = flag.Bool("update", false, "rewrite the generated parts of docs")

// The tables of metrics and settings are generated from the code.
func TestDocsTables(t *testing.T) {
	for _, table := range []struct{ file, name, want string }{
		{"docs/metrics.md", "metrics", metricTable()},
		{"docs/settings.md", "settings", settingTable()},
	} {
		text := readFile(t, table.file)
		begin, end := "<!-- "+table.name+" -->\n", "<!-- /"+table.name+" -->\n"
		before, rest, ok1 := strings.Cut(text, begin)
		got, after, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("%s has no place for the table of %s", table.file, table.name)
		}
		if *update {
			if err := os.WriteFile(table.file, []byte(before+begin+table.want+end+after), 0o666); err != nil {
				t.Fatal(err)
			}
		} else if d := cmp.Diff(table.want, got); d != "" {
			t.Errorf("%s differs from the code; 'make golden' rewrites it: -code +%s\n%s", table.file, table.file, d)
		}
	}
}

func metricTable() string {
	var b strings.Builder
	b.WriteString("| metric | unit | meaning | dimensions |\n|---|---|---|---|\n")
	for _, d := range metric.Definitions {
		var sets []string
		for _, set := range d.Dimensions {
			sets = append(sets, "{"+strings.Join(set, ", ")+"}")
		}
		list := strings.Join(sets, " ")
		if slices.Equal(sets, []string{"{}"}) {
			list = "none"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Unit, d.Meaning, list)
	}
	return b.String()
}

func settingTable() string {
	var b strings.Builder
	b.WriteString("| variable | default | meaning |\n|---|---|---|\n")
	for _, s := range config.Settings() {
		value := "`" + s.Default + "`"
		if s.Default == "" {
			value = ""
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, value, s.Meaning)
	}
	return b.String()
}
