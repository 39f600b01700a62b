package deployment

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/functiontest"
	"tlswatch/pkg/metric"
)

// check compares what was published with the reference.
func (r *run) check() {
	r.t.Helper()
	functiontest.WantSums(r.t, functiontest.Reference(r.logs...), functiontest.Sums(r.AWS))
	messages := r.AWS.SNS.Messages()
	if len(messages) != 1 || messages[0].TopicARN != r.stack.Outputs["AlertTopic"] || messages[0].Attributes["loadBalancer"] != r.logs[0].LoadBalancer {
		r.t.Errorf("alerts: %+v", messages)
	}
	failed := r.AWS.SQS.Messages(r.url("FailureQueue"))
	if len(failed) != 1 || !strings.Contains(failed[0].Body, "_00000003.log.gz") {
		r.t.Errorf("%d messages in the failure queue, want the truncated log: %+v", len(failed), failed)
	}
	for _, id := range slices.Sorted(maps.Keys(r.Functions)) {
		for _, i := range r.Functions[id].Invocations() {
			if strings.Contains(string(i.Payload), "/123456789012_elasticloadbalancing") {
				r.t.Errorf("%s was invoked about an access log", id)
			}
		}
	}
}

// checkInsights evaluates the Contributor Insights rules over the function's log.
func (r *run) checkInsights() {
	r.t.Helper()
	want := map[string]float64{}
	for _, f := range r.logs {
		for _, line := range f.Lines {
			if fields := connlogtest.Reference(line); strings.HasPrefix(fields[10], "Failed:") {
				want[f.LoadBalancer]++
			}
		}
	}
	rules := r.stack.OfType("AWS::CloudWatch::InsightRule")
	if len(rules) == 0 {
		r.t.Error("there are no rules")
	}
	for _, id := range slices.Sorted(maps.Keys(r.Functions)) { // its log is complete only when it has ended
		if id == "ProcessorFunction" {
			r.Functions[id].Close()
		}
	}
	for _, rule := range rules {
		var body struct {
			Contribution struct {
				Keys    []string
				ValueOf string
				Filters []struct {
					Match string
					In    []string
				}
			}
		}
		if err := json.Unmarshal([]byte(rule.Text("RuleBody")), &body); err != nil {
			r.t.Fatal(err)
		}
		field := func(line map[string]any, path string) string { return fmt.Sprint(line[strings.TrimPrefix(path, "$.")]) }
		sum := 0.0
		contributors := map[string]float64{}
		for line := range strings.Lines(r.output.String()) {
			var l map[string]any
			if json.Unmarshal([]byte(line), &l) != nil || slices.ContainsFunc(body.Contribution.Filters, func(f struct {
				Match string
				In    []string
			}) bool {
				return !slices.Contains(f.In, field(l, f.Match))
			}) {
				continue
			}
			var key []string
			for _, k := range body.Contribution.Keys {
				key = append(key, field(l, k))
			}
			n, _ := l[strings.TrimPrefix(body.Contribution.ValueOf, "$.")].(float64)
			sum += n
			contributors[strings.Join(key, " ")] += n
		}
		total := 0.0
		for _, n := range want {
			total += n
		}
		if sum != total || len(contributors) < 10 {
			r.t.Errorf("%s counts %v failures of %d contributors, the logs have %v", rule.ID, sum, len(contributors), total)
		}
	}
}

var search = regexp.MustCompile(`SEARCH\('\{"?([^",}]+)"?((?:,\w+)+)\} MetricName="(\w+)"`)

// checkDashboard checks that every graph about the logs has data.
func (r *run) checkDashboard() {
	r.t.Helper()
	published := map[string]bool{}
	for _, s := range r.AWS.CloudWatch.Metrics() {
		published[s.Namespace+" "+s.Name+" "+strings.Join(slices.Sorted(maps.Keys(s.Dimensions)), ",")] = true
	}
	var body struct {
		Widgets []struct {
			Properties struct {
				Title   string
				Metrics [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(r.stack.Resources["TLSDashboard"].Text("DashboardBody")), &body); err != nil {
		r.t.Fatal(err)
	}
	looked := 0
	for _, w := range body.Widgets {
		for _, m := range w.Properties.Metrics {
			options, _ := m[len(m)-1].(map[string]any)
			var keys []string
			if expression, ok := options["expression"].(string); ok {
				for _, match := range search.FindAllStringSubmatch(expression, -1) {
					dimensions := strings.Split(strings.TrimPrefix(match[2], ","), ",")
					slices.Sort(dimensions)
					keys = append(keys, match[1]+" "+match[3]+" "+strings.Join(dimensions, ","))
				}
			} else {
				keys = []string{fmt.Sprint(m[0], " ", m[1], " ")}
			}
			for _, key := range keys {
				if strings.HasPrefix(key, "AWS/") || strings.Contains(key, metric.ClientsOverBudget) {
					continue
				}
				looked++
				if !published[key] {
					r.t.Errorf("%q is empty: nothing is published as %q", w.Properties.Title, key)
				}
			}
		}
	}
	if looked < 20 {
		r.t.Errorf("only %d graphs looked at", looked)
	}
}

// drawWidget returns the dashboard's custom widget, as HTML.
func (r *run) drawWidget() string {
	r.t.Helper()
	now := time.Now()
	event := fmt.Sprintf(`{"rows":20,"widgetContext":{"dashboardName":"tlswatch","theme":"light","timezone":{"offsetISO":"+00:00"},
		"timeRange":{"mode":"relative","start":%d,"end":%d},"width":1200,"height":500}}`, now.Add(-time.Hour).UnixMilli(), now.UnixMilli())
	result, err := r.Functions["WidgetFunction"].Invoke(r.t.Context(), []byte(event))
	if err != nil || result.Error != nil {
		r.t.Fatal(err, result.Error)
	}
	var html string
	if err := json.Unmarshal(result.Payload, &html); err != nil {
		r.t.Fatal(err)
	}
	return html
}

func (r *run) checkWidget() {
	r.t.Helper()
	html := r.drawWidget()
	for _, f := range r.logs {
		if !strings.Contains(html, f.LoadBalancer) {
			r.t.Errorf("the widget does not show %s:\n%s", f.LoadBalancer, html)
		}
	}
}

// checkDigest invokes the digest as its schedule does.
func (r *run) checkDigest() {
	r.t.Helper()
	before := len(r.AWS.SNS.Messages())
	result, err := r.Functions["DigestFunction"].Invoke(r.t.Context(), []byte(`{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}`))
	if err != nil || result.Error != nil {
		r.t.Fatal(err, result.Error)
	}
	messages := r.AWS.SNS.Messages()
	if len(messages) != before+1 {
		r.t.Fatalf("%d digests", len(messages)-before)
	}
	digest := messages[before]
	for _, f := range r.logs {
		if name := strings.Split(f.LoadBalancer, "/")[1]; digest.TopicARN != r.stack.Outputs["AlertTopic"] || !strings.Contains(digest.Text("email"), name) {
			r.t.Errorf("the digest to %s does not mention %s:\n%s", digest.TopicARN, name, digest.Text("email"))
		}
	}
}
