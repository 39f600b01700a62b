package template_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"tlswatch/internal/dev/docpart"
	"tlswatch/internal/template/sam"
	"tlswatch/pkg/price"
)

var update = flag.Bool("update", false, "rewrite the parts of docs/ that are made from the template")

// The parts of docs/ about the template are generated from it.
func TestDocs(t *testing.T) {
	template := loadTemplate(t)
	expand := func(parameters map[string]string) *sam.Stack {
		s, err := template.Expand("tlswatch", parameters)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := expand(map[string]string{"ExistingLogBucket": "log-bucket"})
	for _, part := range []struct{ file, name, want string }{
		{"../../docs/operate.md", "alarms", alarmTable(expand(nil), expand(variants["everything"]))},
		{"../../docs/deploy.md", "pattern", jsonBlock(s.Resources["LogRule"].At("EventPattern"))},
		{"../../docs/deploy.md", "policy", jsonBlock(at[any](sam.List(s.Resources["ProcessorRole"].At("Policies"))[0], "PolicyDocument"))},
	} {
		if *update {
			if err := docpart.Write(part.file, part.name, part.want); err != nil {
				t.Error(err)
			}
		} else if err := docpart.Check(part.file, part.name, part.want); err != nil {
			t.Errorf("'make golden' rewrites it: %v", err)
		}
	}
}

// The template, package price and docs/cost.md agree on the number of metrics that alarms watch.
func TestStackAlarms(t *testing.T) {
	template := loadTemplate(t)
	row := "| alarms |"
	for _, ingest := range []string{"Direct", "Queue"} {
		s, err := template.Expand("tlswatch", map[string]string{"Ingest": ingest})
		if err != nil {
			t.Fatal(err)
		}
		var watched float64
		for _, a := range s.OfType("AWS::CloudWatch::Alarm") {
			if a.At("MetricName") != nil {
				watched++
			}
			for _, q := range sam.List(a.At("Metrics")) {
				if _, ok := q.(sam.Tree)["MetricStat"]; ok {
					watched++
				}
			}
		}
		if got := price.StackAlarms(ingest == "Queue"); got != watched {
			t.Errorf("%s: alarms watch %v metrics, and package price says %v", ingest, watched, got)
		}
		row += fmt.Sprintf(" %.2f |", watched*price.List[price.Alarms].Tiers[0].Price)
	}
	columns := strings.TrimPrefix(row, "| alarms |")
	text, err := os.ReadFile("../../docs/cost.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := "\n| alarms |" + strings.Repeat(columns, 3) + "\n"; !strings.Contains(string(text), want) {
		t.Errorf("docs/cost.md has no row%s", want)
	}
}

// alarmTable lists the alarms, default ones first.
func alarmTable(usual, everything *sam.Stack) string {
	var b strings.Builder
	b.WriteString("| alarm | says | there |\n|---|---|---|\n")
	all := everything.OfType("AWS::CloudWatch::Alarm")
	for _, there := range []bool{true, false} {
		for _, a := range all {
			shown := usual.Resources[a.ID]
			if (shown != nil) != there || strings.HasPrefix(a.ID, "LoadBalancer") && a.ID != "LoadBalancer1Alarm" {
				continue
			}
			when := "always"
			if shown == nil {
				shown, when = a, map[string]string{"QueueAgeAlarm": "`Ingest=Queue`", "AnomalyAlarmOfFailures": "`AnomalyAlarm=true`"}[a.ID]
				if when == "" {
					when = "`AlarmLoadBalancers`"
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.TrimPrefix(a.Text("AlarmName"), "tlswatch-"), shown.Text("AlarmDescription"), when)
		}
	}
	return b.String()
}

func jsonBlock(value any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		panic(err) // what the template has, JSON has
	}
	return "\n```json\n" + b.String() + "```\n\n"
}
