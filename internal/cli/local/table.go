package local

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/cli/console"
	"tlswatch/internal/localaws/cloudwatch"
	"tlswatch/internal/text"
	"tlswatch/pkg/metric"
)

// write prints the result as text.
func (r result) write(b *console.Writer) {
	r.writeInvocations(b, r.Invocations)
	r.writeMetrics(b)
	r.writeAlerts(b, r.Alerts)
	fmt.Fprintf(b, "\nAPI CALLS\n\n")
	calls := text.Table{Columns: "lr"}
	for _, name := range slices.Sorted(maps.Keys(r.API)) {
		calls.Add(name, strconv.Itoa(r.API[name]))
	}
	b.Table(&calls)
}

func (r result) writeInvocations(b *console.Writer, list []invocation) {
	fmt.Fprintf(b, "\nINVOCATIONS\n\n")
	t := text.Table{Columns: "lrrrw"}
	t.Add("request", "attempt", "objects", "ms", "result")
	for _, i := range list {
		t.Add(i.RequestID, strconv.Itoa(i.attempt), strconv.Itoa(i.Objects), strconv.FormatFloat(i.DurationMS, 'f', 1, 64), cmp.Or(i.Error, "ok"))
	}
	b.Table(&t)
}

// writeMetrics prints each metric, summed over time, in the order of
// [metric.Definitions].
func (r result) writeMetrics(b *console.Writer) {
	var namespace string
	var first, last time.Time
	for _, m := range r.Metrics {
		namespace = m.Namespace
		if first.IsZero() || m.Timestamp.Before(first) {
			first = m.Timestamp
		}
		if m.Timestamp.After(last) {
			last = m.Timestamp
		}
	}
	if len(r.Metrics) == 0 {
		fmt.Fprintf(b, "\nMETRICS\n\n  none\n")
		return
	}
	fmt.Fprintf(b, "\nMETRICS in namespace %s, %s from %s to %s UTC\n", namespace, text.Plural(len(r.Metrics), "data point"), first.Format("2006-01-02 15:04"), last.Format("15:04"))
	order := make(map[string]int)
	for i, d := range metric.Definitions {
		if _, ok := order[d.Name]; !ok {
			order[d.Name] = i
		}
	}
	series := slices.Clone(r.series)
	slices.SortStableFunc(series, func(a, b cloudwatch.Series) int {
		return cmp.Or(cmp.Compare(order[a.Name], order[b.Name]), cmp.Compare(len(a.Dimensions), len(b.Dimensions)),
			slices.Compare(slices.Sorted(maps.Keys(a.Dimensions)), slices.Sorted(maps.Keys(b.Dimensions))))
	})
	t := text.Table{Columns: "lrrrrr"}
	for i, s := range series {
		if i == 0 || s.Name != series[i-1].Name {
			t.Add()
			heading := []string{s.Name + " (" + s.Unit + ")", "sum", "samples", "average"}
			if s.Unit == string(metric.Seconds) {
				heading = append(heading, "p50", "p99")
			}
			t.Add(heading...)
		}
		total := s.Total()
		row := []string{"  " + dimensions(s), amount(total.Sum), amount(total.Samples), amount(total.Sum / total.Samples)}
		if s.Unit == string(metric.Seconds) {
			p50, _ := total.Percentile(50)
			p99, _ := total.Percentile(99)
			row = append(row, amount(p50), amount(p99))
		}
		t.Add(row...)
	}
	b.Table(&t)
}

// dimensions formats dimensions, without the name LoadBalancer: the value shows it.
func dimensions(s cloudwatch.Series) string {
	if len(s.Dimensions) == 0 {
		return "(no dimensions)"
	}
	var list []string
	for _, name := range []string{metric.LoadBalancer, metric.ListenerPort, metric.Protocol, metric.Cipher, metric.KeyExchange, metric.Reason, metric.Client} {
		if value, ok := s.Dimensions[name]; !ok {
			continue
		} else if name == metric.LoadBalancer {
			list = append(list, value)
		} else {
			list = append(list, name+"="+value)
		}
	}
	return strings.Join(list, " ")
}

func (r result) writeAlerts(b io.Writer, list []alert) {
	fmt.Fprintf(b, "\nALERTS: %d\n", len(list))
	for _, a := range list {
		fmt.Fprintf(b, "\n  To       %s\n  Subject  %s\n\n", a.Topic, text.Printable(a.Subject))
		for line := range strings.Lines(cmp.Or(a.Messages["email"], a.Messages["default"])) {
			fmt.Fprintf(b, "  | %s\n", text.Printable(strings.TrimSuffix(line, "\n")))
		}
	}
}

// amount formats a number with at most three decimals.
func amount(f float64) string {
	s := strconv.FormatFloat(f, 'f', 3, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}
