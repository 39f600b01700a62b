package view

import (
	"encoding/csv"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"tlswatch/internal/dev/hostile"
	"tlswatch/internal/dev/reporttest"
	"tlswatch/internal/text"
	"tlswatch/pkg/report"
)

// No format lets through what a client put into a log to harm the reader.
func TestHostileText(t *testing.T) {
	c, source := reporttest.Mixed(t)
	r := c.Result(source, 10)
	hostile.Plant(r)

	var table, page, markdown, document strings.Builder
	for name, err := range map[string]error{
		"text": WriteText(&table, r, text.Screen{}), "HTML": WriteHTML(&page, r), "Markdown": WriteMarkdown(&markdown, r), "JSON": r.WriteJSON(&document),
	} {
		if err != nil {
			t.Fatal(name, err)
		}
	}
	hostile.CheckLines(t, "text", table.String())
	hostile.Check(t, "HTML", page.String())
	hostile.CheckLines(t, "JSON", document.String())
	hostile.CheckLines(t, "Markdown", markdown.String())
	plain := regexp.MustCompile("\\\\.|`[^`\n]*`").ReplaceAllString(markdown.String(), "")
	if i := strings.IndexAny(plain, "<>[]`~$"); i >= 0 {
		t.Errorf("Markdown has planted markup: %q", plain[max(0, i-80):min(len(plain), i+40)])
	}
	if strings.Contains(page.String(), "<script>alert") {
		t.Error("the page has a planted script")
	}
	var back report.Result
	if err := json.Unmarshal([]byte(document.String()), &back); err != nil || back.Malformed[0].Error != hostile.Text {
		t.Errorf("JSON does not come back as it was: %v, %q", err, back.Malformed[0].Error)
	}

	for _, section := range report.Sections() {
		var b strings.Builder
		if err := r.WriteCSV(&b, section); err != nil {
			t.Fatal(section, err)
		}
		for _, r := range b.String() {
			if r != '\n' && (r < ' ' || r > '~') {
				t.Fatalf("CSV section %s lets %U through", section, r)
			}
		}
		rows, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
		if err != nil {
			t.Fatal(section, err)
		}
		for _, row := range rows {
			for _, cell := range row {
				for part := range strings.SplitSeq(cell, ";") {
					if cell != "-" && strings.ContainsAny(part[:min(1, len(part))], "=+-@") {
						t.Errorf("section %s has a formula: %q", section, cell)
					}
				}
			}
		}
	}
}
