package lambda

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/sqs"
	"tlswatch/internal/localaws/wire"
)

// Which messages of a batch end in the dead-letter queue.
func TestMapQueue(t *testing.T) {
	for _, test := range []struct {
		name   string
		bodies []string
		report bool
		dead   []string // after two receipts each
	}{
		{"all succeed", []string{"a", "b", "c"}, true, nil},
		{"one fails", []string{"a", "fail", "c"}, true, []string{"fail"}},
		{"one fails unreported", []string{"a", "fail", "c"}, false, nil},
		{"the batch fails", []string{"a", "error"}, true, []string{"a", "error"}},
		{"an unknown message is reported", []string{"a", "unknown"}, true, []string{"a", "unknown"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := awstest.NewClock(time.Date(2026, 11, 23, 12, 0, 30, 0, time.UTC))
			queues := sqs.New(wire.Config{Region: wire.DefaultRegion, Now: c.Now, Calls: new(wire.Calls)})
			dead := queues.CreateQueue("dead", sqs.QueueOptions{})
			url := queues.CreateQueue("jobs", sqs.QueueOptions{VisibilityTimeout: time.Minute, DeadLetters: dead, MaxReceives: 2})
			l, _ := startFunction(t, Options{})
			for _, body := range test.bodies {
				if _, err := queues.Send(url, body, nil); err != nil {
					t.Fatal(err)
				}
			}
			l.MapQueue(t.Context(), queues, QueueMapping{Queue: url, Window: 50 * time.Millisecond, ReportBatchItemFailures: test.report})
			for end := time.Now().Add(20 * time.Second); len(queues.Messages(url)) > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("left: %v", queues.Messages(url))
				}
				if !slices.ContainsFunc(queues.Messages(url), func(m sqs.Message) bool { return m.Visible }) {
					l.mustWait(t) // for the messages in flight: no other is visible
					if len(queues.Messages(url)) > 0 {
						c.Add(time.Minute)
					}
				}
			}
			l.mustWait(t)
			var got []string
			for _, m := range queues.Messages(dead) {
				got = append(got, m.Body)
			}
			slices.Sort(got)
			if !slices.Equal(got, test.dead) {
				t.Errorf("dead letters %q, want %q", got, test.dead)
			}
			var event struct {
				Records []struct{ Body, EventSource, EventSourceARN string }
			}
			if err := json.Unmarshal(l.Invocations()[0].Payload, &event); err != nil {
				t.Fatal(err)
			}
			if len(event.Records) == 0 || event.Records[0].Body != test.bodies[0] || event.Records[0].EventSource != "aws:sqs" ||
				event.Records[0].EventSourceARN != "arn:aws:sqs:us-east-1:123456789012:jobs" {
				t.Errorf("event %+v", event)
			}
		})
	}
}
