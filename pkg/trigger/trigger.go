// Package trigger converts an event of any shape to the S3 objects to process, and the
// outcomes to the reply that the event's sender expects.
//
// [Parse] reads one event. Every unit that the sender can acknowledge separately (a queue
// message, a batch task, a record) becomes an [Item]. Everything else is listed in
// [Event.Ignored] with the reason. [Event.Reply] takes one outcome per Item:
//
//	e, err := trigger.Parse(payload)
//	if err != nil {
//		return nil, err
//	}
//	outcomes := make([]error, len(e.Items))
//	for i, item := range e.Items {
//		for _, o := range item.Objects {
//			outcomes[i] = errors.Join(outcomes[i], process(ctx, o, e.Owner(o, requestID)))
//		}
//	}
//	return e.Reply(outcomes)
//
// # Shapes
//
//   - S3 notification: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
//   - EventBridge "Object Created": https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
//   - EventBridge "AWS API Call via CloudTrail": https://docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-s3-info.html
//   - EventBridge Pipes, a list of queue messages: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-sqs.html
//   - SNS: https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
//   - SQS: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
//   - S3 Batch Operations: https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
//   - invocation record of a destination: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
//   - direct: {"bucket": "b", "key": "k"}, "s3://b/k", a list of these, or {"objects": [...]}
//
// Shapes nest: a queue message may contain an SNS envelope with an S3 notification. The
// outermost shape decides the reply, because its sender reads the reply.
//
// # Keys
//
// S3 notifications and Batch Operations have form-encoded keys (a space is "+"), which are
// decoded. EventBridge keys are used unchanged: AWS documents no encoding, and most
// reports say that there is none. Because some disagree, [pipeline.Object.AltKey] has the
// decoded key if it differs. Direct keys are used unchanged.
package trigger

import (
	"cmp"
	"fmt"

	"tlswatch/pkg/pipeline"
)

// A Shape is the kind of event, which decides the form of the reply.
type Shape string

const (
	S3          Shape = "s3"          // S3 notification, asynchronous
	EventBridge Shape = "eventbridge" // EventBridge rule, asynchronous
	SNS         Shape = "sns"         // SNS subscription, asynchronous
	SQS         Shape = "sqs"         // SQS event source mapping with ReportBatchItemFailures
	Pipes       Shape = "pipes"       // EventBridge Pipes from a queue
	Batch       Shape = "s3-batch"    // S3 Batch Operations job
	Direct      Shape = "direct"      // objects named by a person or program
	Redrive     Shape = "redrive"     // a destination's invocation record, sent again
)

// Limits of Parse.
const (
	// maxRecords bounds the records of one event, on all nesting levels together. The
	// largest event from AWS is a queue batch of 10,000 messages.
	maxRecords = 50_000

	// maxDepth bounds the nesting of shapes. The deepest real one has 5 levels: queue
	// message, SNS envelope, invocation record, SNS event, S3 event.
	maxDepth = 6
)

// An Event is one parsed invocation payload.
type Event struct {
	Shape   Shape
	Items   []Item    // in the order of the event; those without objects too
	Ignored []Ignored // all parts of the event without objects to process

	schemaVersion, invocationID string // of a Batch request, returned in its reply
}

// An Item is one unit of acknowledgement.
//
// Objects and Err can both be set, as for a queue message with a valid and an invalid
// record. Its objects have to be processed, and Reply reports it as failed regardless of
// their outcome.
type Item struct {
	ID      string   // message id, task id, event id, or position in the list ("0"); never empty
	Objects []Object // objects to process
	Err     error    // a part of the unit is invalid; a retry does not help

	token string // the sender's ID of the unit, for the reply; empty if there is none
}

// An Object is an S3 object to process.
type Object struct {
	pipeline.Object
	owner string
}

// Owner returns the identity under which to claim o, given the request ID of this
// invocation.
//
// It is the ID of the queue message (from a pipe too), for a dead letter the request ID of the failed
// invocation (which claimed under it), and otherwise requestID. A queue and an asynchronous
// invocation keep it for their retries. A Batch or Direct caller that retries gets a new
// one, as do messages that the SQS console moves out of a dead-letter queue.
func (e *Event) Owner(o Object, requestID string) string {
	return cmp.Or(o.owner, requestID)
}

// Objects returns the number of objects of all items.
func (e *Event) Objects() int {
	n := 0
	for _, item := range e.Items {
		n += len(item.Objects)
	}
	return n
}

// A Reason says why a part of an event is ignored. There are only a few, so that they can
// be counted.
type Reason string

const (
	testEvent   Reason = "test event"                   // S3 sends one when a notification is configured
	notCreation Reason = "not an object creation"       // What is the event's name
	empty       Reason = "empty list"                   // no record, task or object in it
	callFailed  Reason = "API call failed"              // What is the event's name and the error code
	succeeded   Reason = "invocation already succeeded" // record of a success destination
)

// An Ignored is a part of an event without objects to process.
type Ignored struct {
	Item   string `json:"item"` // ID of its Item; empty if the event has no items
	Reason Reason `json:"reason"`
	What   string `json:"what,omitempty"` // the name of the event, and the object's as sent
}

func (i Ignored) String() string {
	if i.What == "" {
		return string(i.Reason)
	}
	return fmt.Sprintf("%s: %s", i.Reason, i.What)
}

// Parse reads one invocation payload.
//
// An error fails the whole invocation: malformed JSON (a [json.SyntaxError] with its
// offset), an unknown shape, or too many or too deeply nested records. Within a known
// shape, an invalid part is the Err of its own Item and does not affect others.
func Parse(event []byte) (*Event, error) {
	p := parser{budget: maxRecords}
	e, err := p.decode(event, 1)
	if err != nil {
		return nil, fmt.Errorf("trigger: %w", err)
	}
	return e, nil
}
