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

// A check looks at one thing about the template and returns what is wrong with it. TestTemplate has the real template
// pass all of them; TestPlanted shows that each mistake of a list fails one.
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

// variants are ways to deploy the template, by their parameters: a new bucket or an existing one, directly or through a
// queue; and whatever else makes resources come and go.
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

// run makes a panic, by which a check says that what it looks at is not there at all, one of the problems.
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

type missing string

// problems collects what a check finds.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// each runs a look at every variant that can be expanded; checkExpansion complains of the others.
func (p *problems) each(template *sam.Template, look func(name string, s *sam.Stack)) {
	for _, name := range slices.Sorted(maps.Keys(variants)) {
		if s, err := template.Expand("tlswatch", variants[name]); err == nil {
			look(name, s)
		}
	}
}

// checkExpansion: under every variant, nothing refers to what does not exist, and nothing depends on itself.
func checkExpansion(template *sam.Template) (p problems) {
	for _, name := range slices.Sorted(maps.Keys(variants)) {
		if _, err := template.Expand("tlswatch", variants[name]); err != nil {
			p.add("%s: %v", name, err)
		}
	}
	return p
}

// at panics where the template has nothing, or something else than a T.
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
		t.Log("SKIPPED: the template was not checked by cfn-lint, which is not on PATH")
		return
	}
	if out, err := exec.Command(program, "-t", templateFile).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}
