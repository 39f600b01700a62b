package localaws

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// QueueMapping are the settings of [Lambda.MapQueue]. Only Queue is required.
type QueueMapping struct {
	Queue     string        // URL
	BatchSize int           // messages of a batch at the most; default 10
	Window    time.Duration // how long to wait for as many

	// ReportBatchItemFailures has the function's reply name the messages that
	// failed; the others are deleted. Without it, a batch succeeds or fails as
	// a whole.
	ReportBatchItemFailures bool
}

// MapQueue has the function work on the messages of a queue, as an event source
// mapping does, until Close of either or until ctx ends: it takes a batch,
// invokes the function, and deletes what succeeded. The rest comes back after
// the queue's visibility timeout. There is one consumer.
//
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func (l *Lambda) MapQueue(ctx context.Context, queues *SQS, m QueueMapping) {
	if m.BatchSize == 0 {
		m.BatchSize = 10
	}
	l.running.Go(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-l.closing:
				cancel()
			case <-ctx.Done():
			}
		}()
		for l.take(ctx, queues, m) {
			if !sleep(ctx, clockStep) {
				return
			}
		}
	})
}

// take works on one batch, if there are messages, and reports whether to go on.
// Wait counts it as an event from before its messages are out of view.
func (l *Lambda) take(ctx context.Context, queues *SQS, m QueueMapping) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	if l.pending == 0 {
		l.quiet = make(chan struct{})
	}
	l.pending++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.closed { // else shutDown has finished them all
			l.finish(1)
		}
	}()
	if batch := queues.batch(ctx, m); len(batch) > 0 {
		for _, handle := range l.batch(ctx, queues, m, batch) {
			queues.delete(m.Queue, handle)
		}
	}
	return true
}

// batch takes messages, and waits for more only if there are some.
func (s *SQS) batch(ctx context.Context, m QueueMapping) []*queued {
	list, _ := s.receive(ctx, m.Queue, m.BatchSize, 0, nil)
	for end := time.Now().Add(m.Window); len(list) > 0 && len(list) < m.BatchSize; {
		left := time.Until(end)
		if left <= 0 || ctx.Err() != nil {
			break
		}
		more, _ := s.receive(ctx, m.Queue, m.BatchSize-len(list), left, nil)
		list = append(list, more...)
	}
	return list
}

// batch invokes the function with messages and returns the receipt handles of
// those that are done.
func (l *Lambda) batch(ctx context.Context, queues *SQS, m QueueMapping, batch []*queued) (done []string) {
	queues.mu.Lock()
	q, refusal := queues.queue(m.Queue)
	queues.mu.Unlock()
	if refusal != nil {
		return nil
	}
	result, err := l.Invoke(ctx, q.event(batch, l.o.Region))
	if err != nil || result.Error != nil {
		return nil
	}
	failed := make(map[string]bool)
	if m.ReportBatchItemFailures {
		var reply struct {
			BatchItemFailures []struct {
				ItemIdentifier string `json:"itemIdentifier"`
			} `json:"batchItemFailures"`
		}
		known := make(map[string]bool)
		for _, message := range batch {
			known[message.id] = true
		}
		err := json.Unmarshal(result.Payload, &reply)
		for _, f := range reply.BatchItemFailures {
			failed[f.ItemIdentifier] = true
			if !known[f.ItemIdentifier] { // an identifier that is none fails the batch
				err = fmt.Errorf("no message %q", f.ItemIdentifier)
			}
		}
		if err != nil {
			return nil
		}
	}
	for _, message := range batch {
		if !failed[message.id] {
			done = append(done, q.handle(message))
		}
	}
	return done
}

// event is what Lambda makes of messages.
//
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
func (q *queue) event(batch []*queued, region string) []byte {
	type record struct {
		MessageID         string            `json:"messageId"`
		ReceiptHandle     string            `json:"receiptHandle"`
		Body              string            `json:"body"`
		Attributes        map[string]string `json:"attributes"`
		MessageAttributes map[string]any    `json:"messageAttributes"`
		MD5OfBody         string            `json:"md5OfBody"`
		EventSource       string            `json:"eventSource"`
		EventSourceARN    string            `json:"eventSourceARN"`
		AWSRegion         string            `json:"awsRegion"`
	}
	millis := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
	records := make([]record, len(batch))
	for i, m := range batch {
		sum := md5.Sum([]byte(m.body))
		records[i] = record{
			MessageID:     m.id,
			ReceiptHandle: q.handle(m),
			Body:          m.body,
			Attributes: map[string]string{
				"ApproximateReceiveCount":          strconv.Itoa(m.receives),
				"SentTimestamp":                    millis(m.sent),
				"SenderId":                         accountID,
				"ApproximateFirstReceiveTimestamp": millis(m.first),
			},
			MessageAttributes: map[string]any{},
			MD5OfBody:         hex.EncodeToString(sum[:]),
			EventSource:       "aws:sqs",
			EventSourceARN:    q.arn,
			AWSRegion:         region,
		}
	}
	event, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		panic(err) // strings only: cannot happen
	}
	return event
}
