package tlswatch_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tlswatch/internal/dev/docpart"
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
		if *update {
			if err := docpart.Write(table.file, table.name, table.want); err != nil {
				t.Error(err)
			}
		} else if err := docpart.Check(table.file, table.name, table.want); err != nil {
			t.Errorf("'make golden' rewrites it: %v", err)
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
