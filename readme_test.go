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

var update = flag.Bool("update", false, "rewrite the tables in README.md")

// The tables of metrics and settings in README.md are those of the code.
func TestReadmeTables(t *testing.T) {
	tables := map[string]string{"metrics": metricTable(), "settings": settingTable()}
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(data)
	for name, want := range tables {
		begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
		before, rest, ok1 := strings.Cut(readme, begin)
		got, after, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("README.md has no place for the table of %s", name)
		}
		if *update {
			readme = before + begin + want + end + after
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("table of %s; 'make golden' rewrites it: -code +README\n%s", name, d)
		}
	}
	if *update {
		if err := os.WriteFile("README.md", []byte(readme), 0o666); err != nil {
			t.Fatal(err)
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
