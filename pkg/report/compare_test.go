package report_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/reporttest"
	"tlswatch/pkg/report"
)

func compare(t *testing.T, now, then string, top int) *report.Comparison {
	t.Helper()
	c := reporttest.Collect(t, report.Options{}, now, 1)
	failing := c.Failing()
	r := c.Result(report.Source{}, 3)
	r.Compare(failing, reporttest.Collect(t, report.Options{}, then, 1), reporttest.Start.AddDate(0, 0, -1), reporttest.Start, top)
	return r.Comparison
}

// What appeared, what vanished, and what fails more often: but no row that chance
// explains, nor what is the same as all.
func TestCompare(t *testing.T) {
	lines := func(n int, client, rest string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(reporttest.Line(reporttest.Start.Add(time.Duration(i)*time.Second), client, rest))
		}
		return b.String()
	}
	old := strings.Replace(reporttest.Good, "TLSv1.3 TLS_AES_128_GCM_SHA256", "TLSv1 AES128-SHA", 1)
	other := strings.ReplaceAll(reporttest.Good, "app/a/1", "app/b/1")
	otherBad := strings.ReplaceAll(reporttest.Bad, "app/a/1", "app/b/1")
	now := lines(500, "192.0.2.1", reporttest.Good) + lines(100, "192.0.2.2", reporttest.Bad) + lines(500, "192.0.2.3", other) + lines(11, "192.0.2.4", otherBad)
	then := lines(500, "192.0.2.1", reporttest.Good) + lines(50, "192.0.2.5", old) + lines(500, "192.0.2.3", other) + lines(9, "192.0.2.6", otherBad) + lines(2, "192.0.2.4", otherBad)
	got := compare(t, now, then, 1)
	want := &report.Comparison{
		Since: reporttest.Start.AddDate(0, 0, -1), Until: reporttest.Start, Counts: report.Counts{Connections: 1061, Failed: 11}, FailedClients: 2,
		Differences: []report.Difference{
			{List: "byLoadBalancer", Name: "app/a/1", Now: report.Counts{Connections: 600, Failed: 100}, Earlier: report.Counts{Connections: 550}},
			{List: "byCipher", Name: "TLSv1 AES128-SHA", Earlier: report.Counts{Connections: 50}},
			{List: "byProtocol", Name: "TLSv1", Earlier: report.Counts{Connections: 50}},
		},
		NewClients: []report.FailingClient{{Client: "192.0.2.2", Failed: 100}}, TotalNew: 1,
		GoneClients: []report.FailingClient{{Client: "192.0.2.6", Failed: 9}}, TotalGone: 1,
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(report.Difference{}), cmpopts.IgnoreFields(report.Comparison{}, "First", "Last")); d != "" {
		t.Error(d)
	}

	for name, c := range map[string]*report.Comparison{"nothing then": compare(t, now, "", 0), "nothing now": compare(t, "", then, 0)} {
		if len(c.Differences) > 0 || c.Differences == nil {
			t.Errorf("%s: %+v", name, c.Differences)
		}
	}
}

// Equals differ by chance only: in one of a thousand rows.
func TestCompareEquals(t *testing.T) {
	rows, differ := 0, 0
	for seed := range uint64(40) {
		log := func(seed uint64) string {
			return string(connlogtest.Log(connlogtest.Options{Seed: seed, Lines: 1500, Duration: time.Hour}))
		}
		differ += len(compare(t, log(1000+seed), log(2000+seed), 0).Differences)
		rows += 20 // at least, in all lists
	}
	if differ > rows/100 {
		t.Errorf("%d of %d rows differ", differ, rows)
	}
	if c := compare(t, fmt.Sprint(reporttest.Line(reporttest.Start, "192.0.2.1", reporttest.Bad)), reporttest.Line(reporttest.Start, "192.0.2.1", reporttest.Bad), 0); c.TotalNew+c.TotalGone > 0 {
		t.Errorf("%+v", c)
	}
}
