package snssink_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/alerttest"
	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/notice"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/snssink"
)

const operation = "sns:Publish"

// start returns a stand-in and a sink whose client is made from the
// environment, as the function's is. Only its back-off is shorter.
func start(t *testing.T) (*localaws.Stack, snssink.Sink) {
	t.Helper()
	stack := awstest.Start(t, localaws.Options{})
	c := awstest.Config(t)
	return stack, snssink.Sink{Client: sns.NewFromConfig(c), TopicARN: stack.SNS.CreateTopic("alerts")}
}

// busy is a message with everything in it.
func busy(t *testing.T) notice.Message {
	t.Helper()
	a := alert.Rule{Name: alert.FailedNegotiations, MinFailed: 1}.Evaluate(alerttest.Observe(t, connlogtest.Log(connlogtest.Options{Seed: 1}), true))
	if a == nil {
		t.Fatal("no alert")
	}
	m, err := notice.Alert{Alert: a}.Message()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPublish(t *testing.T) {
	stack, sink := start(t)
	sent := busy(t)
	if twice, err := sink.Publish(t.Context(), sent); err != nil || twice {
		t.Fatal(twice, err)
	}
	got := stack.SNS.Messages()
	if len(got) != 1 || stack.Calls.Counts()[operation] != 1 {
		t.Fatalf("%d messages, calls %v", len(got), stack.Calls.Counts())
	}
	if got[0].TopicARN != sink.TopicARN || got[0].Subject != sent.Subject || got[0].Structure != "json" {
		t.Errorf("topic %s, subject %q, structure %q", got[0].TopicARN, got[0].Subject, got[0].Structure)
	}
	if diff := cmp.Diff(sent.Texts, got[0].Messages); diff != "" {
		t.Errorf("texts (-sent +arrived):\n%s", diff)
	}
	if diff := cmp.Diff(sent.Attributes, got[0].Attributes); diff != "" {
		t.Errorf("attributes (-sent +arrived):\n%s", diff)
	}
}

// TestEmptyAttributes: SNS refuses a message for an empty attribute.
func TestEmptyAttributes(t *testing.T) {
	stack, sink := start(t)
	sent := busy(t)
	sent.Attributes["region"], sent.Attributes["account"] = "", ""
	if _, err := sink.Publish(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(sent.Attributes, func(_, value string) bool { return value == "" })
	if got := stack.SNS.Messages(); len(got) != 1 || !maps.Equal(got[0].Attributes, sent.Attributes) {
		t.Errorf("messages %+v", got)
	}
}

func TestFaults(t *testing.T) {
	always := func(f wire.Fault) wire.FaultFunc { return func(string, int) wire.Fault { return f } }
	first := func(f wire.Fault) wire.FaultFunc { return f.Once(operation, 1) }
	const (
		arrived = iota
		arrivedTwice
		open    // an error; the message may have arrived
		notSent // an error; it certainly did not
	)
	for _, test := range []struct {
		name     string
		faults   wire.FaultFunc
		requests int
		messages int
		doubt    int
		code     string   // of the error; "" for none
		says     []string // in the error
	}{
		{"slow", first(wire.Fault{Delay: 100 * time.Millisecond}), 1, 1, arrived, "", nil},
		{"throttled once", first(wire.Refuse(400, "Throttled")), 2, 1, arrived, "", nil},
		{"throttled by 429", first(wire.Refuse(429, "Throttled")), 2, 1, arrived, "", nil},
		{"throttling once", first(wire.Refuse(400, "Throttling")), 2, 1, arrived, "", nil},
		{"500 once", first(wire.Refuse(500, "InternalError")), 2, 1, arrivedTwice, "", nil},
		{"503 once", first(wire.Refuse(503, "ServiceUnavailable")), 2, 1, arrivedTwice, "", nil},
		{"500 after it was applied", first(wire.Replace(500, "InternalError")), 2, 2, arrivedTwice, "", nil},
		{"reset", first(wire.Fault{Kind: wire.FaultReset}), 2, 1, arrivedTwice, "", nil},
		{"reply lost", first(wire.Fault{Kind: wire.FaultReplyLost}), 2, 2, arrivedTwice, "", nil}, // rather twice than never
		{"reply cut", first(wire.Fault{Kind: wire.FaultReplyCut}), 1, 1, arrived, "", nil},
		{"throttled always", always(wire.Refuse(400, "Throttled")), 5, 0, notSent, "Throttled", []string{"topic arn:aws:sns:us-east-1:123456789012:alerts"}},
		{"500 always", always(wire.Refuse(500, "InternalError")), 5, 0, open, "InternalError", []string{":alerts", "may have been sent"}},
		{"an unknown 400", always(wire.Refuse(400, "Unheard")), 1, 0, open, "Unheard", []string{":alerts", "may have been sent"}},
		{"reply lost, then throttled always", func(_ string, n int) wire.Fault {
			return []wire.Fault{{Kind: wire.FaultReplyLost}, wire.Refuse(400, "Throttled")}[min(n, 2)-1]
		}, 5, 1, open, "Throttled", []string{":alerts", "may have been sent"}},
		{"denied", first(wire.Refuse(403, "AuthorizationError")), 1, 0, notSent, "AuthorizationError", []string{"access denied", "sns:Publish", ":alerts"}},
		{"key denied", first(wire.Refuse(400, "KMSAccessDenied")), 1, 0, notSent, "KMSAccessDenied", []string{"access denied", "kms:GenerateDataKey*", "kms:Decrypt", ":alerts"}},
		{"refused", first(wire.Refuse(400, "InvalidParameter")), 1, 0, notSent, "InvalidParameter", []string{":alerts"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			stack, sink := start(t)
			stack.SNS.SetFaults(test.faults)
			twice, err := sink.Publish(t.Context(), busy(t))
			if twice != (test.doubt == arrivedTwice) || errors.Is(err, pipeline.ErrNothingSent) != (test.doubt == notSent) {
				t.Errorf("twice %v, error %v", twice, err)
			}
			if n := stack.Calls.Counts()[operation]; n != test.requests {
				t.Errorf("%d requests, want %d", n, test.requests)
			}
			if n := len(stack.SNS.Messages()); n != test.messages {
				t.Errorf("%d messages, want %d", n, test.messages)
			}
			wantError(t, err, test.code, test.says)
		})
	}
}

func TestNoTopic(t *testing.T) {
	stack, sink := start(t)
	sink.TopicARN += "-gone"
	_, err := sink.Publish(t.Context(), busy(t))
	wantError(t, err, "NotFound", []string{"there is no topic arn:aws:sns:us-east-1:123456789012:alerts-gone"})
	if n := stack.Calls.Counts()[operation]; n != 1 {
		t.Errorf("%d requests", n)
	}
}

func wantError(t *testing.T, err error, code string, says []string) {
	t.Helper()
	api, _ := errors.AsType[smithy.APIError](err)
	if (err == nil) != (code == "") || code != "" && (api == nil || api.ErrorCode() != code) {
		t.Errorf("error %v, want code %q", err, code)
	}
	for _, text := range says {
		if err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("error %v does not say %q", err, text)
		}
	}
}

func TestDeadline(t *testing.T) {
	stack, sink := start(t)
	for _, f := range []wire.Fault{{Delay: time.Minute}, wire.Refuse(400, "Throttled")} {
		stack.SNS.SetFaults(func(string, int) wire.Fault { return f })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if f.Delay == 0 {
			cancel()
		}
		began := time.Now()
		_, err := sink.Publish(ctx, busy(t))
		if took := time.Since(began); !errors.Is(err, ctx.Err()) || took > 5*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	}
}
