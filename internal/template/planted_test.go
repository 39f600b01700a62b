package template_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tlswatch/internal/template/sam"
)

// A mistake is a replacement of text in the template, the check that must find it, and what the check must say.
type mistake struct {
	name     string
	old, new string
	check    string
	says     string
}

// planted are common mistakes, at least one for each check.
var planted = []mistake{
	{"a misspelt environment variable", "ALERT_MIN_FAILED_PERCENT: !Ref", "ALERT_MIN_FAIL_PERCENT: !Ref", "environment", "ALERT_MIN_FAIL_PERCENT"},
	{"an environment variable that is left out", "          STATE_BUCKET: !Ref StateBucket\n", "", "environment", "STATE_BUCKET"},
	{"a default other than the function's", "    Description: Minimum failed negotiations for an alert.\n    Type: Number\n    Default: 100", "    Description: Minimum failed negotiations for an alert.\n    Type: Number\n    Default: 10", "environment", "ALERT_MIN_FAILED"},
	{"a permission that is left out", "Action: [s3:GetObject, s3:PutObject]", "Action: s3:GetObject", "permissions", "s3:PutObject"},
	{"a permission that nothing needs", "Action: [s3:GetObject, s3:PutObject]", "Action: [s3:GetObject, s3:PutObject, s3:DeleteObject]", "permissions", "s3:DeleteObject"},
	{"a permission for any action", "Action: [s3:GetObject, s3:PutObject]", "Action: s3:*", "policies", "s3:*"},
	{"a permission on the bucket instead of its objects", "Resource: !Sub ${StateBucket.Arn}/v1/*", "Resource: !Sub ${StateBucket.Arn}", "permissions", "s3:PutObject"},
	{"a permission that only a parameter needs", "                - LookUpListeners\n                - Sid: LookUpListeners", "                - UseQueue\n                - Sid: LookUpListeners", "permissions", "elasticloadbalancing:DescribeListeners"},
	{"metrics in any namespace", "                Condition:\n                  StringEquals: { cloudwatch:namespace: !Ref MetricNamespace }\n", "", "policies", "any namespace"},
	{"a circular dependency", "      NotificationConfiguration:\n        EventBridgeConfiguration:\n", "      Tags: [{ Key: for, Value: !GetAtt LogRule.Arn }]\n      NotificationConfiguration:\n        EventBridgeConfiguration:\n", "expansion", "circular"},
	{"an unknown metric in an alarm", "MetricName: MalformedLines", "MetricName: MalformedLine", "metrics", "MalformedLine "},
	{"a dimension that the metric does not have", "{ Name: FunctionName, Value: !Ref ProcessorFunction }\n      Statistic: Sum\n      Period: 300\n      EvaluationPeriods: 3\n      DatapointsToAlarm: 2", "{ Name: Function, Value: !Ref ProcessorFunction }\n      Statistic: Sum\n      Period: 300\n      EvaluationPeriods: 3\n      DatapointsToAlarm: 2", "metrics", "AWS/Lambda Errors [Function]"},
	{"silence without an alarm", "TreatMissingData: breaching", "TreatMissingData: notBreaching", "alarms", "logs-stopped"},
	{"messages that come back too early", `"120": { Seconds: 780 }`, `"120": { Seconds: 120 }`, "queues", "120 s"},
	{"one bad message that fails its batch", "      FunctionResponseTypes: [ReportBatchItemFailures]\n", "", "wiring", "fails its whole batch"},
	{"an event pattern that matches every log", "File: !If [AllLogTypes, elasticloadbalancing/*, conn_log*]", "File: elasticloadbalancing/*", "wiring", "the rule matches"},
	{"the principal of other logs", "logdelivery.elasticloadbalancing.amazonaws.com", "delivery.logs.amazonaws.com", "policies", "load balancers may write"},
	{"a log bucket with KMS", "          # Load balancers cannot write to a bucket that encrypts with KMS.\n          - ServerSideEncryptionByDefault: { SSEAlgorithm: AES256 }", "          - ServerSideEncryptionByDefault: { SSEAlgorithm: aws:kms }", "data", "load balancers cannot write"},
	{"a bucket without notifications", "EventBridgeEnabled: true", "EventBridgeEnabled: false", "wiring", "does not notify EventBridge"},
	{"a resource that exists only sometimes", "Resource: !If [CreateTopic, !Ref AlertTopic, !Ref AlertTopicArn]", "Resource: !Ref AlertTopic", "expansion", "does not exist with these parameters"},
	{"a rule that may not invoke", "    Type: AWS::Lambda::Permission\n    Condition: InvokeDirectly\n", "    Type: AWS::Lambda::Permission\n    Condition: UseQueue\n", "wiring", "may not invoke"},
	{"a schedule that may not invoke", "      SourceArn: !GetAtt DigestRule.Arn\n", "      SourceArn: !GetAtt LogRule.Arn\n", "wiring", "DigestRule"},
	{"a key that shuts alarms out", "Action: [kms:Decrypt, kms:GenerateDataKey*]", "Action: [kms:Decrypt]", "policies", "the key denies"},
	{"a field that Contributor Insights cannot read", `"$.failed"`, `"$.failed_count"`, "insights", "failed_count"},
	{"a rule body that is not JSON", `"AggregateOn": "Sum"`, `"AggregateOn": "Sum",`, "insights", "invalid character"},
	{"a dashboard of a metric that is not published", `MetricName=\"HandshakeLatency\"', 'p99'`, `MetricName=\"HandshakeLatencies\"', 'p99'`, "dashboard", "HandshakeLatencies"},
	{"a dashboard that groups by an unknown dimension", `LoadBalancer,Reason} MetricName`, `LoadBalancer,Cause} MetricName`, "dashboard", "Cause"},
	{"a widget on another", `"x": 8, "y": 62`, `"x": 7, "y": 62`, "dashboard", "lies on another"},
	{"a dashboard body that is not JSON", `"title": "Processing lag",`, `"title": "Processing lag"`, "dashboard", "invalid character"},
	{"an alarm that the dashboard does not show", `"${LagAlarm.Arn}",`, "", "dashboard", "does not show LagAlarm"},
	{"a parameter that accepts everything", "    Description: Days until connection logs in the new bucket expire.\n    Type: Number\n    Default: 90\n    MinValue: 1\n    MaxValue: 3650", "    Description: Days until connection logs in the new bucket expire.\n    Type: Number\n    Default: 90", "parameters", "accepts everything"},
	{"a retention shorter than a redrive takes", "    Default: 30\n    MinValue: 15\n", "    Default: 30\n    MinValue: 1\n", "queues", "may expire"},
	{"a function without a role", "      Role: !GetAtt ProcessorRole.Arn\n", "", "functions", "no role"},
	{"a function without an output", "    Value: !Ref DigestFunction\n", "    Value: !Ref ProcessorFunction\n", "functions", "the name of DigestFunction"},
	{"a partition without a console", "    aws-eusc: { Console: console.amazonaws-eusc.eu }\n", "", "mappings", "aws-eusc"},
	{"a role for other accounts", "            Condition:\n              StringEquals: { aws:SourceAccount: !Ref AWS::AccountId }\n      Policies:\n        - PolicyName: graphs", "      Policies:\n        - PolicyName: graphs", "policies", "SlackRole can be assumed"},
	{"a condition that nothing uses", "\nConditions:\n", "\nConditions:\n  Unused: !Equals [!Ref Ingest, Queue]\n", "names", "Unused is not used"},
	{"a rule that refuses nothing", "Assert: !Equals [!Ref NewLogBucketName, \"\"]", "Assert: !Equals [!Ref Ingest, !Ref Ingest]", "rules", "OneLogBucket"},
}

// plantedForLint are mistakes against resource schemas, which cfn-lint finds.
var plantedForLint = []struct{ mistake, old, new, says string }{
	{"a wrong property", "      LoggingConfig:\n        LogFormat: JSON\n        LogGroup: !Ref ProcessorLogGroup", "      LogingConfig:\n        LogFormat: JSON\n        LogGroup: !Ref ProcessorLogGroup", "LogingConfig"},
	{"a property that is left out", "      RuleState: ENABLED\n", "", "RuleState"},
}

func TestPlantedForLint(t *testing.T) {
	program, err := exec.LookPath("cfn-lint")
	if err != nil {
		t.Log("SKIPPED: mistakes for cfn-lint, which is not on PATH")
		return
	}
	source := readTemplate(t)
	for _, m := range plantedForLint {
		t.Run(m.mistake, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(source, m.old) {
				t.Fatalf("the template does not contain %q", m.old)
			}
			file := filepath.Join(t.TempDir(), "template.yaml")
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(source, m.old, m.new)), 0o666); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(program, "-t", file).CombinedOutput()
			if err == nil || !strings.Contains(string(out), m.says) {
				t.Errorf("cfn-lint does not report %s: %v\n%s", m.says, err, out)
			}
		})
	}
}

func TestPlanted(t *testing.T) {
	source := readTemplate(t)
	checks := map[string]check{}
	for _, c := range templateChecks {
		checks[c.name] = c
		if !slices.ContainsFunc(planted, func(m mistake) bool { return m.check == c.name }) {
			t.Errorf("no mistake is planted for the check of %s", c.name)
		}
	}
	for _, m := range planted {
		t.Run(m.name, func(t *testing.T) {
			if !strings.Contains(source, m.old) {
				t.Fatalf("the template does not contain %q", m.old)
			}
			template, err := sam.Parse([]byte(strings.ReplaceAll(source, m.old, m.new)))
			if err != nil {
				t.Fatal(err)
			}
			found := checks[m.check].run(template)
			for _, problem := range found {
				if strings.Contains(problem, m.says) {
					return
				}
			}
			t.Errorf("the check of %s finds %q, but not %q", m.check, found, m.says)
		})
	}
}
