package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/lambda"
	"tlswatch/internal/localaws/s3"
	localsqs "tlswatch/internal/localaws/sqs"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/metric"
)

// A cloud is the deployed function with the services around it; the
// environment of the test points at them.
type cloud struct {
	*localaws.Stack
	lambda *lambda.Function
	api    *lambda.API
	queue  string // URL
}

const (
	cloudBucket   = "amzn-s3-demo-logging-bucket"
	cloudState    = "amzn-s3-demo-state-bucket"
	cloudFunction = "tlswatch-processor"
)

func newCloud(t *testing.T) *cloud {
	t.Helper()
	stack, err := localaws.Start(t.Context(), localaws.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stack.Close() })
	for _, name := range []string{cloudBucket, cloudState} {
		if err := stack.S3.CreateBucket(name); err != nil {
			t.Fatal(err)
		}
	}
	env := stack.Env()
	env["ALERT_TOPIC_ARN"] = stack.SNS.CreateTopic("alerts")
	env["STATE_BUCKET"] = cloudState
	log := new(safeBuffer)
	fn, err := lambda.Start(t.Context(), lambda.Options{
		Bootstrap:   function(t),
		Name:        cloudFunction,
		Env:         env,
		Timeout:     20 * time.Second,
		Concurrency: 2,
		RetryDelays: []time.Duration{time.Millisecond, time.Millisecond},
		Output:      log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		fn.Close()
		if t.Failed() {
			t.Logf("log of the function:\n%s", log)
		}
	})
	api, err := lambda.StartAPI(t.Context(), stack.Calls, fn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.Close() })
	for _, e := range []map[string]string{stack.Env(), api.Env()} {
		for name, value := range e {
			t.Setenv(name, value)
		}
	}
	return &cloud{stack, fn, api, stack.SQS.CreateQueue("failed", localsqs.QueueOptions{})}
}

// A cloudLog is a log object in the cloud's bucket.
type cloudLog struct {
	key     string
	lines   []string
	created s3.ObjectCreated
}

const cloudLB = "app/shop/50dc6c495c0c9188"

// putLog makes a log object of a recent period.
func (c *cloud) putLog(t *testing.T, n, lines int) cloudLog {
	t.Helper()
	end := time.Now().UTC().Truncate(connlog.Period).Add(-connlog.Period)
	var text bytes.Buffer
	err := connlogtest.Write(&text, connlogtest.Options{
		Seed: uint64(n), Lines: lines, Start: end.Add(-connlog.Period), Duration: connlog.Period - time.Second,
		LoadBalancer: cloudLB, Node: fmt.Sprint("192.0.2.", n%250+1),
	})
	if err != nil {
		t.Fatal(err)
	}
	l := cloudLog{key: logKey(end, n), lines: strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")}
	if l.created, err = c.S3.Put(cloudBucket, l.key, text.Bytes()); err != nil {
		t.Fatal(err)
	}
	return l
}

// logKey is the key of the nth node's object.
func logKey(end time.Time, n int) string {
	return fmt.Sprintf("AWSLogs/123456789012/elasticloadbalancing/us-east-1/%s/conn_log_123456789012_elasticloadbalancing_us-east-1_%s_%s_192.0.2.%d_%08x.log",
		end.Format(keyDate), strings.ReplaceAll(cloudLB, "/", "."), end.Format(keyTime), n%250+1, n)
}

// cli runs tlswatch in this process.
func cli(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, diag bytes.Buffer
	status = run(ctx, args, strings.NewReader(""), &out, &diag)
	return status, out.String(), diag.String()
}

func (c *cloud) redrive(t *testing.T, ctx context.Context, wantStatus int, args ...string) (r redriveResult, stderr string) {
	t.Helper()
	args = append([]string{"redrive", "--queue", c.queue, "--function", cloudFunction, "--wait", "1s", "--format", "json"}, args...)
	status, stdout, stderr := cli(ctx, args...)
	if status != wantStatus {
		t.Fatalf("exit status %d, want %d: %s\n%s", status, wantStatus, stderr, stdout)
	}
	decode(t, stdout, &r)
	if r.Received != r.Done+r.Left {
		t.Errorf("%+v does not add up", r)
	}
	return r, stderr
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

func (c *cloud) send(t *testing.T, body string, attributes map[string]localsqs.Attribute) (id string) {
	t.Helper()
	id, err := c.SQS.Send(c.queue, body, attributes)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// wantMetrics compares what was published with an independent count.
func (c *cloud) wantMetrics(t *testing.T, logs ...cloudLog) {
	t.Helper()
	want := make(map[string]connlogtest.Sum)
	for _, l := range logs { // each object has its own Client values
		for name, s := range connlogtest.Metrics(l.lines, cloudLB) {
			want[name] = connlogtest.Sum{Sum: want[name].Sum + s.Sum, Samples: want[name].Samples + s.Samples}
		}
	}
	got := metricSums(collect(c.Stack, c.lambda))
	for name, s := range got {
		if strings.HasPrefix(name, metric.HandshakeLatency) {
			got[name] = connlogtest.Sum{Samples: s.Samples}
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && !strings.Contains(name, "LoadBalancer=") {
			delete(got, name) // about the processor itself
		}
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("-reference +published\n%s", d)
	}
}

// accessDenied is what a function without permission for its logs meets.
func accessDenied(op string, _ int) wire.Fault {
	if op == "s3:GetObject" {
		return wire.Refuse(403, "AccessDenied")
	}
	return wire.Fault{}
}

// eventBridgeEvent is the event of an object as a rule's dead-letter queue
// keeps it.
func eventBridgeEvent(l cloudLog) string {
	return fmt.Sprintf(`{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":"Object Created","source":"aws.s3","account":"123456789012",
		"time":"2026-11-23T12:00:00Z","region":"us-east-1","resources":["arn:aws:s3:::%[1]s"],
		"detail":{"version":"0","bucket":{"name":"%[1]s"},"object":{"key":"%s","size":%d,"etag":"%s","sequencer":"00617F08299329D189"},"reason":"PutObject"}}`,
		cloudBucket, l.key, l.created.Size, l.created.ETag)
}

// A failed invocation's record, and an event that EventBridge could not
// deliver, are done by redrive; what is no event stays, and does no harm.
func TestRedrive(t *testing.T) {
	c := newCloud(t)
	first, second := c.putLog(t, 1, 400), c.putLog(t, 2, 300)

	c.S3.SetFaults(accessDenied)
	if _, err := c.lambda.InvokeAsync(s3.Event(first.created)); err != nil {
		t.Fatal(err)
	}
	if err := c.lambda.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	dead := c.lambda.DeadLetters()
	if len(dead) != 1 || dead[0].RequestContext.ApproximateInvokeCount != 3 {
		t.Fatalf("dead letters %+v", dead)
	}
	record, err := json.Marshal(dead[0])
	if err != nil {
		t.Fatal(err)
	}
	recordID := c.send(t, string(record), nil)
	eventID := c.send(t, eventBridgeEvent(second), map[string]localsqs.Attribute{
		"RULE_ARN":   {DataType: "String", StringValue: "arn:aws:events:us-east-1:123456789012:rule/logs"},
		"ERROR_CODE": {DataType: "String", StringValue: "NO_PERMISSIONS"},
		"RETRIES":    {DataType: "Number", StringValue: "5"},
		"raw":        {DataType: "Binary", BinaryValue: []byte{0, 1}},
	})

	// The fault is still there: both are left, with what is known of it.
	r, stderr := c.redrive(t, t.Context(), exitFailed)
	if r.Left != 2 || r.Unreadable != 0 || r.Ended != "empty" || len(r.Messages) != 2 {
		t.Errorf("with the fault: %+v", r)
	}
	if m := r.Messages[0]; m.MessageID != recordID || m.Kind != "redrive" || m.Objects != 1 || !strings.Contains(m.Reason, "access denied") {
		t.Errorf("the record is left as %+v", m)
	}
	if m := r.Messages[1]; m.MessageID != eventID || m.Kind != "eventbridge" || !strings.Contains(m.Reason, "request ") {
		t.Errorf("the event is left as %+v", m)
	}
	if !strings.Contains(stderr, "tlswatch: left in the queue: 2 of 2 messages\n") {
		t.Errorf("standard error: %s", stderr)
	}
	for _, m := range c.SQS.Messages(c.queue) {
		if !m.Visible || m.Receives != 1 {
			t.Errorf("after the first run: %+v", m)
		}
	}

	// Without it they are done, and only they.
	c.S3.SetFaults(nil)
	garbage := c.send(t, "hello", nil)
	strange := c.send(t, `{"hello":1}`, nil)
	seen := len(c.lambda.Invocations())
	r, _ = c.redrive(t, t.Context(), exitFailed, "--concurrency", "1")
	if r.Done != 2 || r.Left != 2 || r.Unreadable != 2 {
		t.Errorf("without the fault: %+v", r)
	}
	var left []string
	for _, m := range c.SQS.Messages(c.queue) {
		left = append(left, m.MessageID)
		if !m.Visible {
			t.Errorf("message %s is out of view", m.Body)
		}
	}
	if !slices.Equal(left, []string{garbage, strange}) || !strings.Contains(r.Messages[1].Reason, `"hello"`) {
		t.Errorf("left are %q, said to be %+v", left, r.Messages)
	}
	c.wantMetrics(t, first, second)

	// The same again, by either command, is no work: nothing counts twice.
	c.send(t, string(record), nil)
	c.send(t, eventBridgeEvent(second), nil)
	r, _ = c.redrive(t, t.Context(), exitFailed)
	if r.Done != 2 {
		t.Errorf("the same again: %+v", r)
	}
	if b, _ := backfill(t, t.Context(), exitOK, "s3://"+cloudBucket, "--function", cloudFunction); b.Done != 2 {
		t.Errorf("backfill of the same: %+v", b)
	}
	c.wantMetrics(t, first, second)

	// The record went as it is, the event as its queue would have sent it.
	invocations := c.lambda.Invocations()[seen:]
	if len(invocations) != 5 || string(invocations[0].Payload) != string(record) {
		t.Fatalf("invocations %+v", invocations)
	}
	var event struct {
		Records []struct {
			MessageID, EventSource, EventSourceARN, AWSRegion, Body string
			Attributes                                              map[string]string
			MessageAttributes                                       map[string]struct {
				StringValue, DataType string
				BinaryValue           []byte
			}
		}
	}
	if err := json.Unmarshal(invocations[1].Payload, &event); err != nil {
		t.Fatal(err)
	}
	m := event.Records[0]
	if m.MessageID != eventID || m.EventSource != "aws:sqs" || m.EventSourceARN != "arn:aws:sqs:us-east-1:123456789012:failed" || m.AWSRegion != "us-east-1" ||
		m.Body != eventBridgeEvent(second) || m.Attributes["ApproximateReceiveCount"] != "2" || m.Attributes["SentTimestamp"] == "" ||
		m.MessageAttributes["ERROR_CODE"].StringValue != "NO_PERMISSIONS" || m.MessageAttributes["RETRIES"].DataType != "Number" ||
		!bytes.Equal(m.MessageAttributes["raw"].BinaryValue, []byte{0, 1}) {
		t.Errorf("the message was sent as %+v", m)
	}

	// A person sees the same.
	status, stdout, _ := cli(t.Context(), "redrive", "--queue", c.queue, "--function", cloudFunction, "--wait", "1s")
	if status != exitFailed || !strings.Contains(stdout, "  2  left in the queue, 2 of them unreadable and not sent\n") || !strings.Contains(stdout, garbage+"  unreadable        0  trigger: malformed JSON") {
		t.Errorf("exit status %d, table\n%s", status, stdout)
	}
}

// --max and --dry-run take no more than they may, and change nothing they
// should not.
func TestRedriveLimits(t *testing.T) {
	c := newCloud(t)
	logs := make([]cloudLog, 5)
	for i := range logs {
		logs[i] = c.putLog(t, i, 50)
		c.send(t, eventBridgeEvent(logs[i]), nil)
	}
	r, _ := c.redrive(t, t.Context(), exitOK, "--dry-run", "--max", "4")
	if r.Received != 4 || r.Left != 4 || r.Ended != "max" || !r.DryRun || r.Messages[0].Reason != "would be sent" {
		t.Errorf("dry run: %+v", r)
	}
	if len(c.lambda.Invocations()) != 0 || slices.ContainsFunc(c.SQS.Messages(c.queue), func(m localsqs.Message) bool { return !m.Visible }) {
		t.Error("a dry run has effects")
	}
	// Lambda has no room at first, and SQS loses its reply to a deletion.
	c.api.SetFaults(func(op string, n int) wire.Fault {
		if n == 3 || n == 4 {
			return wire.Refuse(429, "TooManyRequestsException")
		}
		return wire.Fault{}
	})
	c.SQS.SetFaults(wire.Fault{Kind: wire.FaultReplyLost}.Once("sqs:DeleteMessage", 1))
	r, _ = c.redrive(t, t.Context(), exitOK, "--max", "3")
	if r.Received != 3 || r.Done != 3 || r.Throttled != 2 || len(c.SQS.Messages(c.queue)) != 2 {
		t.Errorf("with --max: %+v", r)
	}
	r, _ = c.redrive(t, t.Context(), exitOK)
	if r.Received != 2 || r.Done != 2 || r.Ended != "empty" || len(c.SQS.Messages(c.queue)) != 0 {
		t.Errorf("the rest: %+v", r)
	}
	c.wantMetrics(t, logs...)
}

// With Ctrl-C what is in progress ends, and the rest is there for others.
func TestRedriveInterrupted(t *testing.T) {
	c := newCloud(t)
	var logs []cloudLog
	for i := range 4 {
		logs = append(logs, c.putLog(t, i, 50))
		c.send(t, eventBridgeEvent(logs[i]), nil)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c.api.SetFaults(func(_ string, n int) wire.Fault {
		if n == 3 { // after the check and one message
			cancel()
			return wire.Fault{Delay: 200 * time.Millisecond}
		}
		return wire.Fault{}
	})
	r, stderr := c.redrive(t, ctx, exitInterrupted, "--concurrency", "1")
	if r.Ended != "interrupted" || r.Done != 2 || r.Left != 0 || !strings.Contains(stderr, "interrupted") {
		t.Errorf("%+v: %s", r, stderr)
	}
	messages := c.SQS.Messages(c.queue)
	if len(messages) != 2 {
		t.Fatalf("%d messages are left", len(messages))
	}
	c.wantMetrics(t, logs[:2]...)

	// A message that the function works on for long stays out of view.
	cfg, err := awsconfig.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.api.SetFaults(func(string, int) wire.Fault { return wire.Fault{Delay: 1500 * time.Millisecond} })
	rd := &redriver{
		sqs: sqs.NewFromConfig(cfg), function: newDeployed(cfg, cloudFunction), queue: c.queue,
		arn: queueARN("us-east-1", "/123456789012/failed"), region: "us-east-1",
		o: redriveOptions{concurrency: 3, wait: time.Second}, visibility: time.Second, taken: make(map[string]*deadLetter),
	}
	result, err := rd.run(t.Context())
	if err != nil || result.Done != 2 || result.Received != 2 {
		t.Errorf("%+v, %v", result, err)
	}
	if n := len(c.lambda.Invocations()); n != 4 {
		t.Errorf("%d invocations", n)
	}

	// One that cannot be ended in time is left.
	c.send(t, eventBridgeEvent(logs[0]), nil)
	c.api.SetFaults(func(string, int) wire.Fault { return wire.Fault{Delay: time.Hour} })
	ctx, cancel = context.WithCancel(t.Context())
	var once sync.Once
	rd = &redriver{
		sqs: sqs.NewFromConfig(cfg), function: newDeployed(cfg, cloudFunction), queue: c.queue,
		o: redriveOptions{concurrency: 3, wait: time.Second}, visibility: time.Minute, taken: make(map[string]*deadLetter),
	}
	rd.function.grace = 50 * time.Millisecond
	c.api.SetFaults(func(string, int) wire.Fault {
		once.Do(func() { time.AfterFunc(50*time.Millisecond, cancel) })
		return wire.Fault{Delay: time.Hour}
	})
	result, err = rd.run(ctx)
	if err != nil || result.Left != 1 || result.Ended != "interrupted" || !strings.Contains(result.Messages[0].Reason, "interrupted while") || !c.SQS.Messages(c.queue)[0].Visible {
		t.Errorf("%+v, %v", result, err)
	}
}

// What is wrong for all messages ends the run before any is touched, or at the
// first.
func TestRedriveRefused(t *testing.T) {
	c := newCloud(t)
	for i := range 3 {
		c.send(t, eventBridgeEvent(cloudLog{key: logKey(time.Now(), i)}), nil)
	}
	status, _, stderr := cli(t.Context(), "redrive", "--queue", c.queue, "--function", "other", "--wait", "1s")
	if status != exitFailed || !strings.Contains(stderr, "function other: ") || !strings.Contains(stderr, "Function not found") || c.SQS.Messages(c.queue)[0].Receives != 0 {
		t.Errorf("no such function: exit status %d, %s", status, stderr)
	}
	status, _, stderr = cli(t.Context(), "redrive", "--queue", c.queue+"x", "--function", cloudFunction, "--wait", "1s")
	if status != exitFailed || !strings.Contains(stderr, "NonExistentQueue") {
		t.Errorf("no such queue: exit status %d, %s", status, stderr)
	}
	c.api.SetFaults(func(_ string, n int) wire.Fault {
		if n > 4 { // three checks and a message
			return wire.Refuse(403, "ExpiredTokenException")
		}
		return wire.Fault{}
	})
	r, stderr := c.redrive(t, t.Context(), exitFailed, "--concurrency", "1")
	if r.Ended != "error" || r.Received != 2 || r.Done != 1 || !strings.Contains(stderr, "ExpiredToken") {
		t.Errorf("credentials that expire: %+v, %s", r, stderr)
	}
}

func TestQueueReply(t *testing.T) {
	for reply, want := range map[string]string{
		`{"batchItemFailures":[]}`:                          "",
		`{"batchItemFailures":[{"itemIdentifier":"id"}]}`:   "could not process it",
		`{"batchItemFailures":[{"itemIdentifier":"else"}]}`: "another message",
		`{"batchItemFailures":null}`:                        "not that of tlswatch",
		`null`:                                              "not that of tlswatch",
		``:                                                  "not that of tlswatch",
		`"ok"`:                                              "not that of tlswatch",
	} {
		if err := checkQueueReply([]byte(reply), "id", "request"); fmt.Sprint(err) == "<nil>" != (want == "") || want != "" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", reply, err, want)
		}
	}
	for _, reply := range []string{"null", `{"objects":1}`, "[]", ""} {
		if _, err := parseSummary([]byte(reply)); err == nil {
			t.Errorf("%q is a summary", reply)
		}
	}
}
