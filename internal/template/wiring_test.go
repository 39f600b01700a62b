package template_test

import (
	"cmp"
	"fmt"
	"strings"

	"tlswatch/internal/template/sam"
)

const (
	logDay    = "AWSLogs/210987654321/elasticloadbalancing/us-east-1/2026/11/23/"
	logObject = "210987654321_elasticloadbalancing_us-east-1_app.web.50dc6c495c0c9188_20261123T0955Z_192.0.2.7_2os8r3ik.log.gz"
)

// logKeys are object keys in a log bucket, below the load balancers' prefix.
var logKeys = map[string]logKind{
	logDay + "conn_log_" + logObject:                                                               connectionLog,
	logDay + "conn_log." + logObject:                                                               connectionLog,
	logDay + strings.Replace(logObject, "_app.", "_net.", 1):                                       otherLog,
	"AWSLogs/aws-account-id=1/elasticloadbalancing/region=us-east-1/year=2026/month=09/a1.json.gz": otherLog,
	logDay + logObject:                                       otherLog, // an access log, which the function skips
	logDay + "health_check_log_" + logObject:                 otherLog,
	"conn_log_" + logObject:                                  noLog,
	"AWSLogs/210987654321/ELBConnectionLogTestFile":          noLog,
	"v1/periods/app/web/50dc6c495c0c9188/20261123T0955Z/0a1": noLog,
}

type logKind int

const (
	noLog    logKind = iota
	otherLog         // a load balancer's, but not a connection log by its name
	connectionLog
)

// isRead reports whether a stack reads logs of a kind.
func (k logKind) isRead(s *sam.Stack) bool {
	return k == connectionLog || k == otherLog && s.Parameters["LogTypes"] == "All"
}

// logBucket is the name of the bucket with the logs.
func logBucket(s *sam.Stack) string { return s.Outputs["LogBucket"] }

// under is the key of a log object in a stack, and whether it belongs to the stack's load balancers.
func under(s *sam.Stack, prefix, key string) (string, bool) {
	if prefix != "" {
		key = prefix + "/" + key
	}
	return key, s.Parameters["LogPrefix"] == "" || s.Parameters["LogPrefix"] == prefix
}

// checkWiring: a new connection log, and nothing else, gets from its bucket to the function, and everything on the way
// allows that. What cannot be delivered gets to the failure queue.
func checkWiring(template *sam.Template) (p problems) {
	p.each(template, func(name string, s *sam.Stack) {
		var rule *sam.Resource
		for _, r := range s.OfType("AWS::Events::Rule") {
			if r.At("EventPattern") != nil {
				rule = r
			} else {
				p.schedule(name, s, r)
			}
		}
		if rule == nil {
			panic(missing("no rule has an event pattern"))
		}
		p.pattern(name, s, rule)
		for _, b := range s.OfType("AWS::S3::Bucket") {
			if b.ID == "LogBucket" && b.At("NotificationConfiguration", "EventBridgeConfiguration", "EventBridgeEnabled") != true {
				p.add("%s: %s does not notify EventBridge", name, b.ID)
			}
		}
		targets := sam.List(rule.At("Targets"))
		if len(targets) != 1 {
			p.add("%s: the rule has %d targets, want 1", name, len(targets))
		}
		for _, t := range targets {
			p.target(name, s, rule, &sam.Resource{ID: rule.ID + " target", Properties: t.(sam.Tree)})
		}
		p.eventBus(name, s, rule)
	})
	return p
}

func ruleARN(rule *sam.Resource) string {
	return "arn:aws:events:us-east-1:123456789012:rule/tlswatch-" + rule.ID
}

// logOwner is the account that owns the bucket with the logs.
func logOwner(s *sam.Stack) string {
	return cmp.Or(s.Parameters["ExistingLogBucketOwner"], sam.Account)
}

// schedule checks that a scheduled rule may invoke its targets.
func (p *problems) schedule(name string, s *sam.Stack, rule *sam.Resource) {
	for _, t := range sam.List(rule.At("Targets")) {
		to := s.ByARN(at[string](t, "Arn"))
		if rule.Text("ScheduleExpression") == "" || to == nil || !s.MayInvoke(to, ruleARN(rule)) {
			p.add("%s: %s cannot invoke %v at %q", name, rule.ID, t, rule.Text("ScheduleExpression"))
		}
	}
}

// pattern checks which objects the rule matches.
func (p *problems) pattern(name string, s *sam.Stack, rule *sam.Resource) {
	for key, kind := range logKeys {
		for _, prefix := range []string{"", "web", "web/tls", "conn_log/x"} {
			key, ours := under(s, prefix, key)
			for _, e := range []struct {
				bucket, account string
				want            bool
			}{{logBucket(s), logOwner(s), kind.isRead(s) && ours}, {logBucket(s), "333333333333", false}, {"another", logOwner(s), false}} {
				event := sam.Tree{"source": "aws.s3", "detail-type": "Object Created", "account": e.account,
					"detail": sam.Tree{"bucket": sam.Tree{"name": e.bucket}, "object": sam.Tree{"key": key}}}
				pattern, _ := rule.At("EventPattern").(sam.Tree)
				if got := sam.MatchesEvent(pattern, event); got != e.want {
					p.add("%s: the rule matches %s of %s in account %s: %t, want %t", name, key, e.bucket, e.account, got, e.want)
				}
			}
		}
	}
}

// target checks where the rule sends events, and that it may.
func (p *problems) target(name string, s *sam.Stack, rule, target *sam.Resource) {
	to := s.ByARN(target.Text("Arn"))
	dead := s.ByARN(target.Text("DeadLetterConfig", "Arn"))
	if to == nil || dead == nil || dead.ID != "FailureQueue" {
		p.add("%s: the rule's target is %q, its dead-letter queue %q", name, target.Text("Arn"), target.Text("DeadLetterConfig", "Arn"))
		return
	}
	if !maySend(s, dead, ruleARN(rule)) {
		p.add("%s: the rule may not send to %s", name, dead.ID)
	}
	switch want := map[string]string{"Direct": "ProcessorFunction", "Queue": "LogQueue"}[s.Parameters["Ingest"]]; {
	case to.ID != want:
		p.add("%s: the rule's target is %s, want %s", name, to.ID, want)
	case to.Type == "AWS::SQS::Queue":
		if !maySend(s, to, ruleARN(rule)) {
			p.add("%s: the rule may not send to %s", name, to.ID)
		}
		p.mapping(name, s, to)
	case !s.MayInvoke(to, ruleARN(rule)):
		p.add("%s: the rule may not invoke %s", name, to.ID)
	}
}

// eventBus checks that a bucket of another account has an event bus, to which only that account may send.
func (p *problems) eventBus(name string, s *sam.Stack, rule *sam.Resource) {
	bus := s.Resources["LogEventBus"]
	if (bus != nil) != (s.Parameters["ExistingLogBucketOwner"] != "") {
		p.add("%s: event bus for %q: %t", name, s.Parameters["ExistingLogBucketOwner"], bus != nil)
	}
	if bus == nil {
		return
	}
	policy, err := s.Resources["LogEventBusPolicy"].PolicyOf("Statement")
	if err != nil || len(policy) != 1 || len(policy[0].AWS) != 1 || policy[0].AWS[0] != "arn:aws:iam::"+logOwner(s)+":root" {
		p.add("%s: the policy of the event bus: %v, %v", name, policy, err)
	}
	if rule.Text("EventBusName") != "tlswatch-logs" {
		p.add("%s: the rule is on the event bus %q", name, rule.Text("EventBusName"))
	}
}

// mapping checks that Lambda receives batches from a queue and returns single messages that failed.
func (p *problems) mapping(name string, s *sam.Stack, queue *sam.Resource) {
	mappings := s.OfType("AWS::Lambda::EventSourceMapping")
	if len(mappings) != 1 || s.ByARN(mappings[0].Text("EventSourceArn")) != queue || mappings[0].Text("FunctionName") != "tlswatch-ProcessorFunction" {
		p.add("%s: no function receives from %s", name, queue.ID)
		return
	}
	m := mappings[0]
	if types := sam.List(m.At("FunctionResponseTypes")); len(types) != 1 || types[0] != "ReportBatchItemFailures" {
		p.add("%s: one failed message fails its whole batch: %v", name, types)
	}
	size, err1 := m.Int("BatchSize")
	window, err2 := m.Int("MaximumBatchingWindowInSeconds")
	if err1 != nil || err2 != nil || size > 10 && window < 1 {
		p.add("%s: batches of %d within %d s: Lambda needs at least a second for more than 10", name, size, window)
	}
	if got, want := m.Text("ScalingConfig", "MaximumConcurrency"), map[string]string{"everything": "5"}[name]; got != want {
		p.add("%s: at most %q consumers, want %q", name, got, want)
	}
}

// maySend reports whether a rule may send to a queue, and no other rule may.
func maySend(s *sam.Stack, queue *sam.Resource, rule string) bool {
	return s.MaySend(queue, rule) && !s.MaySend(queue, strings.Replace(rule, "tlswatch", "other", 1))
}

// checkQueues: no message expires while it waits, and none becomes visible again while it is processed.
func checkQueues(template *sam.Template) (p problems) {
	const minute = 60
	const fortnight = 14 * 24 * 60 * minute
	for _, timeout := range at[[]any](template.Tree, "Parameters", "Timeout", "AllowedValues") {
		s, err := template.Expand("tlswatch", map[string]string{"Ingest": "Queue", "Timeout": fmt.Sprint(timeout)})
		if err != nil {
			return p
		}
		hidden, err := s.Resources["LogQueue"].Int("VisibilityTimeout")
		window, err2 := s.Resources["LogQueueMapping"].Int("MaximumBatchingWindowInSeconds")
		if err != nil || err2 != nil || hidden < 6*timeout.(int)+window {
			p.add("a message is hidden for %d s, want six times the function's %v s plus %d s", hidden, timeout, window)
		}
	}
	p.each(template, func(name string, s *sam.Stack) {
		for _, q := range s.OfType("AWS::SQS::Queue") {
			if got, _ := q.Int("MessageRetentionPeriod"); got != fortnight {
				p.add("%s: %s keeps messages for %d s, want %d", name, q.ID, got, fortnight)
			}
			if q.At("SqsManagedSseEnabled") != true {
				p.add("%s: %s is not encrypted", name, q.ID)
			}
			if q.ID == "FailureQueue" {
				continue
			}
			if tries, _ := q.Int("RedrivePolicy", "maxReceiveCount"); tries < 5 {
				p.add("%s: %s gives up after %d receives; AWS advises at least 5", name, q.ID, tries)
			}
			if dead := s.ByARN(q.Text("RedrivePolicy", "deadLetterTargetArn")); dead == nil || dead.ID != "FailureQueue" {
				p.add("%s: %s does not keep what it gives up", name, q.ID)
			}
		}
		f := s.Resources["ProcessorFunction"]
		if dead := s.ByARN(f.Text("EventInvokeConfig", "DestinationConfig", "OnFailure", "Destination")); dead == nil || dead.ID != "FailureQueue" {
			p.add("%s: the function does not keep the events it gives up", name)
		}
		// Lambda waits one minute before the first retry and two before the second.
		timeout, _ := f.Int("Timeout")
		retries, _ := f.Int("EventInvokeConfig", "MaximumRetryAttempts")
		if age, _ := f.Int("EventInvokeConfig", "MaximumEventAgeInSeconds"); age < (retries+1)*timeout+3*minute {
			p.add("%s: an event is given up after %d s, before %d retries of a function with a timeout of %d s", name, age, retries, timeout)
		}
	})
	if least := at[int](template.Tree, "Parameters", "StateExpirationDays", "MinValue"); least*24*60*minute <= fortnight {
		p.add("an object's record may expire after %d days, while its event can still be redriven", least)
	}
	return p
}

// checkData: what holds data outlives the stack, expires, is encrypted and is not public.
func checkData(template *sam.Template) (p problems) {
	for name, r := range template.Section("Resources") {
		deletion, _ := r.(sam.Tree)["DeletionPolicy"].(string)
		replacement, _ := r.(sam.Tree)["UpdateReplacePolicy"].(string)
		if (deletion == "") != (replacement == "") {
			p.add("%s has only one of DeletionPolicy and UpdateReplacePolicy", name)
		}
		switch at[string](r, "Type") {
		case "AWS::S3::Bucket":
			if deletion != "RetainExceptOnCreate" || replacement != "Retain" {
				p.add("%s holds data, but has the deletion policies %q and %q", name, deletion, replacement)
			}
		case "AWS::SQS::Queue", "AWS::Logs::LogGroup":
			if deletion == "" || replacement != "Retain" {
				p.add("%s holds data, but has the deletion policies %q and %q", name, deletion, replacement)
			}
		}
	}
	p.each(template, func(name string, s *sam.Stack) {
		for _, b := range s.OfType("AWS::S3::Bucket") {
			block, _ := b.At("PublicAccessBlockConfiguration").(sam.Tree)
			for property, on := range block {
				if on != true {
					p.add("%s: %s: %s is %v", name, b.ID, property, on)
				}
			}
			if len(block) != 4 {
				p.add("%s: %s does not block public access in all four ways", name, b.ID)
			}
			rules := sam.List(b.At("LifecycleConfiguration", "Rules"))
			if len(rules) != 1 || rules[0].(sam.Tree)["ExpirationInDays"] == nil || rules[0].(sam.Tree)["Status"] != "Enabled" {
				p.add("%s: %s never expires anything", name, b.ID)
			}
			encryption := sam.List(b.At("BucketEncryption", "ServerSideEncryptionConfiguration"))
			if len(encryption) != 1 || at[string](encryption[0], "ServerSideEncryptionByDefault", "SSEAlgorithm") != "AES256" {
				p.add("%s: load balancers cannot write to %s with its encryption: %v", name, b.ID, encryption)
			}
		}
	})
	return p
}
