package template_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"tlswatch/internal/template/sam"
)

// A check returns what is wrong with one aspect of the template. TestTemplate runs all of them on the real template;
// TestPlanted shows that they find mistakes.
type check struct {
	name string
	find func(*sam.Template) problems
}

var templateChecks = []check{
	{"expansion", checkExpansion},
	{"parameters", checkParameters},
	{"names", checkNames},
	{"rules", checkRules},
	{"mappings", checkMappings},
	{"environment", checkEnvironment},
	{"functions", checkFunctions},
	{"wiring", checkWiring},
	{"queues", checkQueues},
	{"policies", checkPolicies},
	{"permissions", checkPermissions},
	{"data", checkData},
	{"metrics", checkMetrics},
	{"alarms", checkAlarms},
	{"insights", checkInsights},
	{"dashboard", checkDashboard},
}

// variants are ways to deploy the template, by their parameters: with a new or an existing bucket, directly or through a
// queue, and with every optional resource present and absent.
var variants = map[string]map[string]string{
	"new bucket, direct":      {},
	"new bucket, queue":       {"Ingest": "Queue"},
	"existing bucket, direct": {"ExistingLogBucket": "amzn-s3-demo-logging-bucket"},
	"existing bucket, queue":  {"ExistingLogBucket": "amzn-s3-demo-logging-bucket", "Ingest": "Queue"},
	"everything": {
		"NewLogBucketName": "amzn-s3-demo-new-bucket", "LogPrefix": "web/tls", "LogAccountId": "210987654321", "Ingest": "Queue",
		"MaximumConcurrency": "5", "AlertEmail": "tls@example.com", "AlertTopicKey": "create", "SlackChannel": "T0123ABCD/C0123ABCD",
		"AlarmLoadBalancers": strings.Join(alarmLoadBalancers, ","), "AnomalyAlarm": "true",
		"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary", "ListenerLookup": "true",
	},
	"elsewhere": {
		"ExistingLogBucket": "amzn-s3-demo-logging-bucket", "ExistingLogBucketOwner": "210987654321", "LogPrefix": "web", "MaximumConcurrency": "1",
		"AlertTopicArn": "arn:aws:sns:us-east-1:123456789012:pager", "AlertTopicKey": "arn:aws:kms:us-east-1:123456789012:key/0a1b",
		"AlarmLoadBalancers": alarmLoadBalancers[0] + "," + alarmLoadBalancers[1],
	},
	"other logs too": {"LogTypes": "All"},
	"least":          {"Alarms": "false", "Dashboard": "false", "DigestSchedule": "", "LogClients": "false", "PublishClients": "false", "AlarmSilentMinutes": "0"},
}

var alarmLoadBalancers = []string{
	"app/one/50dc6c495c0c9188", "app/two/50dc6c495c0c9189", "app/three/50dc6c495c0c918a", "app/four/50dc6c495c0c918b", "net/five/50dc6c495c0c918c",
}

const templateFile = "../../template.yaml"

func readTemplate(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(templateFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func loadTemplate(t *testing.T) *sam.Template {
	t.Helper()
	template, err := sam.Parse([]byte(readTemplate(t)))
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func TestTemplate(t *testing.T) {
	template := loadTemplate(t)
	for _, c := range templateChecks {
		t.Run(c.name, func(t *testing.T) {
			for _, problem := range c.run(template) {
				t.Error(problem)
			}
		})
	}
}

// run runs a check. It turns a panic with a value of type missing into a problem.
func (c check) run(template *sam.Template) (problems []string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case missing:
			problems = append(problems, string(r))
		default:
			panic(r)
		}
	}()
	return c.find(template)
}

// missing is what a check panics with if what it checks does not exist.
type missing string

// problems collects the findings of a check.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// each calls a function with every variant that can be expanded. checkExpansion reports the others.
func (p *problems) each(template *sam.Template, do func(name string, s *sam.Stack)) {
	for _, name := range slices.Sorted(maps.Keys(variants)) {
		if s, err := template.Expand("tlswatch", variants[name]); err == nil {
			do(name, s)
		}
	}
}

// checkExpansion: in every variant, all references exist and no dependency is circular.
func checkExpansion(template *sam.Template) (p problems) {
	for _, name := range slices.Sorted(maps.Keys(variants)) {
		if _, err := template.Expand("tlswatch", variants[name]); err != nil {
			p.add("%s: %v", name, err)
		}
	}
	return p
}

// at returns the value at a path. It panics if there is none, or it is not a T.
func at[T any](value any, path ...string) T {
	for _, field := range path {
		inner, _ := value.(sam.Tree)
		if value = inner[field]; value == nil {
			panic(missing(fmt.Sprintf("the template has no %s in %s", field, strings.Join(path, "."))))
		}
	}
	found, ok := value.(T)
	if !ok {
		panic(missing(fmt.Sprintf("%s is %v, want a %T", strings.Join(path, "."), value, found)))
	}
	return found
}

func TestLint(t *testing.T) {
	program, err := exec.LookPath("cfn-lint")
	if err != nil {
		t.Log("SKIPPED: cfn-lint did not check the template: it is not on PATH")
		return
	}
	if out, err := exec.Command(program, "-t", templateFile).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}
