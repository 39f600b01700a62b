package view_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/reporttest"
	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/incident/tell"
	"tlswatch/pkg/report"
	"tlswatch/pkg/report/view"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden shows one result on several screens, and as Markdown.
func TestGolden(t *testing.T) {
	c, source := reporttest.Mixed(t)
	r := c.Result(source, 5)
	r.Story = reporttest.Stories()["several"]
	screens := map[string]text.Screen{
		"report.txt":     {},
		"wide-color.txt": {Width: 130, Color: true},
		"ascii.txt":      {Width: 60, ASCII: true},
	}
	// Colours take no columns.
	for width := 40; width < 140; width += 7 {
		var plain, colored bytes.Buffer
		if err := errors.Join(view.WriteText(&plain, r, text.Screen{Width: width}), view.WriteText(&colored, r, text.Screen{Width: width, Color: true})); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(plain.String(), regexp.MustCompile(`\x1b\[\d*m`).ReplaceAllString(colored.String(), "")); d != "" {
			t.Errorf("width %d, colours: -without +with\n%s", width, d)
		}
	}
	shown := make(map[string][]byte)
	for name, screen := range screens {
		var b bytes.Buffer
		if err := view.WriteText(&b, r, screen); err != nil {
			t.Fatal(err)
		}
		shown[name] = b.Bytes()
	}
	var markdown bytes.Buffer
	if err := view.WriteMarkdown(&markdown, r); err != nil {
		t.Fatal(err)
	}
	shown["report.md"] = markdown.Bytes()
	for name, got := range shown {
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
		columns := map[string]int{"report.txt": 80, "ascii.txt": 60}[name]
		for l := range strings.Lines(string(got)) {
			if n := len([]rune(strings.TrimSuffix(l, "\n"))); n > columns && columns > 0 {
				t.Errorf("%d columns: %s", n, l)
			}
		}
	}
}

// A report opens with its story, and repeats it at the end of what is longer than the
// screen.
func TestOpening(t *testing.T) {
	c, source := reporttest.Mixed(t)
	source.Partial, source.FailedObjects = false, nil
	r := c.Result(source, 5)
	for name, story := range reporttest.Stories() {
		r.Story = story
		opening := strings.Join(tell.Lines(story, tell.Options{}), "\n") + "\n"
		write := func(s text.Screen) string {
			var b strings.Builder
			if err := view.WriteText(&b, r, s); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		whole := write(text.Screen{})
		if !strings.HasPrefix(whole, opening) || strings.Count(whole, opening) != 1 {
			t.Errorf("%s: the report does not open with its story:\n%.600s", name, whole)
		}
		lines := strings.Count(whole, "\n")
		if write(text.Screen{Height: lines}) != whole {
			t.Errorf("%s: the screen has room for %d lines, yet something changed", name, lines)
		}
		if got := write(text.Screen{Height: lines - 1}); got != whole+"\n"+opening {
			t.Errorf("%s: the report does not end with its story", name)
		}
	}
	r.Story, r.NoStory = nil, "--failed leaves out what is needed."
	var b strings.Builder
	if err := view.WriteText(&b, r, text.Screen{}); err != nil || !strings.HasPrefix(b.String(), "--failed leaves out what is needed.\n\n2026-") {
		t.Errorf("%v: %.200s", err, b.String())
	}
}

// Every number of a cause in a table has its cause below, however many there are,
// and programs get all causes.
func TestManyCauses(t *testing.T) {
	const causes = 30
	c := report.New(report.Options{})
	w := c.Worker()
	for i := range causes {
		for client := range 10 {
			w.Add(&connlog.Entry{Time: reporttest.Start, Client: netip.AddrFrom4([4]byte{10, 0, byte(i), byte(client)}), Protocol: "TLSv1.2", Cipher: fmt.Sprint("C", i), Status: "Failed:X"})
		}
	}
	for range 5 { // the rarest of all, and the most frequent of one client
		w.Add(&connlog.Entry{Time: reporttest.Start, Client: netip.MustParseAddr("192.0.2.1"), Protocol: "TLSv1.2", Cipher: "RARE", Status: "Failed:X"})
	}
	w.Close()
	c.Diagnose("P", func(f report.Failure) report.Diagnosis {
		return report.Diagnosis{ID: "x", Cause: "Caused by " + f.Cipher + "."}
	})
	r := c.Result(report.Source{}, 3)
	if r.FailedNegotiations[0].Cipher != "RARE" || r.Diagnoses[causes].Cause != "Caused by RARE." {
		t.Fatalf("%+v, %+v", r.FailedNegotiations, r.Diagnoses)
	}
	var table, page, data bytes.Buffer
	if err := errors.Join(view.WriteText(&table, r, text.Screen{}), view.WriteHTML(&page, r), r.WriteJSON(&data)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  RARE          X       [21]\n", "  [21] 5 failures from 1 client\n      Caused by RARE.\n  and 10 more, in --format json and csv\n"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in\n%s", want, &table)
		}
	}
	if n := strings.Count(page.String(), "Caused by"); n != 21 || !strings.Contains(page.String(), `<td class="n" data-l="why" data-v="21">21</td>`) || !strings.Contains(page.String(), "and 10 more, in --format json and csv") {
		t.Errorf("%d causes on the page", n)
	}
	if n := strings.Count(data.String(), `"cause":`); n != causes+1 {
		t.Errorf("%d causes in JSON", n)
	}
}

// The page lists a bounded number of logs that could not be read, and programs
// get them all.
func TestManyFailedLogs(t *testing.T) {
	var source report.Source
	for i := range 2000 {
		source.FailedObjects = append(source.FailedObjects, report.FailedObject{Object: fmt.Sprintf("logs/%d.log.gz", i), Error: "gzip data is cut"})
	}
	source.TotalFailedObjects = 3000 // of which some are not even listed
	r := report.New(report.Options{}).Result(source, 0)
	var page, data, list bytes.Buffer
	if err := errors.Join(view.WriteHTML(&page, r), r.WriteJSON(&data), r.WriteCSV(&list, "failed-objects")); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(page.String(), ".log.gz"); n != 500 || !strings.Contains(page.String(), "3,000 logs could not be read to the end") || !strings.Contains(page.String(), "and 2,500 more, in --format json and csv") {
		t.Errorf("%d logs on the page", n)
	}
	if n, m := strings.Count(data.String(), ".log.gz"), strings.Count(list.String(), ".log.gz"); n != 2000 || m != 2000 {
		t.Errorf("%d logs in JSON, %d in CSV", n, m)
	}
}

// No text that clients chose becomes a control sequence on a terminal.
func TestInjection(t *testing.T) {
	r := reporttest.Collect(t, report.Options{}, reporttest.Line(reporttest.Start, "203.0.113.7", reporttest.Hostile), 1).Result(report.Source{MalformedLines: 1, Malformed: []report.MalformedLine{{Object: "+x\n.log", Line: 1, Error: "\x1b]0;title\a"}}}, 0)
	r.AddCaptured(report.Captured{}, []report.CapturedOffer{{
		Client: "203.0.113.7", Protocol: "TLSv1.2\x1b[31m", Cipher: "@SUM(A1)", Status: "Failed:\u202e",
		Offer: report.Offer{ServerName: "=1\x1b[0m", Software: "\x1b[1m", Outcome: "+\a", Verdict: "\x1b"},
	}}, 0)
	var b bytes.Buffer
	if err := view.WriteText(&b, r, text.Screen{Width: 200}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\a\u202e") {
		t.Errorf("control characters in %q", &b)
	}
}

// Without entries there is a report too.
func TestEmpty(t *testing.T) {
	r := report.New(report.Options{Heat: true}).Result(report.Source{}, 0)
	var b bytes.Buffer
	if err := view.WriteText(&b, r, text.Screen{}); err != nil || !strings.HasPrefix(b.String(), "no entries\n0 logs") {
		t.Errorf("%v: %s", err, &b)
	}
}

// Below an approximate list, a note says by how much.
func TestApproximate(t *testing.T) {
	r := report.Result{
		FailedClients:      []report.ClientCount{{Client: "192.0.2.1"}},
		FailedNegotiations: []report.Negotiation{{Client: "192.0.2.1"}},
		Approximate:        []report.Approximation{{List: "failedNegotiations", Error: 1234}, {List: "failedClients.connections", Error: 5}},
	}
	var b bytes.Buffer
	if err := view.WriteText(&b, &r, text.Screen{Width: 200}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  Approximate: more than 100,000 rows. Counts may be up to 1,234 too low, and rows with lower counts may be missing.\n",
		"  Approximate: more than 100,000 rows. Connections may be up to 5 too low; failures are exact.\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, &b)
		}
	}
}
