package localaws

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// What a batch leaves in its queue, and what the queue gives up.
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
		{"an unknown message is reported", []string{"a", "stranger"}, true, []string{"a", "stranger"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &clock{t: noon}
			h := start(t, Options{Now: c.now})
			dead := h.SQS.CreateQueue("dead", QueueOptions{})
			url := h.SQS.CreateQueue("jobs", QueueOptions{VisibilityTimeout: time.Minute, DeadLetters: dead, MaxReceives: 2})
			l, _ := startFunction(t, LambdaOptions{})
			for _, body := range test.bodies {
				if _, err := h.SQS.Send(url, body, nil); err != nil {
					t.Fatal(err)
				}
			}
			l.MapQueue(t.Context(), h.SQS, QueueMapping{Queue: url, Window: 50 * time.Millisecond, ReportBatchItemFailures: test.report})
			for end := time.Now().Add(20 * time.Second); len(h.SQS.Messages(url)) > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("left: %v", h.SQS.Messages(url))
				}
				if !slices.ContainsFunc(h.SQS.Messages(url), func(m QueueMessage) bool { return m.Visible }) {
					l.mustWait(t) // for what was taken; nothing more can be
					if len(h.SQS.Messages(url)) > 0 {
						c.add(time.Minute)
					}
				}
			}
			l.mustWait(t)
			var got []string
			for _, m := range h.SQS.Messages(dead) {
				got = append(got, m.Body)
			}
			slices.Sort(got)
			if !slices.Equal(got, test.dead) {
				t.Errorf("given up: %q, want %q", got, test.dead)
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
