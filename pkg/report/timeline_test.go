package report_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/reporttest"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/report"
)

// Time lines count what the lists count, whatever the order and however many
// workers, and the load balancer that changed most is the first.
func TestTimelines(t *testing.T) {
	var lines []string
	add := func(minute, n int, name, rest string) {
		for range n {
			lines = append(lines, reporttest.Line(reporttest.Start.Add(time.Duration(minute)*time.Minute), "192.0.2.1", strings.Replace(rest, "app/a/1", name, 1)))
		}
	}
	for minute := range 40 {
		add(minute, 50, "app/busy/1", reporttest.Good)
		add(minute, 30, "app/busy/1", reporttest.Bad) // many failures, at the same rate all along
		add(minute, 9, "app/broken/1", reporttest.Good)
		if minute >= 20 {
			add(minute, 5, "app/broken/1", reporttest.Bad)
		}
		add(minute, 2, "app/fine/1", reporttest.Good)
	}
	var results [][]report.Timeline
	for _, workers := range []int{1, 3} {
		r := reporttest.Collect(t, report.Options{}, strings.Join(lines, ""), workers).Result(report.Source{}, 0)
		got := r.BarsByLoadBalancer(20)
		results = append(results, got)
		var names []string
		for _, line := range got {
			names = append(names, line.LoadBalancer)
			if len(line.Bars) != 20 {
				t.Errorf("%s has %d bars", line.LoadBalancer, len(line.Bars))
			}
			i := slices.IndexFunc(r.ByLoadBalancer, func(c report.LoadBalancerCount) bool { return c.LoadBalancer == line.LoadBalancer })
			if line.Counts != r.ByLoadBalancer[i].Counts {
				t.Errorf("%+v, but %+v", line.Counts, r.ByLoadBalancer[i])
			}
		}
		if d := cmp.Diff([]string{"app/broken/1", "app/busy/1", "app/fine/1"}, names); d != "" {
			t.Error(d)
		}
		if b := got[0].Bars; b[9].Failed != 0 || b[10].Failed != 10 || b[10].Connections != 28 {
			t.Errorf("%+v", b)
		}
		slices.Reverse(lines)
	}
	if d := cmp.Diff(results[0], results[1]); d != "" {
		t.Errorf("one and three workers, in another order: -one +three\n%s", d)
	}
}

// Memory for time lines is bounded: steps become wider, and of too many load
// balancers there is none.
func TestManyTimelines(t *testing.T) {
	for _, test := range []struct{ balancers, hours, want int }{{250, 3, 250}, {300, 1, 300}, {301, 1, 0}} {
		c := report.New(report.Options{})
		w := c.Worker()
		for minute := range test.hours * 60 {
			for i := range test.balancers {
				w.Add(&connlog.Entry{Time: reporttest.Start.Add(time.Duration(minute) * time.Minute), Client: netip.MustParseAddr("192.0.2.1"), LoadBalancer: fmt.Sprint("app/a/", i), Protocol: "TLSv1.3", Status: "Success"})
			}
		}
		w.Close()
		r := c.Result(report.Source{}, 0)
		got := r.BarsByLoadBalancer(48)
		if len(got) != test.want {
			t.Errorf("%d load balancers have %d time lines", test.balancers, len(got))
		}
		for _, line := range got {
			if line.Connections != uint64(test.hours*60) {
				t.Fatalf("%+v", line.Counts)
			}
		}
		rows := 0
		for _, minutes := range r.Timelines.Minutes {
			rows += len(minutes)
		}
		if rows > 16_384 {
			t.Errorf("%d load balancers have %d rows", test.balancers, rows)
		}
	}
}

func TestPeak(t *testing.T) {
	for name, c := range map[string]struct {
		bars []report.Counts
		want report.Counts
	}{
		"no bars":               {},
		"nothing failed":        {bars: []report.Counts{{Connections: 9}, {}}},
		"a full bar":            {[]report.Counts{{Connections: 100, Failed: 1}, {Connections: 120, Failed: 30}, {}}, report.Counts{Connections: 120, Failed: 30}},
		"not the last minute":   {[]report.Counts{{Connections: 100, Failed: 1}, {Connections: 120, Failed: 30}, {Connections: 2, Failed: 2}}, report.Counts{Connections: 120, Failed: 30}},
		"few, but all failures": {[]report.Counts{{Connections: 100}, {Connections: 120}, {Connections: 2, Failed: 1}}, report.Counts{Connections: 2, Failed: 1}},
		"gaps are no bars":      {[]report.Counts{{Connections: 100, Failed: 50}, {Connections: 4, Failed: 4}, {}, {}, {}, {}, {}, {}, {}, {}}, report.Counts{Connections: 100, Failed: 50}},
	} {
		if got := report.Peak(c.bars); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
