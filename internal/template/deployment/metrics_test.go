package deployment

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/localaws/cloudwatch"
)

// A line is the values of a metric, by the start of their five minutes in Unix time.
type line struct {
	label string
	at    map[int64]float64
}

// metrics evaluates the metric math that the dashboard uses.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
type metrics struct{ series []cloudwatch.Series }

// newMetrics returns what the stack published, and what AWS would publish about the
// stack.
func newMetrics(r *run) *metrics {
	m := &metrics{r.AWS.CloudWatch.Metrics()}
	add := func(namespace, name string, dimensions map[string]string, at time.Time, value float64) {
		m.series = append(m.series, cloudwatch.Series{Namespace: namespace, Name: name, Dimensions: dimensions,
			Points: []cloudwatch.Point{{Timestamp: at, Sum: value, Samples: 1, Min: value, Max: value}}})
	}
	function := map[string]string{"FunctionName": "tlswatch-ProcessorFunction"}
	for _, i := range r.Functions["ProcessorFunction"].Invocations() {
		failed := 0.0
		if i.Error != nil {
			failed = 1
		}
		for name, value := range map[string]float64{"Invocations": 1, "Errors": failed, "Throttles": 0, "ConcurrentExecutions": 1, "Duration": float64(i.Duration.Milliseconds())} {
			add("AWS/Lambda", name, function, i.Started, value)
		}
	}
	for _, id := range []string{"FailureQueue", "LogQueue"} {
		add("AWS/SQS", "ApproximateNumberOfMessagesVisible", map[string]string{"QueueName": "tlswatch-" + id}, time.Now(), float64(len(r.AWS.SQS.Messages(r.url(id)))))
	}
	for _, s := range r.AWS.CloudWatch.Metrics() { // the load balancer counts these as well
		if s.Name == "FailedNegotiations" && len(s.Dimensions) == 1 {
			m.series = append(m.series, cloudwatch.Series{Namespace: "AWS/ApplicationELB", Name: "ClientTLSNegotiationErrorCount", Dimensions: s.Dimensions, Points: s.Points})
		}
	}
	return m
}

// find returns a metric with exactly these dimensions, by a statistic. It takes the
// maximum for a percentile.
func (m *metrics) find(namespace, name string, dimensions []string, filter func(map[string]string) bool, stat string) []line {
	byLabel := map[string]*line{}
	samples := map[string]map[int64]float64{}
	for _, s := range m.series {
		keys := slices.Sorted(maps.Keys(s.Dimensions))
		want := slices.Sorted(slices.Values(dimensions))
		if s.Namespace != namespace || s.Name != name || !slices.Equal(keys, want) || !filter(s.Dimensions) {
			continue
		}
		var parts []string
		for _, d := range dimensions {
			parts = append(parts, s.Dimensions[d])
		}
		label := strings.Join(parts, " ")
		if byLabel[label] == nil {
			byLabel[label] = &line{label, map[int64]float64{}}
			samples[label] = map[int64]float64{}
		}
		for _, p := range s.Points {
			at := p.Timestamp.Truncate(5 * time.Minute).Unix()
			samples[label][at] += p.Samples
			switch stat {
			case "Sum", "Average":
				byLabel[label].at[at] += p.Sum
			case "SampleCount":
				byLabel[label].at[at] += p.Samples
			default:
				byLabel[label].at[at] = max(byLabel[label].at[at], p.Max)
			}
		}
	}
	var list []line
	for _, label := range slices.Sorted(maps.Keys(byLabel)) {
		l := *byLabel[label]
		if stat == "Average" {
			for at := range l.at {
				l.at[at] /= samples[label][at]
			}
		}
		list = append(list, l)
	}
	return list
}

var (
	wholeSearch = regexp.MustCompile(`SEARCH\('\{"?([^",}]+)"?((?:,\w+)+)\} MetricName="(\w+)"(?: (\w+)=\(([^)]*)\))?', '(\w+)', \d+\)`)
	quoted      = regexp.MustCompile(`"([^"]*)"`)
)

// eval evaluates an expression over the lines of other ids.
func (m *metrics) eval(expression string, ids map[string][]line) ([]line, error) {
	ids = maps.Clone(ids)
	n := 0
	source := wholeSearch.ReplaceAllStringFunc(expression, func(s string) string {
		match := wholeSearch.FindStringSubmatch(s)
		dimensions := strings.Split(strings.TrimPrefix(match[2], ","), ",")
		id := fmt.Sprint("search", n)
		n++
		ids[id] = m.find(match[1], match[3], dimensions, func(d map[string]string) bool {
			if match[4] == "" {
				return true
			}
			for _, value := range quoted.FindAllStringSubmatch(match[5], -1) {
				if d[match[4]] == value[1] {
					return true
				}
			}
			return false
		}, match[6])
		return id
	})
	e, err := parser.ParseExpr(source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expression, err)
	}
	return evalExpr(e, ids)
}

func evalExpr(e ast.Expr, ids map[string][]line) ([]line, error) {
	switch e := e.(type) {
	case *ast.Ident:
		lines, ok := ids[e.Name]
		if !ok {
			return nil, fmt.Errorf("unknown id %s", e.Name)
		}
		return lines, nil
	case *ast.ParenExpr:
		return evalExpr(e.X, ids)
	case *ast.CallExpr:
		arguments, err := evalExpr(e.Args[0], ids)
		if err != nil {
			return nil, err
		}
		switch name := e.Fun.(*ast.Ident).Name; name {
		case "SUM":
			sum := line{"", map[int64]float64{}}
			for _, l := range arguments {
				for at, v := range l.at {
					sum.at[at] += v
				}
			}
			return []line{sum}, nil
		case "FILL":
			return arguments, nil
		default:
			return nil, fmt.Errorf("unknown function %s", name)
		}
	case *ast.BinaryExpr:
		if factor, ok := e.X.(*ast.BasicLit); ok && e.Op == token.MUL {
			f, err := strconv.ParseFloat(factor.Value, 64)
			if err != nil {
				return nil, err
			}
			lines, err := evalExpr(e.Y, ids)
			var scaled []line
			for _, l := range lines {
				s := line{l.label, map[int64]float64{}}
				for at, v := range l.at {
					s.at[at] = f * v
				}
				scaled = append(scaled, s)
			}
			return scaled, err
		}
		x, err := evalExpr(e.X, ids)
		if err != nil {
			return nil, err
		}
		y, err := evalExpr(e.Y, ids)
		if err != nil {
			return nil, err
		}
		if len(x) != 1 || len(y) != 1 || e.Op != token.QUO {
			return nil, fmt.Errorf("%s of %d and %d lines", e.Op, len(x), len(y))
		}
		q := line{"", map[int64]float64{}}
		for at, v := range x[0].at {
			if y[0].at[at] != 0 {
				q.at[at] = v / y[0].at[at]
			}
		}
		return []line{q}, nil
	}
	return nil, fmt.Errorf("unknown expression %T", e)
}
