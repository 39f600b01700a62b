package sqs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	local "tlswatch/internal/localaws/sqs"
	"tlswatch/internal/localaws/wire"
)

// noon is the time at which the tests begin.
var noon = time.Date(2026, 11, 23, 12, 0, 30, 0, time.UTC)

// A harness is a stack with one queue and a real client.
type harness struct {
	*localaws.Stack
	client *sqs.Client
	clock  *awstest.Clock
	url    string
}

func start(t *testing.T, o local.QueueOptions) *harness {
	t.Helper()
	c := awstest.NewClock(noon)
	stack := awstest.Start(t, localaws.Options{Now: c.Now})
	return &harness{stack, sqs.NewFromConfig(awstest.Config(t)), c, stack.SQS.CreateQueue("jobs", o)}
}

func (h *harness) receive(t *testing.T, n int32, wait int32) []types.Message {
	t.Helper()
	out, err := h.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &h.url, MaxNumberOfMessages: n, WaitTimeSeconds: wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}, MessageAttributeNames: []string{"All"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Messages
}

func (h *harness) send(t *testing.T, body string) string {
	t.Helper()
	id, err := h.SQS.Send(h.url, body, nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func attribute(kind, value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: &kind, StringValue: &value}
}

// A message is received as it was sent, and again with a new receipt handle until
// it is deleted with the latest one.
func TestMessage(t *testing.T) {
	h := start(t, local.QueueOptions{})
	sent, err := h.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &h.url, MessageBody: aws.String("plain & <simple> ü\n"), MessageAttributes: map[string]types.MessageAttributeValue{
		"RequestID": attribute("String", "r1"),
		"n":         attribute("Number.int", "-15"),
		"raw":       {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	h.clock.Add(1500 * time.Millisecond)
	first := h.receive(t, 10, 0)
	if len(first) != 1 {
		t.Fatalf("%d messages", len(first))
	}
	m := first[0]
	if *m.Body != "plain & <simple> ü\n" || *m.MessageId != *sent.MessageId || *m.MD5OfMessageAttributes != *sent.MD5OfMessageAttributes {
		t.Errorf("received %+v of %+v", m, sent)
	}
	// Computed with Python as the developer guide says.
	if want := "3024fc185d80c5b2ed020b4c727e7f0e"; *m.MD5OfMessageAttributes != want {
		t.Errorf("digest of attributes %s, want %s", *m.MD5OfMessageAttributes, want)
	}
	want := map[string]string{"SenderId": wire.AccountID, "SentTimestamp": "1795435230000", "ApproximateReceiveCount": "1", "ApproximateFirstReceiveTimestamp": "1795435231500"}
	if d := cmp.Diff(want, m.Attributes); d != "" {
		t.Error(d)
	}
	if a := m.MessageAttributes; len(a) != 3 || *a["RequestID"].StringValue != "r1" || *a["n"].DataType != "Number.int" || string(a["raw"].BinaryValue) != "\x00\x01" {
		t.Errorf("attributes %+v", a)
	}
	if again := h.receive(t, 10, 0); len(again) != 0 {
		t.Errorf("received while in flight: %+v", again)
	}
	h.clock.Add(30 * time.Second)
	second := h.receive(t, 10, 0)
	if len(second) != 1 || second[0].Attributes["ApproximateReceiveCount"] != "2" || *second[0].ReceiptHandle == *m.ReceiptHandle ||
		second[0].Attributes["ApproximateFirstReceiveTimestamp"] != "1795435231500" {
		t.Fatalf("after the visibility timeout: %+v", second)
	}
	remove := func(handle *string, left int) {
		t.Helper()
		if _, err := h.client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &h.url, ReceiptHandle: handle}); err != nil {
			t.Error(err)
		}
		if n := len(h.SQS.Messages(h.url)); n != left {
			t.Errorf("%d messages left, want %d", n, left)
		}
	}
	remove(m.ReceiptHandle, 1) // an old one
	remove(second[0].ReceiptHandle, 0)
	remove(second[0].ReceiptHandle, 0) // already deleted

	// Attributes are received only on request.
	if _, err := h.SQS.Send(h.url, "m", map[string]local.Attribute{"a.b": {"String", "x", nil}, "ab": {"String", "y", nil}}); err != nil {
		t.Fatal(err)
	}
	out, err := h.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &h.url, MessageAttributeNames: []string{"a.*"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"SentTimestamp"}})
	if err != nil || len(out.Messages) != 1 || len(out.Messages[0].Attributes) != 1 || len(out.Messages[0].MessageAttributes) != 1 || *out.Messages[0].MessageAttributes["a.b"].StringValue != "x" {
		t.Errorf("some attributes: %+v, %v", out, err)
	}
}

func TestVisibility(t *testing.T) {
	h := start(t, local.QueueOptions{VisibilityTimeout: 10 * time.Second, Retention: time.Hour})
	change := func(handle *string, seconds int32, code string) {
		t.Helper()
		_, err := h.client.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &h.url, ReceiptHandle: handle, VisibilityTimeout: seconds})
		awstest.WantCode(t, err, code)
	}
	counts := func(visible, inFlight, delayed int) {
		t.Helper()
		got := [3]int{}
		for _, m := range h.SQS.Messages(h.url) {
			switch {
			case m.Visible:
				got[0]++
			case m.Receives > 0:
				got[1]++
			default:
				got[2]++
			}
		}
		if want := [3]int{visible, inFlight, delayed}; got != want {
			t.Errorf("messages that are visible, in flight and delayed: %v, want %v", got, want)
		}
	}
	h.send(t, "m")
	if _, err := h.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &h.url, MessageBody: aws.String("later"), DelaySeconds: 60}); err != nil {
		t.Fatal(err)
	}
	counts(1, 0, 1)
	m := h.receive(t, 10, 0)[0]
	counts(0, 1, 1)
	change(m.ReceiptHandle, 20, "")
	h.clock.Add(19 * time.Second)
	if len(h.receive(t, 1, 0)) != 0 {
		t.Error("visible before the new timeout")
	}
	change(m.ReceiptHandle, 0, "")
	counts(1, 0, 1)
	change(m.ReceiptHandle, 5, "AWS.SimpleQueueService.MessageNotInflight")
	again := h.receive(t, 1, 0)[0]
	change(m.ReceiptHandle, 5, "InvalidParameterValue") // an old handle
	change(again.ReceiptHandle, 43200, "")
	h.clock.Add(time.Second)
	change(again.ReceiptHandle, 43200, "InvalidParameterValue") // more than 12 hours in all
	change(again.ReceiptHandle, 43201, "InvalidParameterValue")
	change(aws.String("x"), 1, "ReceiptHandleIsInvalid")
	h.clock.Add(time.Minute)
	if got := h.receive(t, 10, 0); len(got) != 1 || *got[0].Body != "later" {
		t.Errorf("after the delay: %+v", got)
	}
	h.clock.Add(time.Hour)
	counts(0, 0, 0)
}

// A long poll ends with the first message, whether it is sent or becomes visible
// again, or without one when its time is over.
func TestLongPoll(t *testing.T) {
	h := start(t, local.QueueOptions{})
	begun := time.Now()
	if got := h.receive(t, 10, 1); len(got) != 0 || time.Since(begun) < 900*time.Millisecond || time.Since(begun) > 5*time.Second {
		t.Errorf("%d messages after %v", len(got), time.Since(begun))
	}
	poll := func(when string, do func()) {
		t.Helper()
		got := make(chan []types.Message)
		polls := h.Calls.Counts()["sqs:ReceiveMessage"]
		go func() { got <- h.receive(t, 10, 20) }()
		for h.Calls.Counts()["sqs:ReceiveMessage"] == polls {
			time.Sleep(time.Millisecond)
		}
		do()
		select {
		case m := <-got:
			if len(m) != 1 {
				t.Errorf("%s: %d messages", when, len(m))
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: the poll goes on", when)
		}
	}
	poll("sent", func() { h.send(t, "m") })
	poll("come back", func() { h.clock.Add(time.Minute) })

	// A client that disconnects receives no message.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &h.url, WaitTimeSeconds: 20}); err == nil {
		t.Error("the client's time limit has no effect")
	}
	time.Sleep(50 * time.Millisecond) // until the server has noticed
	id := h.send(t, "m")
	if got := h.receive(t, 1, 0); len(got) != 1 || *got[0].MessageId != id {
		t.Errorf("received %+v", got)
	}
}

func TestLimits(t *testing.T) {
	h := start(t, local.QueueOptions{})
	long := func(n int) *string { return aws.String(strings.Repeat("x", n)) }
	eleven := make(map[string]types.MessageAttributeValue)
	for _, name := range strings.Split("a b c d e f g h i j k", " ") {
		eleven[name] = attribute("String", "v")
	}
	one := func(name string, v types.MessageAttributeValue) sqs.SendMessageInput {
		return sqs.SendMessageInput{MessageAttributes: map[string]types.MessageAttributeValue{name: v}}
	}
	const parameter = "InvalidParameterValue"
	for name, c := range map[string]struct {
		in   sqs.SendMessageInput
		code string
	}{
		"no such queue":           {sqs.SendMessageInput{QueueUrl: aws.String(h.url + "x")}, "AWS.SimpleQueueService.NonExistentQueue"},
		"another account":         {sqs.SendMessageInput{QueueUrl: aws.String(strings.Replace(h.url, "1234", "4321", 1))}, "AWS.SimpleQueueService.NonExistentQueue"},
		"another host":            {sqs.SendMessageInput{QueueUrl: aws.String("http://localhost/123456789012/jobs")}, ""},
		"empty":                   {sqs.SendMessageInput{MessageBody: aws.String("")}, parameter},
		"1048576 bytes":           {sqs.SendMessageInput{MessageBody: long(1048576)}, ""},
		"1048577 bytes":           {sqs.SendMessageInput{MessageBody: long(1048577)}, parameter},
		"control character":       {sqs.SendMessageInput{MessageBody: aws.String("a\x01")}, "InvalidMessageContents"},
		"tab and line ends":       {sqs.SendMessageInput{MessageBody: aws.String("a\t\r\n")}, ""},
		"delay of 900":            {sqs.SendMessageInput{DelaySeconds: 900}, ""},
		"delay of 901":            {sqs.SendMessageInput{DelaySeconds: 901}, parameter},
		"11 attributes":           {sqs.SendMessageInput{MessageAttributes: eleven}, parameter},
		"attribute of AWS":        {one("AWS.x", attribute("String", "v")), parameter},
		"attribute, empty":        {one("x", attribute("String", "")), parameter},
		"attribute, other type":   {one("x", attribute("Integer", "1")), parameter},
		"attribute, own type":     {one("x", attribute("String.mine", "1")), ""},
		"attribute, bad number":   {one("x", attribute("Number", "1x")), parameter},
		"attribute, text, Binary": {one("x", attribute("Binary", "v")), parameter},
	} {
		t.Run(name, func(t *testing.T) {
			if c.in.QueueUrl == nil {
				c.in.QueueUrl = &h.url
			}
			if c.in.MessageBody == nil {
				c.in.MessageBody = aws.String("m")
			}
			before := len(h.SQS.Messages(h.url))
			_, err := h.client.SendMessage(t.Context(), &c.in)
			awstest.WantCode(t, err, c.code)
			if stored := len(h.SQS.Messages(h.url)) > before; stored != (c.code == "") {
				t.Errorf("stored: %v", stored)
			}
		})
	}
	for name, c := range map[string]struct {
		in   sqs.ReceiveMessageInput
		code string
	}{
		"11 messages":       {sqs.ReceiveMessageInput{MaxNumberOfMessages: 11}, parameter},
		"21 s":              {sqs.ReceiveMessageInput{WaitTimeSeconds: 21}, parameter},
		"12 hours and more": {sqs.ReceiveMessageInput{VisibilityTimeout: 43201}, parameter},
		"unknown attribute": {sqs.ReceiveMessageInput{MessageSystemAttributeNames: []types.MessageSystemAttributeName{"Colour"}}, "InvalidAttributeName"},
	} {
		c.in.QueueUrl = &h.url
		_, err := h.client.ReceiveMessage(t.Context(), &c.in)
		t.Run(name, func(t *testing.T) { awstest.WantCode(t, err, c.code) })
	}
	_, err := h.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(h.url + "x")})
	if !errors.As(err, new(*types.QueueDoesNotExist)) {
		t.Errorf("not the SDK's type: %v", err)
	}
	_, err = h.client.ListQueues(t.Context(), &sqs.ListQueuesInput{})
	awstest.WantCode(t, err, "UnknownOperationException")
}

// Faults work for SQS as for the other services. A lost reply leaves a message in
// flight that no client has.
func TestFaults(t *testing.T) {
	h := start(t, local.QueueOptions{})
	h.SQS.SetFaults(func(op string, n int) wire.Fault {
		switch {
		case op == "sqs:ReceiveMessage" && n == 1:
			return wire.Fault{Kind: wire.FaultReplyLost}
		case op == "sqs:DeleteMessage":
			return wire.Refuse(403, "AccessDeniedException")
		case op == "sqs:SendMessage":
			return wire.Refuse(400, "RequestThrottled")
		}
		return wire.Fault{}
	})
	h.send(t, "one") // not a request
	two := h.send(t, "two")
	if got := h.receive(t, 1, 0); len(got) != 1 || *got[0].MessageId != two {
		t.Errorf("received %+v", got)
	}
	if got := h.SQS.Messages(h.url); got[0].Receives != 1 || got[0].Visible {
		t.Errorf("the first message: %+v", got[0])
	}
	_, err := h.client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &h.url, ReceiptHandle: aws.String("x")})
	awstest.WantCode(t, err, "AccessDeniedException")
	_, err = h.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &h.url, MessageBody: aws.String("m")})
	awstest.WantCode(t, err, "RequestThrottled")
}

// A message that was received MaxReceives times and not deleted is a dead letter.
func TestDeadLetters(t *testing.T) {
	h := start(t, local.QueueOptions{})
	dead := h.SQS.CreateQueue("dead", local.QueueOptions{})
	if dead != "https://sqs.us-east-1.amazonaws.com/123456789012/dead" {
		t.Fatal(dead)
	}
	o := local.QueueOptions{VisibilityTimeout: time.Second, DeadLetters: dead, MaxReceives: 2}
	h.url = h.SQS.CreateQueue("new-logs", o)
	if again := h.SQS.CreateQueue("new-logs", local.QueueOptions{}); again != h.url {
		t.Errorf("created again: %q", again)
	}
	h.send(t, "m")
	for receipt := range 3 {
		if n := len(h.receive(t, 1, 0)); (n == 1) != (receipt < 2) {
			t.Errorf("%d messages at receipt %d", n, receipt+1)
		}
		h.clock.Add(time.Second)
	}
	if n := len(h.SQS.Messages(dead)); n != 1 {
		t.Errorf("%d dead letters", n)
	}
}
