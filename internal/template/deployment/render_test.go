package deployment

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"html/template"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/localaws"
)

var render = flag.String("render", "", "write the dashboard, as HTML, and a picture of it where Chromium is on PATH, into this folder")

// TestRenderDashboard draws the dashboard from what a deployed stack published, as CloudWatch would, and finds nothing in
// it empty; and where Chromium is on PATH, nothing in it broken.
func TestRenderDashboard(t *testing.T) {
	r, err := deploy(t, readTemplate(t), map[string]string{"Ingest": "Queue"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		for j, lb := range []string{"app/shop/50dc6c495c0c9188", "app/web/1234567890abcdef"} {
			f := makeLogBefore(t, time.Duration(11-i)*5*time.Minute, uint64(10*i+j), 300+100*((i+j)%4), lb)
			r.put(f.key, packed(f.lines))
		}
	}
	bad := makeLog(t, "", 999, 100, "app/web/1234567890abcdef")
	r.put(bad.key, packed(bad.lines)[:200])
	r.wait()

	var board struct {
		Widgets []struct {
			Type                string
			X, Y, Width, Height int
			Properties          struct {
				Title, Markdown, View string
				Metrics               [][]any
				Alarms                []string
				InsightRule           *struct{ RuleName string }
			}
		}
	}
	if err := json.Unmarshal([]byte(r.stack.Resources["TLSDashboard"].Text("DashboardBody")), &board); err != nil {
		t.Fatal(err)
	}
	drawn := r.drawWidget()
	m := newMetrics(r)
	var page strings.Builder
	page.WriteString(`<!doctype html><meta charset="utf-8"><title>dashboard</title><style>
body{margin:0;position:relative;font:12px sans-serif;background:#f2f3f3}
.w{position:absolute;box-sizing:border-box;padding:6px;background:#fff;border:1px solid #ccc;overflow:auto}
h3{margin:0 0 4px;font-size:13px}svg{width:100%;height:calc(100% - 60px)}.big{font-size:22px;margin-right:24px}
small{display:inline-block;margin-right:10px}</style>
`)
	for _, w := range board.Widgets {
		p := w.Properties
		var body string
		switch {
		case w.Type == "text":
			body = "<pre>" + template.HTMLEscapeString(p.Markdown) + "</pre>"
		case w.Type == "custom":
			body = drawn
		case w.Type == "alarm":
			for _, arn := range p.Alarms {
				body += "<small>" + template.HTMLEscapeString(r.stack.ByARN(arn).Text("AlarmName")) + "</small>"
			}
		case w.Type == "log":
			body = r.logTable()
		case p.InsightRule != nil:
			body = r.contributors(p.InsightRule.RuleName)
		default:
			body, err = m.graph(p.Metrics, p.View == "singleValue")
			if err != nil {
				t.Errorf("%q: %v", p.Title, err)
			}
		}
		if body == "" {
			t.Errorf("%q is empty", p.Title)
		}
		fmt.Fprintf(&page, "<div class=w style='left:%dpx;top:%dpx;width:%dpx;height:%dpx'><h3>%s</h3>%s</div>\n",
			w.X*60, w.Y*50, w.Width*60, w.Height*50, template.HTMLEscapeString(p.Title), body)
	}
	page.WriteString(`<script>
const bad = [...document.querySelectorAll(".w")].filter(w => {
  const content = w.querySelector("svg,pre,small,table,.big,div");
  return !content || content.getBoundingClientRect().height < 5 || w.scrollWidth > w.clientWidth + 2;
}).map(w => w.innerText.slice(0, 40));
document.title = bad.length ? "broken: " + bad.join("; ") : "whole";
</script>`)

	folder := *render
	if folder == "" {
		folder = t.TempDir()
	}
	file := filepath.Join(folder, "dashboard.html")
	if err := os.WriteFile(file, []byte(page.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Log("SKIPPED: the dashboard was not tried in a browser: chromium is not on PATH")
		return
	}
	args := []string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--window-size=1460,3800", "--user-data-dir=" + t.TempDir()}
	if *render != "" {
		if out, err := exec.Command(chromium, append(args, "--screenshot="+filepath.Join(folder, "dashboard.png"), "file://"+file)...).CombinedOutput(); err != nil {
			t.Fatalf("chromium: %v\n%s", err, out)
		}
	}
	out, err := exec.CommandContext(t.Context(), chromium, append(args, "--dump-dom", "file://"+file)...).Output()
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	if title := regexp.MustCompile(`<title>(.*?)</title>`).FindSubmatch(out); title == nil || string(title[1]) != "whole" {
		t.Errorf("in a browser: %s", title)
	}
}

// makeLogBefore is makeLog of an earlier period.
func makeLogBefore(t *testing.T, ago time.Duration, seed uint64, lines int, lb string) logFile {
	return makeLogAt(t, time.Now().UTC().Add(-ago), "", seed, lines, lb)
}

// A line is the values of a metric, by the start of five minutes in Unix time.
type line struct {
	label string
	at    map[int64]float64
}

// metrics evaluates what a graph of CloudWatch is made of, as far as the
// dashboard uses it.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
type metrics struct{ series []localaws.Series }

// newMetrics has what the stack published, and what AWS would publish about the
// stack itself.
func newMetrics(r *run) *metrics {
	m := &metrics{r.AWS.CloudWatch.Metrics()}
	add := func(namespace, name string, dimensions map[string]string, at time.Time, value float64) {
		m.series = append(m.series, localaws.Series{Namespace: namespace, Name: name, Dimensions: dimensions,
			Points: []localaws.Point{{Timestamp: at, Sum: value, Samples: 1, Min: value, Max: value}}})
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
	for _, s := range r.AWS.CloudWatch.Metrics() { // AWS counts them too
		if s.Name == "FailedNegotiations" && len(s.Dimensions) == 1 {
			m.series = append(m.series, localaws.Series{Namespace: "AWS/ApplicationELB", Name: "ClientTLSNegotiationErrorCount", Dimensions: s.Dimensions, Points: s.Points})
		}
	}
	return m
}

// find returns the series of a metric with just these dimensions, by a
// statistic; percentiles are taken as the largest value.
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
			return nil, fmt.Errorf("nothing is called %s", e.Name)
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
			return nil, fmt.Errorf("no function %s is known", name)
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
	return nil, fmt.Errorf("%T is not understood", e)
}

// graph draws metrics as lines, or as their last values.
func (m *metrics) graph(rows [][]any, single bool) (string, error) {
	ids := map[string][]line{}
	var shown []line
	for _, row := range rows {
		options, _ := row[len(row)-1].(map[string]any)
		id, _ := options["id"].(string)
		label, _ := options["label"].(string)
		var lines []line
		var err error
		if expression, ok := options["expression"].(string); ok {
			lines, err = m.eval(expression, ids)
		} else {
			var names, values []string
			for i, field := range row[2 : len(row)-1] {
				if i%2 == 0 {
					names = append(names, fmt.Sprint(field))
				} else {
					values = append(values, fmt.Sprint(field))
				}
			}
			lines = m.find(fmt.Sprint(row[0]), fmt.Sprint(row[1]), names, func(d map[string]string) bool {
				for i, name := range names {
					if d[name] != values[i] {
						return false
					}
				}
				return true
			}, fmt.Sprint(options["stat"]))
		}
		if err != nil {
			return "", err
		}
		ids[id] = lines
		if options["visible"] == false {
			continue
		}
		points := 0
		for _, l := range lines {
			points += len(l.at)
			if !strings.Contains(label, "PROP(") {
				l.label = label
			}
			shown = append(shown, l)
		}
		if points == 0 && row[1] != "ClientsOverBudget" { // of which there are none on a good day
			return "", fmt.Errorf("nothing is drawn of %v", row)
		}
	}
	var b strings.Builder
	if single {
		for _, l := range shown {
			last := slices.Max(slices.Collect(maps.Keys(l.at)))
			fmt.Fprintf(&b, "<span class=big>%.4g</span> %s<br>", l.at[last], template.HTMLEscapeString(l.label))
		}
		return b.String(), nil
	}
	first, last, top := int64(math.MaxInt64), int64(0), 1e-9
	for _, l := range shown {
		for at, v := range l.at {
			first, last, top = min(first, at), max(last, at), max(top, v)
		}
	}
	b.WriteString("<svg viewBox='0 0 300 100' preserveAspectRatio='none'>")
	for i, l := range shown {
		var points []string
		for _, at := range slices.Sorted(maps.Keys(l.at)) {
			points = append(points, fmt.Sprintf("%.1f,%.1f", 300*float64(at-first)/float64(max(1, last-first)), 98-95*l.at[at]/top))
		}
		if len(points) == 1 { // a dot
			points = append(points, "300,"+strings.SplitN(points[0], ",", 2)[1])
		}
		fmt.Fprintf(&b, "<polyline fill='none' stroke='hsl(%d,70%%,40%%)' vector-effect='non-scaling-stroke' points='%s'/>", i*67%360, strings.Join(points, " "))
	}
	fmt.Fprintf(&b, "</svg>max %.4g: ", top)
	for i, l := range shown[:min(len(shown), 12)] {
		fmt.Fprintf(&b, "<small style='color:hsl(%d,70%%,40%%)'>%s</small>", i*67%360, template.HTMLEscapeString(l.label))
	}
	return b.String(), nil
}

// logTable has the warnings and errors of the function's log.
func (r *run) logTable() string {
	var b strings.Builder
	for text := range strings.Lines(r.output.String()) {
		var l map[string]any
		if json.Unmarshal([]byte(text), &l) == nil && (l["level"] == "ERROR" || l["level"] == "WARN") {
			fmt.Fprintf(&b, "<tr><td>%v<td>%v<td>%v", l["level"], l["message"], template.HTMLEscapeString(fmt.Sprint(l["error"])))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "<table>" + b.String() + "</table>"
}

// contributors lists the largest contributors of a rule.
func (r *run) contributors(rule string) string {
	counts := map[string]float64{}
	for text := range strings.Lines(r.output.String()) {
		var l map[string]any
		if json.Unmarshal([]byte(text), &l) == nil && l["message"] == "failing client" {
			key := fmt.Sprint(l["client"], " ", l["loadBalancer"])
			if strings.HasSuffix(rule, "-failure-reasons") {
				key = fmt.Sprint(l["reason"], " ", l["client"], " ", l["protocol"], " ", l["cipher"])
			}
			n, _ := l["failed"].(float64)
			counts[key] += n
		}
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return int(counts[b] - counts[a]) })
	if len(names) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("<table>")
	for _, name := range names[:min(len(names), 12)] {
		fmt.Fprintf(&b, "<tr><td>%v<td>%s", counts[name], template.HTMLEscapeString(name))
	}
	return b.String() + "</table>"
}
