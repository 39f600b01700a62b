package tlswatch_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tlswatch/internal/template/sam"
	"tlswatch/pkg/metric"
)

// awsMetrics are the metrics of AWS's own that the template uses, with their dimensions.
//
//   - https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
//   - https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
//   - https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
var awsMetrics = map[string][]string{
	"AWS/Lambda Errors":                                 {"FunctionName"},
	"AWS/Lambda Throttles":                              {"FunctionName"},
	"AWS/Lambda Invocations":                            {"FunctionName"},
	"AWS/Lambda Duration":                               {"FunctionName"},
	"AWS/Lambda ConcurrentExecutions":                   {"FunctionName"},
	"AWS/SQS ApproximateNumberOfMessagesVisible":        {"QueueName"},
	"AWS/SQS ApproximateAgeOfOldestMessage":             {"QueueName"},
	"AWS/ApplicationELB ClientTLSNegotiationErrorCount": {"LoadBalancer"},
}

var statistic = regexp.MustCompile(`^(Sum|Average|Minimum|Maximum|SampleCount|p(\d|[1-9]\d)(\.\d+)?|p100)$`)

// checkMetric says what is wrong with a use of a metric.
func checkMetric(s *sam.Stack, namespace, name string, dimensions []string, stat string) error {
	if !statistic.MatchString(stat) {
		return fmt.Errorf("%s %s: there is no statistic %q", namespace, name, stat)
	}
	slices.Sort(dimensions)
	if namespace != s.Parameters["MetricNamespace"] {
		want, ok := awsMetrics[namespace+" "+name]
		if !ok || !slices.Equal(want, dimensions) {
			return fmt.Errorf("%s %s %v is no metric that is known", namespace, name, dimensions)
		}
		return nil
	}
	for _, d := range metric.Definitions {
		if d.Name != name {
			continue
		}
		for _, set := range d.Dimensions {
			if set := slices.Sorted(slices.Values(set)); slices.Equal(set, dimensions) {
				return nil
			}
		}
	}
	return fmt.Errorf("%s %v is no metric that the function publishes", name, dimensions)
}

// checkMetrics: every metric of an alarm is one that exists.
func checkMetrics(template *sam.Template) (p problems) {
	p.each(template, func(name string, s *sam.Stack) {
		for _, a := range s.OfType("AWS::CloudWatch::Alarm") {
			found := 0
			look := func(m *sam.Resource, stat string) {
				found++
				var dimensions []string
				for _, d := range sam.List(m.At("Dimensions")) {
					dimensions = append(dimensions, at[string](d, "Name"))
					value := at[any](d, "Value")
					if value == "" {
						p.add("%s: %s is about an empty %s", name, a.ID, at[string](d, "Name"))
					}
				}
				if err := checkMetric(s, m.Text("Namespace"), m.Text("MetricName"), dimensions, stat); err != nil {
					p.add("%s: %s: %v", name, a.ID, err)
				}
				if m.At("Unit") != nil {
					p.add("%s: %s names a unit, which finds nothing if it is another", name, a.ID)
				}
			}
			if a.At("MetricName") != nil {
				look(a, a.Text("Statistic")+a.Text("ExtendedStatistic"))
			}
			ids := map[string]bool{}
			returned := 0
			for _, q := range sam.List(a.At("Metrics")) {
				query := &sam.Resource{ID: a.ID, Properties: q.(sam.Tree)}
				ids[query.Text("Id")] = true
				if query.At("ReturnData") == true {
					returned++
				}
				if m, ok := query.At("MetricStat", "Metric").(sam.Tree); ok {
					look(&sam.Resource{ID: a.ID, Properties: m}, query.Text("MetricStat", "Stat"))
				}
			}
			for _, q := range sam.List(a.At("Metrics")) {
				expression, _ := q.(sam.Tree)["Expression"].(string)
				for _, id := range variableOfMath.FindAllString(expression, -1) {
					if !ids[id] {
						p.add("%s: %s computes with %s, which it does not have", name, a.ID, id)
					}
				}
			}
			band := a.Text("ThresholdMetricId")
			if want := map[bool]int{true: 2, false: 1}[band != ""]; len(ids) > 0 && returned != want || band != "" && !ids[band] {
				p.add("%s: %s returns %d series, threshold %q", name, a.ID, returned, band)
			}
			if found == 0 {
				p.add("%s: %s is about no metric", name, a.ID)
			}
		}
	})
	return p
}

// variableOfMath is the id of a metric in metric math; functions are in capitals.
var variableOfMath = regexp.MustCompile(`\b[a-z][A-Za-z0-9_]*\b`)

// wantAlarms are the alarms that there must be by default, and what they do without data.
var wantAlarms = map[string]string{
	"failure-rate":       "notBreaching",
	"failure-count":      "notBreaching",
	"client-budget":      "notBreaching",
	"processing-lag":     "notBreaching",
	"logs-stopped":       "breaching",
	"malformed-lines":    "notBreaching",
	"dead-letters":       "notBreaching",
	"function-errors":    "notBreaching",
	"function-throttles": "notBreaching",
}

// checkAlarms: each alarm says what is wrong, tells the topic, suits logs that come late, and is there when it is wanted.
func checkAlarms(template *sam.Template) (p problems) {
	p.each(template, func(name string, s *sam.Stack) {
		alarms := map[string]*sam.Resource{}
		for _, a := range s.OfType("AWS::CloudWatch::Alarm") {
			short := strings.TrimPrefix(a.Text("AlarmName"), "tlswatch-")
			if alarms[short] != nil || short == "" {
				p.add("%s: the name %q of %s is not its own", name, a.Text("AlarmName"), a.ID)
			}
			alarms[short] = a
			if len(a.Text("AlarmDescription")) < 60 || len(a.Text("AlarmDescription")) > 1024 || strings.Contains(a.Text("AlarmDescription"), "${") {
				p.add("%s: %s describes itself as %q", name, a.ID, a.Text("AlarmDescription"))
			}
			for _, actions := range []string{"AlarmActions", "OKActions"} {
				if list := sam.List(a.At(actions)); len(list) != 1 || list[0] != s.Outputs["AlertTopic"] {
					p.add("%s: %s has the %s %v", name, a.ID, actions, list)
				}
			}
			periods, err := a.Int("EvaluationPeriods")
			if err != nil {
				p.add("%s: %v", name, err)
			}
			datapoints := periods
			if a.At("DatapointsToAlarm") != nil {
				if datapoints, err = a.Int("DatapointsToAlarm"); err != nil || datapoints > periods {
					p.add("%s: %s wants %d of %d periods: %v", name, a.ID, datapoints, periods, err)
				}
			}
			period := 0
			if a.At("Period") != nil {
				period, _ = a.Int("Period")
			}
			for _, q := range sam.List(a.At("Metrics")) {
				if stat, ok := q.(sam.Tree)["MetricStat"].(sam.Tree); ok {
					period, _ = stat["Period"].(int)
				}
			}
			if period < 300 || period%60 != 0 || periods*period > 24*60*60 {
				p.add("%s: %s looks at %d periods of %d s; a log covers five minutes, and CloudWatch looks back a day", name, a.ID, periods, period)
			}
		}
		want := map[string]string{}
		if s.Parameters["Alarms"] == "true" {
			for short, missing := range wantAlarms {
				want[short] = missing
			}
			if s.Parameters["DigestSchedule"] != "" {
				want["digest-errors"] = "notBreaching"
			}
			if s.Parameters["Ingest"] == "Queue" {
				want["queue-age"] = "notBreaching"
			}
		}
		if s.Parameters["AnomalyAlarm"] == "true" {
			want["failure-anomaly"] = "notBreaching"
		}
		for i, lb := range strings.Split(s.Parameters["AlarmLoadBalancers"], ",") {
			if lb == "" {
				continue
			}
			short := fmt.Sprint("load-balancer-", i+1)
			want[short] = "notBreaching"
			if a := alarms[short]; a != nil {
				for _, q := range sam.List(a.At("Metrics")) {
					if stat, ok := q.(sam.Tree)["MetricStat"].(sam.Tree); ok {
						if d := at[[]any](stat, "Metric", "Dimensions"); len(d) != 1 || at[string](d[0], "Value") != lb {
							p.add("%s: %s is about %v, want %s", name, a.ID, d, lb)
						}
					}
				}
			}
		}
		for short, missing := range want {
			if a := alarms[short]; a == nil {
				p.add("%s: there is no alarm %s", name, short)
			} else if a.Text("TreatMissingData") != missing {
				p.add("%s: missing data are %q for %s, want %s", name, a.Text("TreatMissingData"), short, missing)
			}
			delete(alarms, short)
		}
		for short := range alarms {
			p.add("%s: there is an alarm %s that no check knows", name, short)
		}

		if topic := s.Resources["AlertTopicPolicy"]; topic != nil {
			policy, _ := topic.PolicyOf("PolicyDocument")
			for account, want := range map[string]bool{sam.Account: true, "333333333333": false} {
				ask := sam.Request{Action: "sns:Publish", Resource: s.Outputs["AlertTopic"], Service: "cloudwatch.amazonaws.com",
					Context: map[string]string{"aws:SourceAccount": account, "aws:SecureTransport": "true"}}
				if got := policy.Allows(ask); got != want {
					p.add("%s: alarms of account %s may publish: %t, want %t", name, account, got, want)
				}
			}
		}
	})
	return p
}

// An insightRule is the body of a Contributor Insights rule.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/ContributorInsights-RuleSyntax.html
type insightRule struct {
	Schema struct {
		Name    string
		Version int
	}
	LogGroupNames []string
	LogFormat     string
	Contribution  struct {
		Keys    []string
		ValueOf string
		Filters []struct {
			Match string
			In    []string
		}
	}
	AggregateOn string
}

var insightField = regexp.MustCompile(`^\$\.[A-Za-z][A-Za-z0-9]*$`)

// checkInsights: the rules are well formed and look for what the function logs; functions/processor tests that it does.
func checkInsights(template *sam.Template) (p problems) {
	logged := []string{"$.message", "$.loadBalancer", "$.client", "$.reason", "$.failed", "$.listenerPort", "$.protocol", "$.cipher"}
	p.each(template, func(name string, s *sam.Stack) {
		rules := s.OfType("AWS::CloudWatch::InsightRule")
		if on := s.Parameters["LogClients"] == "true"; on != (len(rules) > 0) {
			p.add("%s: %d Contributor Insights rules", name, len(rules))
		}
		for _, r := range rules {
			var rule insightRule
			d := json.NewDecoder(strings.NewReader(r.Text("RuleBody")))
			d.DisallowUnknownFields()
			if err := d.Decode(&rule); err != nil {
				p.add("%s: %s: %v", name, r.ID, err)
				continue
			}
			c := rule.Contribution
			fields := append(slices.Clone(c.Keys), c.ValueOf)
			for _, f := range c.Filters {
				fields = append(fields, f.Match)
				if f.Match == "$.message" && !slices.Equal(f.In, []string{"failing client"}) {
					p.add("%s: %s looks for lines %q", name, r.ID, f.In)
				}
			}
			for _, field := range fields {
				if !insightField.MatchString(field) || !slices.Contains(logged, field) {
					p.add("%s: %s looks at %q, which is not logged", name, r.ID, field)
				}
			}
			if rule.Schema.Name != "CloudWatchLogRule" || rule.Schema.Version != 1 || rule.LogFormat != "JSON" || rule.AggregateOn != "Sum" ||
				len(c.Keys) == 0 || len(c.Keys) > 4 || c.ValueOf != "$.failed" || len(c.Filters) == 0 || len(c.Filters) > 4 {
				p.add("%s: %s: %+v", name, r.ID, rule)
			}
			if !slices.Equal(rule.LogGroupNames, []string{s.Outputs["FunctionLogGroup"]}) {
				p.add("%s: %s looks into %q", name, r.ID, rule.LogGroupNames)
			}
			if len(r.Text("RuleName")) > 128 || len(r.Text("RuleBody")) > 8192 || r.Text("RuleState") != "ENABLED" {
				p.add("%s: %s: %v", name, r.ID, r.Properties)
			}
		}
	})
	return p
}
