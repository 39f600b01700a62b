package template_test

import (
	"fmt"
	"strings"

	"tlswatch/internal/template/sam"
)

const (
	logDay    = "AWSLogs/210987654321/elasticloadbalancing/us-east-1/2026/11/23/"
	logObject = "210987654321_elasticloadbalancing_us-east-1_app.web.50dc6c495c0c9188_20261123T0955Z_192.0.2.7_2os8r3ik.log.gz"
)

// logKeys are keys in a log bucket, below the prefix of the load balancers.
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
	otherLog         // of a load balancer, but not by its name a connection log
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

// checkWiring: a new connection log, and nothing else, gets from its bucket to the function, each on the way letting it
// through; what cannot be delivered gets to the failure queue.
func checkWiring(template *sam.Template) (p problems) {
	p.each(template, func(name string, s *sam.Stack) {
		rules := s.OfType("AWS::Events::Rule")
		var rule *sam.Resource
		for _, r := range rules {
			if r.At("EventPattern") != nil {
				rule = r
				continue
			}
			arn := "arn:aws:events:us-east-1:123456789012:rule/tlswatch-" + r.ID
			for _, t := range sam.List(r.At("Targets")) {
				to := s.ByARN(at[string](t, "Arn"))
				if r.Text("ScheduleExpression") == "" || to == nil || !s.MayInvoke(to, arn) {
					p.add("%s: %s invokes %v at %q, if it may", name, r.ID, t, r.Text("ScheduleExpression"))
				}
			}
		}
		if rule == nil {
			panic(missing("no rule looks at events"))
		}
		arn := "arn:aws:events:us-east-1:123456789012:rule/tlswatch-" + rule.ID
		owner := s.Parameters["ExistingLogBucketOwner"]
		if owner == "" {
			owner = sam.Account
		}
		for key, kind := range logKeys {
			for _, prefix := range []string{"", "web", "web/tls", "conn_log/x"} {
				key, ours := under(s, prefix, key)
				for _, e := range []struct {
					bucket, account string
					want            bool
				}{{logBucket(s), owner, kind.isRead(s) && ours}, {logBucket(s), "333333333333", false}, {"another", owner, false}} {
					event := sam.Tree{"source": "aws.s3", "detail-type": "Object Created", "account": e.account,
						"detail": sam.Tree{"bucket": sam.Tree{"name": e.bucket}, "object": sam.Tree{"key": key}}}
					pattern, _ := rule.At("EventPattern").(sam.Tree)
					if got := sam.MatchesEvent(pattern, event); got != e.want {
						p.add("%s: the rule matches %s of %s in account %s: %t, want %t", name, key, e.bucket, e.account, got, e.want)
					}
				}
			}
		}
		for _, b := range s.OfType("AWS::S3::Bucket") {
			if b.ID == "LogBucket" && b.At("NotificationConfiguration", "EventBridgeConfiguration", "EventBridgeEnabled") != true {
				p.add("%s: %s tells EventBridge nothing", name, b.ID)
			}
		}

		targets := sam.List(rule.At("Targets"))
		if len(targets) != 1 {
			p.add("%s: the rule has %d targets, want 1", name, len(targets))
		}
		for _, t := range targets {
			target := &sam.Resource{ID: rule.ID + " target", Properties: t.(sam.Tree)}
			to := s.ByARN(target.Text("Arn"))
			dead := s.ByARN(target.Text("DeadLetterConfig", "Arn"))
			if to == nil || dead == nil || dead.ID != "FailureQueue" {
				p.add("%s: the rule's target is %q, its dead-letter queue %q", name, target.Text("Arn"), target.Text("DeadLetterConfig", "Arn"))
				continue
			}
			if !maySend(s, dead, arn) {
				p.add("%s: the rule may not send to %s", name, dead.ID)
			}
			switch want := map[string]string{"Direct": "ProcessorFunction", "Queue": "LogQueue"}[s.Parameters["Ingest"]]; {
			case to.ID != want:
				p.add("%s: the rule's target is %s, want %s", name, to.ID, want)
			case to.Type == "AWS::SQS::Queue":
				if !maySend(s, to, arn) {
					p.add("%s: the rule may not send to %s", name, to.ID)
				}
				p = append(p, checkMapping(name, s, to)...)
			case !s.MayInvoke(to, arn):
				p.add("%s: the rule may not invoke %s", name, to.ID)
			}
		}

		if bus := s.Resources["LogEventBus"]; (bus != nil) != (s.Parameters["ExistingLogBucketOwner"] != "") {
			p.add("%s: there is an event bus for %q", name, s.Parameters["ExistingLogBucketOwner"])
		} else if bus != nil {
			policy, err := s.Resources["LogEventBusPolicy"].PolicyOf("Statement")
			if err != nil || len(policy) != 1 || len(policy[0].AWS) != 1 || policy[0].AWS[0] != "arn:aws:iam::"+owner+":root" {
				p.add("%s: on the bus may put events: %v, %v", name, policy, err)
			}
			if rule.Text("EventBusName") != "tlswatch-logs" {
				p.add("%s: the rule looks at the bus %q", name, rule.Text("EventBusName"))
			}
		}
	})
	return p
}

// checkMapping: Lambda takes batches from a queue and hands back single messages.
func checkMapping(name string, s *sam.Stack, queue *sam.Resource) (p problems) {
	mappings := s.OfType("AWS::Lambda::EventSourceMapping")
	if len(mappings) != 1 || s.ByARN(mappings[0].Text("EventSourceArn")) != queue || mappings[0].Text("FunctionName") != "tlswatch-ProcessorFunction" {
		p.add("%s: no function takes from %s", name, queue.ID)
		return p
	}
	m := mappings[0]
	if types := sam.List(m.At("FunctionResponseTypes")); len(types) != 1 || types[0] != "ReportBatchItemFailures" {
		p.add("%s: a message that fails takes the others of its batch with it: %v", name, types)
	}
	size, err1 := m.Int("BatchSize")
	window, err2 := m.Int("MaximumBatchingWindowInSeconds")
	if err1 != nil || err2 != nil || size > 10 && window < 1 {
		p.add("%s: batches of %d within %d s: Lambda wants a second at least for more than 10", name, size, window)
	}
	if got, want := m.Text("ScalingConfig", "MaximumConcurrency"), map[string]string{"everything": "5"}[name]; got != want {
		p.add("%s: at most %q consumers, want %q", name, got, want)
	}
	return p
}

// maySend reports whether a rule may send to a queue, and nobody else.
func maySend(s *sam.Stack, queue *sam.Resource, rule string) bool {
	return s.MaySend(queue, rule) && !s.MaySend(queue, strings.Replace(rule, "tlswatch", "other", 1))
}

// checkQueues: nothing is lost while it waits, and nothing comes back while it is worked on.
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
			p.add("a message is hidden for %d s, want six times the function's %v and %d more", hidden, timeout, window)
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
				p.add("%s: %s gives up after %d receipts, AWS advises 5", name, q.ID, tries)
			}
			if dead := s.ByARN(q.Text("RedrivePolicy", "deadLetterTargetArn")); dead == nil || dead.ID != "FailureQueue" {
				p.add("%s: %s loses what it gives up", name, q.ID)
			}
		}
		f := s.Resources["ProcessorFunction"]
		if dead := s.ByARN(f.Text("EventInvokeConfig", "DestinationConfig", "OnFailure", "Destination")); dead == nil || dead.ID != "FailureQueue" {
			p.add("%s: the function loses what it gives up", name)
		}
		// Lambda waits one minute before the first retry and two before the second.
		timeout, _ := f.Int("Timeout")
		retries, _ := f.Int("EventInvokeConfig", "MaximumRetryAttempts")
		if age, _ := f.Int("EventInvokeConfig", "MaximumEventAgeInSeconds"); age < (retries+1)*timeout+3*minute {
			p.add("%s: an event is given up after %d s, before %d retries of a function that takes %d s", name, age, retries, timeout)
		}
	})
	if least := at[int](template.Tree, "Parameters", "StateExpirationDays", "MinValue"); least*24*60*minute <= fortnight {
		p.add("the function may forget an object after %d days, while it still waits for a redrive", least)
	}
	return p
}

// checkData: what holds data outlives the stack or is empty by then, and is nobody else's.
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
				p.add("%s holds data, but goes with %q and %q", name, deletion, replacement)
			}
		case "AWS::SQS::Queue", "AWS::Logs::LogGroup":
			if deletion == "" || replacement != "Retain" {
				p.add("%s holds data, but goes with %q and %q", name, deletion, replacement)
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
				p.add("%s: %s keeps everything for ever", name, b.ID)
			}
			encryption := sam.List(b.At("BucketEncryption", "ServerSideEncryptionConfiguration"))
			if len(encryption) != 1 || at[string](encryption[0], "ServerSideEncryptionByDefault", "SSEAlgorithm") != "AES256" {
				p.add("%s: %s is encrypted such that load balancers cannot write to it: %v", name, b.ID, encryption)
			}
		}
	})
	return p
}
