package tlswatch_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"tlswatch/pkg/config"
)

// environment has the variables that the function reads, with their defaults.
var environment = func() map[string]string {
	defaults := make(map[string]string)
	for _, s := range config.Settings() {
		defaults[s.Name] = s.Default
	}
	return defaults
}()

// A tree is the template, or a part of it, with its short functions written out: !Ref x as {Ref: x}.
type tree = map[string]any

func TestTemplateParameters(t *testing.T) {
	template := loadTemplate(t)
	used := map[string]int{}
	for _, section := range []string{"Conditions", "Resources", "Outputs"} {
		for _, name := range references(template[section]) {
			used[name]++
		}
	}
	grouped := map[string]int{}
	for _, group := range at[[]any](t, template, "Metadata", "AWS::CloudFormation::Interface", "ParameterGroups") {
		for _, name := range at[[]any](t, group, "Parameters") {
			grouped[name.(string)]++
		}
	}
	parameters := at[tree](t, template, "Parameters")
	for name, p := range parameters {
		parameter := p.(tree)
		if used[name] == 0 {
			t.Errorf("parameter %s is not used", name)
		}
		if grouped[name] != 1 {
			t.Errorf("parameter %s is in %d groups, want 1", name, grouped[name])
		}
		if parameter["Description"] == nil {
			t.Errorf("parameter %s has no description", name)
		}
		if err := acceptsDefault(parameter); err != nil {
			t.Errorf("parameter %s: %v", name, err)
		}
	}
	for name := range grouped {
		if parameters[name] == nil {
			t.Errorf("the groups have a parameter %s, which does not exist", name)
		}
	}
}

// acceptsDefault returns an error also for a parameter that accepts everything.
func acceptsDefault(parameter tree) error {
	value, ok := parameter["Default"]
	if !ok {
		return fmt.Errorf("it has no default")
	}
	constrained := false
	if pattern, ok := parameter["AllowedPattern"].(string); ok {
		constrained = true
		re, err := regexp.Compile(`^(?:` + pattern + `)$`)
		if err != nil {
			return err
		}
		if !re.MatchString(fmt.Sprint(value)) {
			return fmt.Errorf("its default %q does not match %s", value, pattern)
		}
	}
	if values, ok := parameter["AllowedValues"].([]any); ok {
		constrained = true
		if !slices.Contains(values, value) {
			return fmt.Errorf("its default %v is not one of %v", value, values)
		}
	}
	least, hasLeast := parameter["MinValue"].(int)
	most, hasMost := parameter["MaxValue"].(int)
	if hasLeast && hasMost {
		constrained = true
		if n, ok := value.(int); !ok || n < least || n > most {
			return fmt.Errorf("its default %v is not between %d and %d", value, least, most)
		}
	}
	if !constrained {
		return fmt.Errorf("it accepts everything: give it AllowedPattern, AllowedValues, or MinValue and MaxValue")
	}
	return nil
}

func TestTemplateReferences(t *testing.T) {
	template := loadTemplate(t)
	known := func(name string) bool {
		return strings.HasPrefix(name, "AWS::") ||
			at[tree](t, template, "Parameters")[name] != nil || at[tree](t, template, "Resources")[name] != nil
	}
	for _, name := range references(template) {
		if !known(name) {
			t.Errorf("there is no parameter or resource %s", name)
		}
	}
	conditions := map[string]bool{}
	walk(template["Resources"], func(node tree) {
		if name, ok := node["Condition"].(string); ok {
			conditions[name] = true
		}
		if branch, ok := node["Fn::If"].([]any); ok {
			conditions[branch[0].(string)] = true
		}
	})
	for name := range at[tree](t, template, "Conditions") {
		if !conditions[name] {
			t.Errorf("condition %s is not used", name)
		}
		delete(conditions, name)
	}
	for name := range conditions {
		t.Errorf("there is no condition %s", name)
	}
}

func TestTemplateEnvironment(t *testing.T) {
	template := loadTemplate(t)
	variables := maps.Clone(at[tree](t, function(t, template), "Environment", "Variables"))
	delete(variables, "GOMEMLIMIT") // Go's own
	got, want := slices.Sorted(maps.Keys(variables)), slices.Sorted(maps.Keys(environment))
	if !slices.Equal(got, want) {
		t.Errorf("the function is given %q, reads %q", got, want)
	}
	for name, value := range variables {
		parameter, ok := at[tree](t, template, "Parameters")[at[string](t, value, "Ref")].(tree)
		if ok && fmt.Sprint(parameter["Default"]) != environment[name] {
			t.Errorf("%s defaults to %q in the template, to %q in the function", name, parameter["Default"], environment[name])
		}
	}
}

func TestTemplateMemory(t *testing.T) {
	template := loadTemplate(t)
	limits := maps.Clone(at[tree](t, template, "Mappings", "Memory"))
	for _, size := range at[[]any](t, template, "Parameters", "MemorySize", "AllowedValues") {
		key, want := fmt.Sprint(size), fmt.Sprintf("%dMiB", size.(int)*85/100)
		if got := at[string](t, limits[key], "GoLimit"); got != want {
			t.Errorf("%s MiB leave Go %s, want %s", key, got, want)
		}
		delete(limits, key)
	}
	if len(limits) > 0 {
		t.Errorf("the mapping has sizes that MemorySize does not allow: %v", limits)
	}
}

func TestTemplateBuild(t *testing.T) {
	template := loadTemplate(t)
	makefile := readFile(t, "Makefile")
	for name, r := range resources(t, template, "AWS::Serverless::Function") {
		if got := at[string](t, r, "Metadata", "BuildMethod"); got != "makefile" {
			t.Errorf("%s is built by %s", name, got)
		}
		_, recipe, _ := strings.Cut(makefile, "\nbuild-"+name+":")
		recipe, _, _ = strings.Cut(recipe, "\n\n")
		for _, want := range []string{"CGO_ENABLED=0", "GOOS=linux", "-o \"$(ARTIFACTS_DIR)/bootstrap\""} {
			if !strings.Contains(recipe, want) {
				t.Errorf("the Makefile's target build-%s does not hold %s", name, want)
			}
		}
		for property, want := range map[string]string{"Runtime": "provided.al2023", "Handler": "bootstrap", "CodeUri": "."} {
			if got := at[string](t, r, "Properties", property); got != want {
				t.Errorf("%s has %s %s, want %s", name, property, got, want)
			}
		}
	}
}

func TestTemplatePolicies(t *testing.T) {
	// Actions for which IAM knows no resource.
	anywhere := []string{"cloudwatch:PutMetricData"}

	template := loadTemplate(t)
	namespace := at[string](t, function(t, template), "Environment", "Variables", "METRIC_NAMESPACE", "Ref")
	wantRef(t, namespace, statement(t, template, "PublishMetrics"), "Condition", "StringEquals", "cloudwatch:namespace", "Ref")

	statements := 0
	walk(template["Resources"], func(node tree) {
		if node["Effect"] != "Allow" {
			return
		}
		statements++
		for _, action := range list(node["Action"]) {
			if strings.Contains(action.(string), "*") {
				t.Errorf("%v allows %s", node["Sid"], action)
			}
			free := slices.Contains(anywhere, action.(string)) && node["Condition"] != nil
			if slices.Contains(list(node["Resource"]), any("*")) && !free {
				t.Errorf("%v allows %s on everything", node["Sid"], action)
			}
		}
		for _, principal := range list(node["Principal"]) {
			if services, ok := principal.(tree); !ok || len(services) != 1 || services["Service"] == nil {
				t.Errorf("%v allows %v, want AWS services only", node["Sid"], principal)
			}
		}
	})
	if statements == 0 {
		t.Error("the template has no statement that allows anything")
	}
}

func TestTemplateLogDelivery(t *testing.T) {
	template := loadTemplate(t)
	statements := at[[]any](t, template, "Resources", "LogBucketPolicy", "Properties", "PolicyDocument", "Statement")
	delivery := statements[slices.IndexFunc(statements, func(s any) bool { return s.(tree)["Effect"] == "Allow" })]
	if got := at[string](t, delivery, "Principal", "Service"); got != "logdelivery.elasticloadbalancing.amazonaws.com" {
		t.Errorf("%s may write logs, which is not how a load balancer introduces itself", got)
	}
	for sid, folder := range map[string]any{
		"LoadBalancersWriteLogs": at[[]any](t, delivery, "Resource", "Fn::Sub")[0],
		"ReadLogs":               at[[]any](t, statement(t, template, "ReadLogs"), "Resource", "Fn::Sub")[0],
	} {
		if !strings.HasPrefix(folder.(string), "${LogBucket.Arn}/${Folder}AWSLogs/") {
			t.Errorf("%s is about %s", sid, folder)
		}
	}
	if got := at[string](t, at[[]any](t, template, "Resources", "LogBucket", "Properties", "BucketEncryption",
		"ServerSideEncryptionConfiguration")[0], "ServerSideEncryptionByDefault", "SSEAlgorithm"); got != "AES256" {
		t.Errorf("the log bucket is encrypted with %s, to which load balancers cannot write", got)
	}
}

func TestTemplateTrigger(t *testing.T) {
	template := loadTemplate(t)
	pattern := at[tree](t, template, "Resources", "LogRule", "Properties", "EventPattern")
	const day = "AWSLogs/123456789012/elasticloadbalancing/eu-central-1/2026/11/23/"
	const object = "123456789012_elasticloadbalancing_eu-central-1_app.web.50dc6c495c0c9188_20261123T0955Z_192.0.2.7_2os8r3ik.log.gz"
	for key, want := range map[string]bool{
		day + "conn_log_" + object:                    true,
		day + "conn_log." + object:                    true,
		"logs/" + day + "conn_log_" + object:          true,
		"logs/conn_log/" + day + "conn_log_" + object: true,
		day + object:                                             false,
		day + "health_check_log_" + object:                       false,
		"logs/conn_log/" + day + object:                          false,
		"conn_log/" + day + object:                               false,
		"conn_log_" + object:                                     false,
		"AWSLogs/123456789012/ELBConnectionLogTestFile":          false,
		"logs/AWSLogs/123456789012/ELBConnectionLogTestFile":     false,
		"v1/periods/app/web/50dc6c495c0c9188/20261123T0955Z/0a1": false,
	} {
		if got := matchesEvent(pattern, objectCreated(t, `{"Ref":"LogBucket"}`, key)); got != want {
			t.Errorf("%s: got %t, want %t", key, got, want)
		}
	}
	if matchesEvent(pattern, objectCreated(t, `"another"`, day+"conn_log_"+object)) {
		t.Error("the rule matches objects of other buckets")
	}

	if on := at[bool](t, template, "Resources", "LogBucket", "Properties", "NotificationConfiguration",
		"EventBridgeConfiguration", "EventBridgeEnabled"); !on {
		t.Error("the bucket tells EventBridge nothing")
	}
	target := at[[]any](t, template, "Resources", "LogRule", "Properties", "Targets")[0]
	wantRef(t, "ProcessorFunction", target, "Arn", "Fn::GetAtt")
	wantRef(t, "LogRule", template, "Resources", "LogRulePermission", "Properties", "SourceArn", "Fn::GetAtt")
	wantRef(t, "ProcessorFunction", template, "Resources", "LogRulePermission", "Properties", "FunctionName", "Ref")
}

// objectCreated is the part of an event of S3 that rules look at; its bucket is in JSON.
func objectCreated(t *testing.T, bucket, key string) tree {
	t.Helper()
	var event tree
	if err := json.Unmarshal(fmt.Appendf(nil, `{"source":"aws.s3","detail-type":"Object Created",
		"detail":{"bucket":{"name":%s},"object":{"key":%q}}}`, bucket, key), &event); err != nil {
		t.Fatal(err)
	}
	return event
}

// matchesEvent is what EventBridge does, as far as the template uses it: fields are and, the values of one are or.
func matchesEvent(pattern, event tree) bool {
	for field, want := range pattern {
		switch want := want.(type) {
		case tree:
			if got, ok := event[field].(tree); !ok || !matchesEvent(want, got) {
				return false
			}
		case []any:
			if !slices.ContainsFunc(want, func(want any) bool { return matchesValue(want, event[field]) }) {
				return false
			}
		}
	}
	return true
}

func matchesValue(want, got any) bool {
	if filter, ok := want.(tree); ok && filter["wildcard"] != nil {
		literals := strings.Split(filter["wildcard"].(string), "*")
		for i := range literals {
			literals[i] = regexp.QuoteMeta(literals[i])
		}
		return regexp.MustCompile(`^` + strings.Join(literals, `.*`) + `$`).MatchString(fmt.Sprint(got))
	}
	return fmt.Sprint(want) == fmt.Sprint(got)
}

func TestTemplateNothingIsLost(t *testing.T) {
	template := loadTemplate(t)
	f := function(t, template)

	const minute = 60
	const fortnight = 14 * 24 * 60 * minute
	for name, r := range resources(t, template, "AWS::SQS::Queue") {
		if got := at[int](t, r, "Properties", "MessageRetentionPeriod"); got != fortnight {
			t.Errorf("%s keeps messages for %d s, want %d", name, got, fortnight)
		}
		if !at[bool](t, r, "Properties", "SqsManagedSseEnabled") {
			t.Errorf("%s is not encrypted", name)
		}
	}
	wantRef(t, "FailureQueue", f, "EventInvokeConfig", "DestinationConfig", "OnFailure", "Destination", "Fn::GetAtt")
	wantRef(t, "FailureQueue", statement(t, template, "KeepFailures"), "Resource", "Fn::GetAtt")
	for _, target := range at[[]any](t, template, "Resources", "LogRule", "Properties", "Targets") {
		wantRef(t, "FailureQueue", target, "DeadLetterConfig", "Arn", "Fn::GetAtt")
	}
	wantRef(t, "LogRule", statement(t, template, "UndeliveredEvents"), "Condition", "ArnEquals", "aws:SourceArn", "Fn::GetAtt")

	// Lambda waits one minute before the first retry and two before the second.
	longest := at[int](t, template, "Parameters", "Timeout", "MaxValue")
	retries := at[int](t, f, "EventInvokeConfig", "MaximumRetryAttempts")
	if age := at[int](t, f, "EventInvokeConfig", "MaximumEventAgeInSeconds"); age < (retries+1)*longest+3*minute {
		t.Errorf("an event is given up after %d s, before %d retries of a function that takes %d s", age, retries, longest)
	}
	events, _ := f["Events"].(tree)
	for name, event := range events {
		if event.(tree)["Type"] != "SQS" {
			continue
		}
		queue := strings.TrimSuffix(at[string](t, event, "Properties", "Queue", "Fn::GetAtt"), ".Arn")
		if hidden := at[int](t, template, "Resources", queue, "Properties", "VisibilityTimeout"); hidden < 6*longest {
			t.Errorf("%s: %s hides a message for %d s, want six times the function's %d", name, queue, hidden, longest)
		}
	}
}

func TestTemplateData(t *testing.T) {
	template := loadTemplate(t)
	for name, r := range at[tree](t, template, "Resources") {
		deletion, _ := r.(tree)["DeletionPolicy"].(string)
		replacement, _ := r.(tree)["UpdateReplacePolicy"].(string)
		if (deletion == "") != (replacement == "") {
			t.Errorf("%s has only one of DeletionPolicy and UpdateReplacePolicy", name)
		}
		switch kind := at[string](t, r, "Type"); kind {
		case "AWS::S3::Bucket":
			if deletion != "RetainExceptOnCreate" || replacement != "Retain" {
				t.Errorf("%s holds logs, but goes with %q and %q", name, deletion, replacement)
			}
		case "AWS::SQS::Queue", "AWS::Logs::LogGroup":
			if deletion == "" || replacement != "Retain" {
				t.Errorf("%s holds data, but goes with %q and %q", name, deletion, replacement)
			}
		}
	}
	for name, r := range resources(t, template, "AWS::S3::Bucket") {
		for property, on := range at[tree](t, r, "Properties", "PublicAccessBlockConfiguration") {
			if on != true {
				t.Errorf("%s: %s is %v", name, property, on)
			}
		}
		if len(at[tree](t, r, "Properties", "PublicAccessBlockConfiguration")) != 4 {
			t.Errorf("%s does not block public access in all four ways", name)
		}
	}
}

func TestTemplateLogGroup(t *testing.T) {
	template := loadTemplate(t)
	f := function(t, template)
	group := at[string](t, f, "LoggingConfig", "LogGroup", "Ref")
	if got := at[string](t, template, "Resources", group, "Type"); got != "AWS::Logs::LogGroup" {
		t.Errorf("the function logs to %s, a %s", group, got)
	}
	if got := at[string](t, f, "LoggingConfig", "LogFormat"); got != "JSON" {
		t.Errorf("the function logs %s", got)
	}
	at[any](t, template, "Resources", group, "Properties", "RetentionInDays")
	wantRef(t, group, statement(t, template, "WriteOwnLog"), "Resource", "Fn::GetAtt")
}

func TestTemplateLint(t *testing.T) {
	program, err := exec.LookPath("cfn-lint")
	if err != nil {
		t.Log("SKIPPED: the template was not checked by cfn-lint, which is not on PATH")
		return
	}
	if out, err := exec.Command(program, "-t", "template.yaml").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}

func loadTemplate(t *testing.T) tree {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(readFile(t, "template.yaml")), &document); err != nil {
		t.Fatal(err)
	}
	return expand(t, document.Content[0]).(tree)
}

func expand(t *testing.T, node *yaml.Node) any {
	t.Helper()
	var value any
	switch node.Kind {
	case yaml.MappingNode:
		fields := tree{}
		for i := 0; i < len(node.Content); i += 2 {
			key := node.Content[i].Value
			if _, twice := fields[key]; twice {
				t.Errorf("template.yaml:%d: %s a second time", node.Content[i].Line, key)
			}
			fields[key] = expand(t, node.Content[i+1])
		}
		value = fields
	case yaml.SequenceNode:
		items := []any{}
		for _, item := range node.Content {
			items = append(items, expand(t, item))
		}
		value = items
	default:
		if strings.HasPrefix(node.Tag, "!!") {
			if err := node.Decode(&value); err != nil {
				t.Fatal(err)
			}
		} else {
			value = node.Value
		}
	}
	switch {
	case strings.HasPrefix(node.Tag, "!!"):
		return value
	case node.Tag == "!Ref" || node.Tag == "!Condition":
		return tree{node.Tag[1:]: value}
	default:
		return tree{"Fn::" + node.Tag[1:]: value}
	}
}

// at fails the test where the template has nothing, or something else than a T.
func at[T any](t *testing.T, value any, path ...string) T {
	t.Helper()
	for _, field := range path {
		inner, _ := value.(tree)
		if value = inner[field]; value == nil {
			t.Fatalf("the template has no %s in %s", field, strings.Join(path, "."))
		}
	}
	found, ok := value.(T)
	if !ok {
		t.Fatalf("%s is %v, want a %T", strings.Join(path, "."), value, found)
	}
	return found
}

func walk(value any, visit func(tree)) {
	switch value := value.(type) {
	case tree:
		visit(value)
		for _, v := range value {
			walk(v, visit)
		}
	case []any:
		for _, v := range value {
			walk(v, visit)
		}
	}
}

var variable = regexp.MustCompile(`\$\{([\w:]+)[\w.]*\}`)

// references are the names of the parameters and resources that a part of the template mentions.
func references(value any) []string {
	var names []string
	substitute := func(text any, local tree) {
		for _, match := range variable.FindAllStringSubmatch(text.(string), -1) {
			if local[match[1]] == nil {
				names = append(names, match[1])
			}
		}
	}
	walk(value, func(node tree) {
		if name, ok := node["Ref"].(string); ok {
			names = append(names, name)
		}
		if attribute, ok := node["Fn::GetAtt"].(string); ok {
			name, _, _ := strings.Cut(attribute, ".")
			names = append(names, name)
		}
		switch sub := node["Fn::Sub"].(type) {
		case string:
			substitute(sub, nil)
		case []any:
			substitute(sub[0], sub[1].(tree))
		}
	})
	return names
}

func resources(t *testing.T, template tree, kind string) tree {
	t.Helper()
	found := tree{}
	for name, r := range at[tree](t, template, "Resources") {
		if r.(tree)["Type"] == kind {
			found[name] = r
		}
	}
	if len(found) == 0 {
		t.Fatalf("the template has no %s", kind)
	}
	return found
}

func function(t *testing.T, template tree) tree {
	t.Helper()
	return at[tree](t, template, "Resources", "ProcessorFunction", "Properties")
}

// statement finds a policy statement by its Sid.
func statement(t *testing.T, template tree, sid string) tree {
	t.Helper()
	var found []tree
	walk(template["Resources"], func(node tree) {
		if node["Sid"] == sid {
			found = append(found, node)
		}
	})
	if len(found) != 1 {
		t.Fatalf("the template has %d statements %s, want 1", len(found), sid)
	}
	return found[0]
}

func wantRef(t *testing.T, want string, value any, path ...string) {
	t.Helper()
	if got, _, _ := strings.Cut(at[string](t, value, path...), "."); got != want {
		t.Errorf("%s is of %s, want %s", strings.Join(path, "."), got, want)
	}
}

// list makes a list of what IAM lets one write without, if there is only one.
func list(value any) []any {
	switch value := value.(type) {
	case nil:
		return nil
	case []any:
		return value
	default:
		return []any{value}
	}
}
