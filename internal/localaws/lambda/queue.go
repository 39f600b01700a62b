package lambda

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"tlswatch/internal/localaws/sqs"
)

// pollPause is the time between two polls of a queue.
const pollPause = 10 * time.Millisecond

// QueueMapping are the settings of [Function.MapQueue]. Only Queue is required.
type QueueMapping struct {
	Queue     string        // URL
	BatchSize int           // most messages in a batch; default 10
	Window    time.Duration // how long to wait for a full batch

	// ReportBatchItemFailures: the function's reply names the messages that
	// failed, and the others are deleted. Without it, a batch succeeds or fails
	// as a whole.
	ReportBatchItemFailures bool
}

// MapQueue makes the function process the messages of a queue, as an event
// source mapping does, until Close is called or ctx ends: it takes a batch,
// invokes the function, and deletes what succeeded. The rest comes back after
// the queue's visibility timeout. There is one consumer.
//
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func (f *Function) MapQueue(ctx context.Context, queues *sqs.Service, m QueueMapping) {
	if m.BatchSize == 0 {
		m.BatchSize = 10
	}
	f.running.Go(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-f.closing:
				cancel()
			case <-ctx.Done():
			}
		}()
		for f.take(ctx, queues, m) {
			select {
			case <-time.After(pollPause):
			case <-ctx.Done():
				return
			}
		}
	})
}

// take processes one batch, if there are messages, and reports whether to go on.
// For Wait it is an event, from before it receives messages.
func (f *Function) take(ctx context.Context, queues *sqs.Service, m QueueMapping) bool {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return false
	}
	if f.pending == 0 {
		f.quiet = make(chan struct{})
	}
	f.pending++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !f.closed { // shutDown finishes all events
			f.finish(1)
		}
	}()
	if batch := m.batch(ctx, queues); len(batch) > 0 {
		for _, message := range f.batch(ctx, batch, queues.ARN(m.Queue), m.ReportBatchItemFailures) {
			if err := queues.Delete(m.Queue, message.ReceiptHandle); err != nil {
				panic(err) // a handle that Receive returned: cannot happen
			}
		}
	}
	return true
}

// batch receives messages, and waits for more only if there are some.
func (m QueueMapping) batch(ctx context.Context, queues *sqs.Service) []sqs.Message {
	list := queues.Receive(ctx, m.Queue, m.BatchSize, 0)
	for end := time.Now().Add(m.Window); len(list) > 0 && len(list) < m.BatchSize; {
		left := time.Until(end)
		if left <= 0 || ctx.Err() != nil {
			break
		}
		list = append(list, queues.Receive(ctx, m.Queue, m.BatchSize-len(list), left)...)
	}
	return list
}

// batch invokes the function with messages and returns those that succeeded.
func (f *Function) batch(ctx context.Context, batch []sqs.Message, arn string, report bool) (done []sqs.Message) {
	result, err := f.Invoke(ctx, queueEvent(batch, arn, f.o.Region))
	if err != nil || result.Error != nil {
		return nil
	}
	if !report {
		return batch
	}
	var reply struct {
		BatchItemFailures []struct {
			ItemIdentifier string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(result.Payload, &reply); err != nil {
		return nil
	}
	failed := make(map[string]bool)
	for _, failure := range reply.BatchItemFailures {
		if !slices.ContainsFunc(batch, func(m sqs.Message) bool { return m.MessageID == failure.ItemIdentifier }) { // an unknown identifier fails the batch
			return nil
		}
		failed[failure.ItemIdentifier] = true
	}
	return slices.DeleteFunc(batch, func(m sqs.Message) bool { return failed[m.MessageID] })
}

// queueEvent is the event with which Lambda delivers messages.
//
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
func queueEvent(batch []sqs.Message, arn, region string) []byte {
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
	records := make([]record, len(batch))
	for i, m := range batch {
		records[i] = record{
			MessageID:         m.MessageID,
			ReceiptHandle:     m.ReceiptHandle,
			Body:              m.Body,
			Attributes:        m.SystemAttributes(),
			MessageAttributes: map[string]any{},
			MD5OfBody:         m.MD5OfBody(),
			EventSource:       "aws:sqs",
			EventSourceARN:    arn,
			AWSRegion:         region,
		}
	}
	event, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		panic(err) // strings only: cannot happen
	}
	return event
}
