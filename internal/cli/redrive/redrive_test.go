package redrive

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

	"tlswatch/internal/cli/backfill"
	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/deployed"
	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/localaws/s3"
	localsqs "tlswatch/internal/localaws/sqs"
	"tlswatch/internal/localaws/wire"
)

func redrive(t *testing.T, c *clitest.Cloud, ctx context.Context, wantStatus int, args ...string) (r result, stderr string) {
	t.Helper()
	args = append([]string{"redrive", "--queue", c.Queue, "--function", clitest.FunctionName, "--wait", "1s", "--format", "json"}, args...)
	status, stdout, stderr := clitest.Run(ctx, New(), args...)
	if status != wantStatus {
		t.Fatalf("exit status %d, want %d: %s\n%s", status, wantStatus, stderr, stdout)
	}
	clitest.Decode(t, stdout, &r)
	if r.Received != r.Done+r.Left {
		t.Errorf("%+v does not add up", r)
	}
	return r, stderr
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
func eventBridgeEvent(l clitest.Log) string {
	return fmt.Sprintf(`{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":"Object Created","source":"aws.s3","account":"123456789012",
		"time":"2026-11-23T12:00:00Z","region":"us-east-1","resources":["arn:aws:s3:::%[1]s"],
		"detail":{"version":"0","bucket":{"name":"%[1]s"},"object":{"key":"%s","size":%d,"etag":"%s","sequencer":"00617F08299329D189"},"reason":"PutObject"}}`,
		clitest.BucketName, l.Key, l.Created.Size, l.Created.ETag)
}

// A failed invocation's record, and an event that EventBridge could not
// deliver, are done by redrive; what is no event stays, and does no harm.
func TestRedrive(t *testing.T) {
	c := clitest.NewCloud(t)
	first, second := c.PutLog(t, 1, 400), c.PutLog(t, 2, 300)

	c.S3.SetFaults(accessDenied)
	if _, err := c.Lambda.InvokeAsync(s3.Event(first.Created)); err != nil {
		t.Fatal(err)
	}
	if err := c.Lambda.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	dead := c.Lambda.DeadLetters()
	if len(dead) != 1 || dead[0].RequestContext.ApproximateInvokeCount != 3 {
		t.Fatalf("dead letters %+v", dead)
	}
	record, err := json.Marshal(dead[0])
	if err != nil {
		t.Fatal(err)
	}
	recordID := c.Send(t, string(record), nil)
	eventID := c.Send(t, eventBridgeEvent(second), map[string]localsqs.Attribute{
		"RULE_ARN":   {DataType: "String", StringValue: "arn:aws:events:us-east-1:123456789012:rule/logs"},
		"ERROR_CODE": {DataType: "String", StringValue: "NO_PERMISSIONS"},
		"RETRIES":    {DataType: "Number", StringValue: "5"},
		"raw":        {DataType: "Binary", BinaryValue: []byte{0, 1}},
	})

	// The fault is still there: both are left, with what is known of it.
	r, stderr := redrive(t, c, t.Context(), command.ExitFailed)
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
	for _, m := range c.SQS.Messages(c.Queue) {
		if !m.Visible || m.Receives != 1 {
			t.Errorf("after the first run: %+v", m)
		}
	}

	// Without it they are done, and only they.
	c.S3.SetFaults(nil)
	garbage := c.Send(t, "hello", nil)
	strange := c.Send(t, `{"hello":1}`, nil)
	seen := len(c.Lambda.Invocations())
	r, _ = redrive(t, c, t.Context(), command.ExitFailed, "--concurrency", "1")
	if r.Done != 2 || r.Left != 2 || r.Unreadable != 2 {
		t.Errorf("without the fault: %+v", r)
	}
	var left []string
	for _, m := range c.SQS.Messages(c.Queue) {
		left = append(left, m.MessageID)
		if !m.Visible {
			t.Errorf("message %s is out of view", m.Body)
		}
	}
	if !slices.Equal(left, []string{garbage, strange}) || !strings.Contains(r.Messages[1].Reason, `"hello"`) {
		t.Errorf("left are %q, said to be %+v", left, r.Messages)
	}
	c.WantMetrics(t, first, second)

	// The same again, by either command, is no work: nothing counts twice.
	c.Send(t, string(record), nil)
	c.Send(t, eventBridgeEvent(second), nil)
	r, _ = redrive(t, c, t.Context(), command.ExitFailed)
	if r.Done != 2 {
		t.Errorf("the same again: %+v", r)
	}
	stdout, _ := clitest.Want(t, command.ExitOK, backfill.New(), "backfill", "--format", "json", "s3://"+clitest.BucketName, "--function", clitest.FunctionName)
	var b struct{ Done int }
	if err := json.Unmarshal([]byte(stdout), &b); err != nil || b.Done != 2 {
		t.Errorf("backfill of the same: %v, %s", err, stdout)
	}
	c.WantMetrics(t, first, second)

	// The record went as it is, the event as its queue would have sent it.
	invocations := c.Lambda.Invocations()[seen:]
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
	stdout, _ = clitest.Want(t, command.ExitFailed, New(), "redrive", "--queue", c.Queue, "--function", clitest.FunctionName, "--wait", "1s")
	if !strings.Contains(stdout, "  2  left in the queue, 2 of them unreadable and not sent\n") || !strings.Contains(stdout, garbage+"  unreadable        0  trigger: malformed JSON") {
		t.Errorf("table\n%s", stdout)
	}
}

// --max and --dry-run take no more than they may, and change nothing they
// should not.
func TestRedriveLimits(t *testing.T) {
	c := clitest.NewCloud(t)
	logs := make([]clitest.Log, 5)
	for i := range logs {
		logs[i] = c.PutLog(t, i, 50)
		c.Send(t, eventBridgeEvent(logs[i]), nil)
	}
	r, _ := redrive(t, c, t.Context(), command.ExitOK, "--dry-run", "--max", "4")
	if r.Received != 4 || r.Left != 4 || r.Ended != "max" || !r.DryRun || r.Messages[0].Reason != "would be sent" {
		t.Errorf("dry run: %+v", r)
	}
	if c.Calls.Counts()["lambda:Invoke"] != 0 || slices.ContainsFunc(c.SQS.Messages(c.Queue), func(m localsqs.Message) bool { return !m.Visible }) {
		t.Error("a dry run has effects")
	}
	// Lambda has no room at first, and SQS loses its reply to a deletion.
	c.API.SetFaults(func(op string, n int) wire.Fault {
		if n == 2 || n == 3 {
			return wire.Refuse(429, "TooManyRequestsException")
		}
		return wire.Fault{}
	})
	c.SQS.SetFaults(wire.Fault{Kind: wire.FaultReplyLost}.Once("sqs:DeleteMessage", 1))
	r, _ = redrive(t, c, t.Context(), command.ExitOK, "--max", "3")
	if r.Received != 3 || r.Done != 3 || r.Throttled != 2 || len(c.SQS.Messages(c.Queue)) != 2 {
		t.Errorf("with --max: %+v", r)
	}
	r, _ = redrive(t, c, t.Context(), command.ExitOK)
	if r.Received != 2 || r.Done != 2 || r.Ended != "empty" || len(c.SQS.Messages(c.Queue)) != 0 {
		t.Errorf("the rest: %+v", r)
	}
	c.WantMetrics(t, logs...)
}

// With Ctrl-C what is in progress ends, and the rest is there for others.
func TestRedriveInterrupted(t *testing.T) {
	c := clitest.NewCloud(t)
	var logs []clitest.Log
	for i := range 4 {
		logs = append(logs, c.PutLog(t, i, 50))
		c.Send(t, eventBridgeEvent(logs[i]), nil)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c.API.SetFaults(func(_ string, n int) wire.Fault {
		if n == 3 { // after the check and one message
			cancel()
			return wire.Fault{Delay: 200 * time.Millisecond}
		}
		return wire.Fault{}
	})
	r, stderr := redrive(t, c, ctx, command.ExitInterrupted, "--concurrency", "1")
	if r.Ended != "interrupted" || r.Done != 2 || r.Left != 0 || !strings.Contains(stderr, "interrupted") {
		t.Errorf("%+v: %s", r, stderr)
	}
	messages := c.SQS.Messages(c.Queue)
	if len(messages) != 2 {
		t.Fatalf("%d messages are left", len(messages))
	}
	c.WantMetrics(t, logs[:2]...)

	// A message that the function works on for long stays out of view.
	queue, err := cloud.OpenQueue(t.Context(), c.Queue)
	if err != nil {
		t.Fatal(err)
	}
	function, err := deployed.New(t.Context(), "", clitest.FunctionName)
	if err != nil {
		t.Fatal(err)
	}
	c.API.SetFaults(func(string, int) wire.Fault { return wire.Fault{Delay: 1500 * time.Millisecond} })
	rd := &redriver{
		queue: queue, function: function,
		o: options{concurrency: 3, wait: time.Second}, visibility: time.Second, taken: make(map[string]*deadLetter),
	}
	result, err := rd.run(t.Context())
	if err != nil || result.Done != 2 || result.Received != 2 {
		t.Errorf("%+v, %v", result, err)
	}
	if n := len(c.Lambda.Invocations()); n != 4 {
		t.Errorf("%d invocations", n)
	}

	// One that cannot be ended in time is left.
	c.Send(t, eventBridgeEvent(logs[0]), nil)
	c.API.SetFaults(func(string, int) wire.Fault { return wire.Fault{Delay: time.Hour} })
	ctx, cancel = context.WithCancel(t.Context())
	var once sync.Once
	rd = &redriver{
		queue: queue, function: function,
		o: options{concurrency: 3, wait: time.Second}, visibility: time.Minute, taken: make(map[string]*deadLetter),
	}
	rd.function.Grace = 50 * time.Millisecond
	c.API.SetFaults(func(string, int) wire.Fault {
		once.Do(func() { time.AfterFunc(50*time.Millisecond, cancel) })
		return wire.Fault{Delay: time.Hour}
	})
	result, err = rd.run(ctx)
	if err != nil || result.Left != 1 || result.Ended != "interrupted" || !strings.Contains(result.Messages[0].Reason, "interrupted while") || !c.SQS.Messages(c.Queue)[0].Visible {
		t.Errorf("%+v, %v", result, err)
	}
}

// What is wrong for all messages ends the run before any is touched, or at the
// first.
func TestRedriveRefused(t *testing.T) {
	c := clitest.NewCloud(t)
	for i := range 3 {
		c.Send(t, eventBridgeEvent(clitest.Log{Object: connlogtest.Object{Key: clitest.LogKey(time.Now(), i)}}), nil)
	}
	status, _, stderr := clitest.Run(t.Context(), New(), "redrive", "--queue", c.Queue, "--function", "other", "--wait", "1s")
	if status != command.ExitFailed || !strings.Contains(stderr, "function other: ") || !strings.Contains(stderr, "Function not found") || c.SQS.Messages(c.Queue)[0].Receives != 0 {
		t.Errorf("no such function: exit status %d, %s", status, stderr)
	}
	status, _, stderr = clitest.Run(t.Context(), New(), "redrive", "--queue", c.Queue+"x", "--function", clitest.FunctionName, "--wait", "1s")
	if status != command.ExitFailed || !strings.Contains(stderr, "NonExistentQueue") {
		t.Errorf("no such queue: exit status %d, %s", status, stderr)
	}
	c.API.SetFaults(func(_ string, n int) wire.Fault {
		if n > 4 { // three checks and a message
			return wire.Refuse(403, "ExpiredTokenException")
		}
		return wire.Fault{}
	})
	r, stderr := redrive(t, c, t.Context(), command.ExitFailed, "--concurrency", "1")
	if r.Ended != "error" || r.Received != 2 || r.Done != 1 || !strings.Contains(stderr, "ExpiredToken") {
		t.Errorf("credentials that expire: %+v, %s", r, stderr)
	}
}
