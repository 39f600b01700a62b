package template_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"tlswatch/internal/template/sam"
)

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

// checkInsights: the rules are well formed and count what the function logs. A test of functions/processor checks the log.
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
					p.add("%s: %s selects lines %q", name, r.ID, f.In)
				}
			}
			for _, field := range fields {
				if !insightField.MatchString(field) || !slices.Contains(logged, field) {
					p.add("%s: %s uses %q, which is not logged", name, r.ID, field)
				}
			}
			if rule.Schema.Name != "CloudWatchLogRule" || rule.Schema.Version != 1 || rule.LogFormat != "JSON" || rule.AggregateOn != "Sum" ||
				len(c.Keys) == 0 || len(c.Keys) > 4 || c.ValueOf != "$.failed" || len(c.Filters) == 0 || len(c.Filters) > 4 {
				p.add("%s: %s: %+v", name, r.ID, rule)
			}
			if !slices.Equal(rule.LogGroupNames, []string{s.Outputs["FunctionLogGroup"]}) {
				p.add("%s: %s reads %q", name, r.ID, rule.LogGroupNames)
			}
			if len(r.Text("RuleName")) > 128 || len(r.Text("RuleBody")) > 8192 || r.Text("RuleState") != "ENABLED" {
				p.add("%s: %s: %v", name, r.ID, r.Properties)
			}
		}
	})
	return p
}
