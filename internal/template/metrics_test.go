package template_test

import (
	"fmt"
	"regexp"
	"slices"

	"tlswatch/internal/template/sam"
	"tlswatch/pkg/metric"
)

// awsMetrics are the AWS metrics that the template uses, with their dimensions.
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

// checkMetric returns an error if a use of a metric is wrong.
func checkMetric(s *sam.Stack, namespace, name string, dimensions []string, stat string) error {
	if !statistic.MatchString(stat) {
		return fmt.Errorf("%s %s: no statistic %q", namespace, name, stat)
	}
	slices.Sort(dimensions)
	if namespace != s.Parameters["MetricNamespace"] {
		want, ok := awsMetrics[namespace+" "+name]
		if !ok || !slices.Equal(want, dimensions) {
			return fmt.Errorf("%s %s %v is not a known metric", namespace, name, dimensions)
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
	return fmt.Errorf("%s %v is not a metric that the function publishes", name, dimensions)
}

// checkMetrics: the metrics of every alarm exist.
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
						p.add("%s: %s has an empty dimension %s", name, a.ID, at[string](d, "Name"))
					}
				}
				if err := checkMetric(s, m.Text("Namespace"), m.Text("MetricName"), dimensions, stat); err != nil {
					p.add("%s: %s: %v", name, a.ID, err)
				}
				if m.At("Unit") != nil {
					p.add("%s: %s has a unit, which matches nothing if it differs", name, a.ID)
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
						p.add("%s: %s uses %s in an expression, but does not define it", name, a.ID, id)
					}
				}
			}
			band := a.Text("ThresholdMetricId")
			if want := map[bool]int{true: 2, false: 1}[band != ""]; len(ids) > 0 && returned != want || band != "" && !ids[band] {
				p.add("%s: %s returns %d series, threshold %q", name, a.ID, returned, band)
			}
			if found == 0 {
				p.add("%s: %s has no metric", name, a.ID)
			}
		}
	})
	return p
}

// variableOfMath matches the id of a metric in metric math. Functions are in capitals.
var variableOfMath = regexp.MustCompile(`\b[a-z][A-Za-z0-9_]*\b`)
