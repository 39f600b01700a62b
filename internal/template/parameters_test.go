package template_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tlswatch/internal/template/sam"
	"tlswatch/pkg/logkey"
)

// checkParameters: each parameter is used, described, in one group of the console's form, and constrained. Its default
// meets its constraints.
func checkParameters(template *sam.Template) (p problems) {
	used := map[string]bool{}
	for _, section := range []string{"Conditions", "Resources", "Outputs"} {
		for _, name := range sam.References(template.Tree[section]) {
			used[name] = true
		}
	}
	grouped := map[string]int{}
	for _, group := range at[[]any](template.Tree, "Metadata", "AWS::CloudFormation::Interface", "ParameterGroups") {
		for _, name := range at[[]any](group, "Parameters") {
			grouped[name.(string)]++
		}
	}
	parameters := template.Section("Parameters")
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		parameter := at[sam.Tree](parameters, name)
		if !used[name] {
			p.add("parameter %s is not used", name)
		}
		if grouped[name] != 1 {
			p.add("parameter %s is in %d groups, want 1", name, grouped[name])
		}
		if parameter["Description"] == nil {
			p.add("parameter %s has no description", name)
		}
		if parameter["Default"] == nil {
			p.add("parameter %s has no default", name)
		} else if err := sam.Accepts(parameter, fmt.Sprint(parameter["Default"])); err != nil {
			p.add("parameter %s: its default: %v", name, err)
		}
		if parameter["AllowedPattern"] == nil && parameter["AllowedValues"] == nil && (parameter["MinValue"] == nil || parameter["MaxValue"] == nil) {
			p.add("parameter %s accepts everything: give it AllowedPattern, AllowedValues, or MinValue and MaxValue", name)
		}
	}
	for name := range grouped {
		if parameters[name] == nil {
			p.add("a group has the parameter %s, which does not exist", name)
		}
	}
	return p
}

// checkNames: everything referred to exists, and every condition and mapping is used.
func checkNames(template *sam.Template) (p problems) {
	for _, name := range sam.References(template.Tree) {
		if !strings.HasPrefix(name, "AWS::") && template.Section("Parameters")[name] == nil && template.Section("Resources")[name] == nil {
			p.add("there is no parameter or resource %s", name)
		}
	}
	used := map[string]bool{}
	sam.Walk(template.Tree, func(node sam.Tree) {
		if name, ok := node["Condition"].(string); ok {
			used["Conditions "+name] = true
		}
		if branch, ok := node["Fn::If"].([]any); ok {
			used["Conditions "+fmt.Sprint(branch[0])] = true
		}
		if keys, ok := node["Fn::FindInMap"].([]any); ok {
			used["Mappings "+fmt.Sprint(keys[0])] = true
		}
	})
	for _, section := range []string{"Conditions", "Mappings"} {
		for name := range template.Section(section) {
			if !used[section+" "+name] {
				p.add("%s: %s is not used", section, name)
			}
			delete(used, section+" "+name)
		}
	}
	for name := range used {
		p.add("%s does not exist", name)
	}
	return p
}

// rejected are invalid combinations of parameters, by the rule that must reject each, and what the rule says.
var rejected = map[string]struct {
	parameters map[string]string
	says       string
}{
	"OneLogBucket":            {map[string]string{"ExistingLogBucket": "logs", "NewLogBucketName": "more-logs"}, "are both set"},
	"OwnerOfAnExistingBucket": {map[string]string{"ExistingLogBucketOwner": "210987654321"}, "needs ExistingLogBucket"},
	"ConcurrencyOfAQueue":     {map[string]string{"Ingest": "Queue", "MaximumConcurrency": "1"}, "at least 2 consumers"},
	"ClientsToAlertAbout":     {map[string]string{"PublishClients": "false", "ClientAlertMinFailed": "5"}, "needs PublishClients=true"},
	"KeyOfATopic":             {map[string]string{"AlertTopicKey": "create", "AlertTopicArn": "arn:aws:sns:us-east-1:123456789012:pager"}, "a topic that this stack creates"},
	"ClientsToLog":            {map[string]string{"LogLevel": "WARN"}, "needs LogLevel INFO or DEBUG"},
	"AlarmsThatAreOff":        {map[string]string{"Alarms": "false", "AnomalyAlarm": "true"}, "need Alarms=true"},
}

// checkRules: each rule rejects an invalid combination, and says why.
func checkRules(template *sam.Template) (p problems) {
	for name := range template.Section("Rules") {
		if _, ok := rejected[name]; !ok {
			p.add("rule %s is not tested", name)
		}
	}
	for name, r := range rejected {
		if _, err := template.Expand("tlswatch", r.parameters); err == nil {
			p.add("rule %s accepts %v", name, r.parameters)
		} else if !strings.Contains(err.Error(), "rule "+name+": ") || !strings.Contains(err.Error(), r.says) {
			p.add("rule %s: got %v, want an explanation with %q", name, err, r.says)
		}
	}
	return p
}

// checkMappings: the mappings hold the results of arithmetic, which CloudFormation cannot do.
func checkMappings(template *sam.Template) (p problems) {
	for _, m := range []struct {
		mapping, parameter, key string
		want                    func(n int) any
	}{
		{"Memory", "MemorySize", "GoLimit", func(mib int) any { return fmt.Sprintf("%dMiB", mib*85/100) }},
		{"Hiding", "Timeout", "Seconds", func(seconds int) any { return 6*seconds + 60 }},
		{"Silence", "AlarmSilentMinutes", "Periods", func(minutes int) any { return max(1, minutes/5) }},
	} {
		rows := at[sam.Tree](template.Tree, "Mappings", m.mapping)
		allowed := at[[]any](template.Tree, "Parameters", m.parameter, "AllowedValues")
		for _, value := range allowed {
			row, _ := rows[fmt.Sprint(value)].(sam.Tree)
			if got, want := row[m.key], m.want(value.(int)); got != want {
				p.add("mapping %s of %s %v: got %v, want %v", m.mapping, m.parameter, value, got, want)
			}
		}
		if len(rows) != len(allowed) {
			p.add("mapping %s has %d rows, %s allows %d values", m.mapping, len(rows), m.parameter, len(allowed))
		}
	}
	for _, region := range []string{"eu-central-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1"} {
		if partition := logkey.Partition(region); at[sam.Tree](template.Tree, "Mappings", "Partition", partition) == nil {
			p.add("mapping Partition has no row for %s, so no stack can be created in %s", partition, region)
		}
	}
	return p
}
