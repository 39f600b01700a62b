package template_test

import (
	"fmt"
	"strings"

	"tlswatch/internal/template/sam"
)

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
