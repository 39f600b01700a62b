package template_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tlswatch/internal/template/sam"
)

// A dashboard is the body of a CloudWatch dashboard, as far as the template uses it.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
type dashboard struct {
	Start          string
	PeriodOverride string
	Widgets        []widget
}

type widget struct {
	Type                string
	X, Y, Width, Height int
	Properties          struct {
		Title, Region, View, Markdown, Background, Query, Endpoint string
		Period                                                     int
		Stacked, SetPeriodToTimeRange                              bool
		Metrics                                                    [][]any
		Alarms                                                     []string
		Params                                                     map[string]any
		UpdateOn                                                   map[string]bool
		YAxis, Annotations, Legend                                 map[string]any
		InsightRule                                                *struct {
			RuleName, OrderBy   string
			MaxContributorCount int
		}
	}
}

// search matches the search expressions of the dashboard.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
var search = regexp.MustCompile(`SEARCH\('\{"?([^",}]+)"?((?:,\w+)+)\} MetricName="(\w+)"((?: \w+=\("[^')]+"\))*)', '(\w+)', (\d+)\)`)

// shown matches a dimension that a label shows.
var shown = regexp.MustCompile(`PROP\('Dim\.(\w+)'\)`)

// checkDashboard: the body is well formed and without overlaps, and every metric, rule, alarm, log group and function in it
// exists.
func checkDashboard(template *sam.Template) (p problems) {
	p.each(template, func(name string, s *sam.Stack) {
		boards := s.OfType("AWS::CloudWatch::Dashboard")
		if on := s.Parameters["Dashboard"] == "true"; on != (len(boards) == 1) || on != (s.Resources["WidgetFunction"] != nil) {
			p.add("%s: %d dashboards", name, len(boards))
		}
		for _, r := range boards {
			var board dashboard
			d := json.NewDecoder(strings.NewReader(r.Text("DashboardBody")))
			d.DisallowUnknownFields()
			if err := d.Decode(&board); err != nil {
				p.add("%s: the dashboard's body: %v", name, err)
				continue
			}
			p.positions(name, board)
			shown := map[string]bool{}
			for _, w := range board.Widgets {
				for _, problem := range checkWidget(s, w, shown) {
					p.add("%s: %q %s", name, w.Properties.Title+w.Properties.Markdown, problem)
				}
			}
			for _, a := range s.OfType("AWS::CloudWatch::Alarm") {
				if !shown[a.ID] {
					p.add("%s: the dashboard does not show %s", name, a.ID)
				}
			}
			if len(board.Widgets) > 500 || len(board.Widgets) < 20 {
				p.add("%s: %d widgets", name, len(board.Widgets))
			}
		}
	})
	return p
}

// positions checks that every widget is within the dashboard and none is on another.
func (p *problems) positions(name string, board dashboard) {
	cells := map[[2]int]bool{}
	for _, w := range board.Widgets {
		title := w.Properties.Title + w.Properties.Markdown
		if w.X < 0 || w.Width < 1 || w.X+w.Width > 24 || w.Height < 1 {
			p.add("%s: %q is outside the dashboard", name, title)
		}
		overlaps := false
		for x := w.X; x < w.X+w.Width; x++ {
			for y := w.Y; y < w.Y+w.Height; y++ {
				overlaps = overlaps || cells[[2]int{x, y}]
				cells[[2]int{x, y}] = true
			}
		}
		if overlaps {
			p.add("%s: %q lies on another widget", name, title)
		}
	}
}

// checkWidget returns what is wrong with a widget, and adds the alarms that it shows.
func checkWidget(s *sam.Stack, w widget, shown map[string]bool) (found []string) {
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	q := w.Properties
	if w.Type == "metric" && (q.Region != sam.Region || q.View == "") {
		add("has region %q and view %q", q.Region, q.View)
	}
	switch {
	case w.Type == "text" && q.Markdown != "":
	case w.Type == "metric" && q.InsightRule != nil:
		if !slices.ContainsFunc(s.OfType("AWS::CloudWatch::InsightRule"), func(r *sam.Resource) bool { return r.Text("RuleName") == q.InsightRule.RuleName }) {
			add("shows the rule %s, which does not exist", q.InsightRule.RuleName)
		}
	case w.Type == "metric" && len(q.Metrics) > 0:
		for _, problem := range checkGraph(s, q.Metrics) {
			add("has a graph with a problem: %s", problem)
		}
	case w.Type == "alarm":
		for _, arn := range q.Alarms {
			if a := s.ByARN(arn); a == nil || a.Type != "AWS::CloudWatch::Alarm" {
				add("shows %s, which is not an alarm", arn)
			} else {
				shown[a.ID] = true
			}
		}
	case w.Type == "log":
		if !strings.HasPrefix(q.Query, "SOURCE '"+s.Outputs["FunctionLogGroup"]+"' | ") {
			add("queries %s", q.Query)
		}
	case w.Type == "custom":
		if f := s.ByARN(q.Endpoint); f == nil || f.ID != "WidgetFunction" {
			add("is drawn by %s", q.Endpoint)
		}
	default:
		add("is of the unknown type %s", w.Type)
	}
	return found
}

// checkGraph returns what is wrong with the metrics of a graph.
func checkGraph(s *sam.Stack, metrics [][]any) (found []string) {
	ids := map[string]bool{}
	var expressions []string
	for _, m := range metrics {
		options, _ := m[len(m)-1].(map[string]any)
		id, _ := options["id"].(string)
		if id == "" || ids[id] {
			found = append(found, fmt.Sprintf("%v has no unique id", m))
		}
		ids[id] = true
		if expression, ok := options["expression"].(string); ok {
			expressions = append(expressions, expression)
			label, _ := options["label"].(string)
			searches := search.FindAllStringSubmatch(expression, -1)
			for _, match := range searches {
				dimensions := strings.Split(strings.TrimPrefix(match[2], ","), ",")
				for _, d := range shown.FindAllStringSubmatch(label, -1) {
					if !slices.Contains(dimensions, d[1]) {
						found = append(found, fmt.Sprintf("its label shows %s, which is not a dimension of it", d[1]))
					}
				}
				if err := checkMetric(s, match[1], match[3], dimensions, match[5]); err != nil {
					found = append(found, err.Error())
				}
				for filter := range strings.SplitSeq(strings.TrimSpace(match[4]), " ") {
					if dimension, _, ok := strings.Cut(filter, "=("); ok && !slices.Contains(dimensions, dimension) {
						found = append(found, fmt.Sprintf("it filters by %s, which is not a dimension of it", dimension))
					}
				}
			}
			if strings.Count(expression, "SEARCH(") != len(searches) {
				found = append(found, fmt.Sprintf("cannot parse the search in %s", expression))
			}
			continue
		}
		var names, dimensions []string
		for _, field := range m[:len(m)-1] {
			names = append(names, fmt.Sprint(field))
		}
		for i := 2; i+1 < len(names); i += 2 {
			dimensions = append(dimensions, names[i])
			if names[i+1] == "" {
				found = append(found, "an empty "+names[i])
			}
		}
		if len(names) < 2 || len(names)%2 != 0 {
			found = append(found, fmt.Sprintf("%v is not a metric", m))
			continue
		}
		if err := checkMetric(s, names[0], names[1], dimensions, fmt.Sprint(options["stat"])); err != nil {
			found = append(found, err.Error())
		}
	}
	for _, expression := range expressions {
		for _, id := range variableOfMath.FindAllString(search.ReplaceAllString(expression, ""), -1) {
			if !ids[id] {
				found = append(found, fmt.Sprintf("an expression uses %s, which is not defined", id))
			}
		}
	}
	return found
}
