package deployment

import (
	"encoding/json"
	"flag"
	"fmt"
	"html/template"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
)

var render = flag.String("render", "", "write the dashboard as HTML, and as a picture where Chromium is on PATH, into this folder")

// A widget of the dashboard's body.
type widget struct {
	Type                string
	X, Y, Width, Height int
	Properties          struct {
		Title, Markdown, View string
		Metrics               [][]any
		Alarms                []string
		InsightRule           *struct{ RuleName string }
	}
}

// TestRenderDashboard draws the dashboard from what a running stack published, as CloudWatch would. No widget is empty
// and, where Chromium is on PATH, none is broken.
func TestRenderDashboard(t *testing.T) {
	r, err := deploy(t, readTemplate(t), map[string]string{"Ingest": "Queue"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		for j, lb := range []string{"app/shop/50dc6c495c0c9188", "app/web/1234567890abcdef"} {
			f := makeLogBefore(t, time.Duration(11-i)*5*time.Minute, uint64(10*i+j), 300+100*((i+j)%4), lb)
			r.put(f.Key, f.Gzip())
		}
	}
	bad := makeLog(t, "", 999, 100, "app/web/1234567890abcdef")
	r.put(bad.Key, bad.Gzip()[:200])
	r.wait()

	var board struct{ Widgets []widget }
	if err := json.Unmarshal([]byte(r.stack.Resources["TLSDashboard"].Text("DashboardBody")), &board); err != nil {
		t.Fatal(err)
	}
	m := newMetrics(r)
	var page strings.Builder
	page.WriteString(`<!doctype html><meta charset="utf-8"><title>dashboard</title><style>
body{margin:0;position:relative;font:12px sans-serif;background:#f2f3f3}
.w{position:absolute;box-sizing:border-box;padding:6px;background:#fff;border:1px solid #ccc;overflow:auto}
h3{margin:0 0 4px;font-size:13px}svg{width:100%;height:calc(100% - 60px)}.big{font-size:22px;margin-right:24px}
small{display:inline-block;margin-right:10px}</style>
`)
	for _, w := range board.Widgets {
		body, err := r.draw(w, m)
		if err != nil {
			t.Errorf("%q: %v", w.Properties.Title, err)
		}
		if body == "" {
			t.Errorf("%q is empty", w.Properties.Title)
		}
		fmt.Fprintf(&page, "<div class=w style='left:%dpx;top:%dpx;width:%dpx;height:%dpx'><h3>%s</h3>%s</div>\n",
			w.X*60, w.Y*50, w.Width*60, w.Height*50, template.HTMLEscapeString(w.Properties.Title), body)
	}
	page.WriteString(`<script>
const bad = [...document.querySelectorAll(".w")].filter(w => {
  const content = w.querySelector("svg,pre,small,table,.big,div");
  return !content || content.getBoundingClientRect().height < 5 || w.scrollWidth > w.clientWidth + 2;
}).map(w => w.innerText.slice(0, 40));
document.title = bad.length ? "broken: " + bad.join("; ") : "whole";
</script>`)

	openInBrowser(t, page.String())
}

// openInBrowser writes a page and checks, where Chromium is on PATH, that its script finds it whole.
func openInBrowser(t *testing.T, page string) {
	t.Helper()
	folder := *render
	if folder == "" {
		folder = t.TempDir()
	}
	file := filepath.Join(folder, "dashboard.html")
	if err := os.WriteFile(file, []byte(page), 0o666); err != nil {
		t.Fatal(err)
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Log("SKIPPED: the dashboard was not opened in a browser: chromium is not on PATH")
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

// draw returns a widget as HTML.
func (r *run) draw(w widget, m *metrics) (html string, err error) {
	p := w.Properties
	switch {
	case w.Type == "text":
		return "<pre>" + template.HTMLEscapeString(p.Markdown) + "</pre>", nil
	case w.Type == "custom":
		return r.drawWidget(), nil
	case w.Type == "alarm":
		for _, arn := range p.Alarms {
			html += "<small>" + template.HTMLEscapeString(r.stack.ByARN(arn).Text("AlarmName")) + "</small>"
		}
		return html, nil
	case w.Type == "log":
		return r.logTable(), nil
	case p.InsightRule != nil:
		return r.contributors(p.InsightRule.RuleName), nil
	}
	return m.graph(p.Metrics, p.View == "singleValue")
}

// makeLogBefore makes a log of an earlier period.
func makeLogBefore(t *testing.T, ago time.Duration, seed uint64, lines int, lb string) connlogtest.Object {
	return makeLogAt(t, time.Now().UTC().Add(-ago), seed, lines, lb)
}

// graph draws metrics as lines, or as their last values.
func (m *metrics) graph(rows [][]any, single bool) (string, error) {
	ids := map[string][]line{}
	var shown []line
	for _, row := range rows {
		options, _ := row[len(row)-1].(map[string]any)
		id, _ := options["id"].(string)
		label, _ := options["label"].(string)
		lines, err := m.lines(row, ids)
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
		if points == 0 && row[1] != "ClientsOverBudget" { // published only when there are some
			return "", fmt.Errorf("%v draws nothing", row)
		}
	}
	if single {
		return lastValues(shown), nil
	}
	return chart(shown), nil
}

// lines returns the lines of one row of a graph's metrics: an expression over the lines of other ids, or a metric.
func (m *metrics) lines(row []any, ids map[string][]line) ([]line, error) {
	options, _ := row[len(row)-1].(map[string]any)
	if expression, ok := options["expression"].(string); ok {
		return m.eval(expression, ids)
	}
	var names, values []string
	for i, field := range row[2 : len(row)-1] {
		if i%2 == 0 {
			names = append(names, fmt.Sprint(field))
		} else {
			values = append(values, fmt.Sprint(field))
		}
	}
	return m.find(fmt.Sprint(row[0]), fmt.Sprint(row[1]), names, func(d map[string]string) bool {
		for i, name := range names {
			if d[name] != values[i] {
				return false
			}
		}
		return true
	}, fmt.Sprint(options["stat"])), nil
}

func lastValues(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		last := slices.Max(slices.Collect(maps.Keys(l.at)))
		fmt.Fprintf(&b, "<span class=big>%.4g</span> %s<br>", l.at[last], template.HTMLEscapeString(l.label))
	}
	return b.String()
}

func chart(lines []line) string {
	var b strings.Builder
	first, last, top := int64(math.MaxInt64), int64(0), 1e-9
	for _, l := range lines {
		for at, v := range l.at {
			first, last, top = min(first, at), max(last, at), max(top, v)
		}
	}
	b.WriteString("<svg viewBox='0 0 300 100' preserveAspectRatio='none'>")
	for i, l := range lines {
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
	for i, l := range lines[:min(len(lines), 12)] {
		fmt.Fprintf(&b, "<small style='color:hsl(%d,70%%,40%%)'>%s</small>", i*67%360, template.HTMLEscapeString(l.label))
	}
	return b.String()
}

// logTable shows the warnings and errors in the function's log.
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

// contributors shows the largest contributors of a rule.
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
