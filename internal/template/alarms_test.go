package template_test

import (
	"fmt"
	"maps"
	"strings"

	"tlswatch/internal/template/sam"
)

// defaultAlarms are the alarms that exist by default, and how each treats missing data.
var defaultAlarms = map[string]string{
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

// checkAlarms: each alarm describes the problem, notifies the topic, suits logs that come late, and exists when it should.
func checkAlarms(template *sam.Template) (p problems) {
	p.each(template, func(name string, s *sam.Stack) {
		alarms := map[string]*sam.Resource{}
		for _, a := range s.OfType("AWS::CloudWatch::Alarm") {
			short := strings.TrimPrefix(a.Text("AlarmName"), "tlswatch-")
			if alarms[short] != nil || short == "" {
				p.add("%s: the name %q of %s is not unique", name, a.Text("AlarmName"), a.ID)
			}
			alarms[short] = a
			p.alarm(name, s, a)
		}
		p.loadBalancerAlarms(name, s, alarms)
		want := alarmsOf(s)
		for short, missing := range want {
			if a := alarms[short]; a == nil {
				p.add("%s: there is no alarm %s", name, short)
			} else if a.Text("TreatMissingData") != missing {
				p.add("%s: missing data are %q for %s, want %s", name, a.Text("TreatMissingData"), short, missing)
			}
		}
		for short := range alarms {
			if want[short] == "" {
				p.add("%s: unexpected alarm %s", name, short)
			}
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

// alarm checks one alarm: its description, its actions and its periods.
func (p *problems) alarm(name string, s *sam.Stack, a *sam.Resource) {
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
		p.add("%s: %s evaluates %d periods of %d s; a log covers five minutes, and CloudWatch evaluates at most a day", name, a.ID, periods, period)
	}
}

// loadBalancerAlarms checks that the alarms of single load balancers are about those in AlarmLoadBalancers.
func (p *problems) loadBalancerAlarms(name string, s *sam.Stack, alarms map[string]*sam.Resource) {
	for i, lb := range strings.Split(s.Parameters["AlarmLoadBalancers"], ",") {
		a := alarms[fmt.Sprint("load-balancer-", i+1)]
		if lb == "" || a == nil {
			continue
		}
		for _, q := range sam.List(a.At("Metrics")) {
			if stat, ok := q.(sam.Tree)["MetricStat"].(sam.Tree); ok {
				if d := at[[]any](stat, "Metric", "Dimensions"); len(d) != 1 || at[string](d[0], "Value") != lb {
					p.add("%s: %s is about %v, want %s", name, a.ID, d, lb)
				}
			}
		}
	}
}

// alarmsOf returns the alarms that a stack must have, and how each treats missing data.
func alarmsOf(s *sam.Stack) map[string]string {
	want := map[string]string{}
	if s.Parameters["Alarms"] == "true" {
		maps.Copy(want, defaultAlarms)
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
		if lb != "" {
			want[fmt.Sprint("load-balancer-", i+1)] = "notBreaching"
		}
	}
	return want
}
