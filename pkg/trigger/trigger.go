// Package trigger turns whatever started the function into the S3 objects to
// work on, and the outcome of that work into the reply its sender understands.
//
// [Parse] reads one event. Every unit that the sender can acknowledge apart
// from its neighbours (a queue message, a batch task, a record) becomes an
// [Item]; whatever is no work of ours is listed in [Event.Ignored] with the
// reason. [Event.Reply] takes one outcome per Item:
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
//   - SNS: https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
//   - SQS: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
//   - S3 Batch Operations: https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
//   - invocation record of a destination: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
//   - direct: {"bucket": "b", "key": "k"}, "s3://b/k", a list of these, or {"objects": [...]}
//
// Shapes nest: a queue message may hold an SNS envelope that holds an S3
// notification. The outermost shape decides the reply, since its sender is
// the one that reads it.
//
// # Keys
//
// S3 notifications and Batch Operations carry keys form-encoded (a space is
// "+"): they are decoded here. EventBridge keys are taken as they are: AWS
// documents no encoding and most reports say there is none, but not every reader
// agrees, so [pipeline.Object.AltKey] holds the other reading where there is one.
// Direct keys are taken as they are.
package trigger

import (
	"cmp"
	"fmt"

	"tlswatch/pkg/pipeline"
)

// A Shape says who sent an event and so how to answer it.
type Shape string

const (
	S3          Shape = "s3"          // S3 notification, asynchronous
	EventBridge Shape = "eventbridge" // EventBridge rule, asynchronous
	SNS         Shape = "sns"         // SNS subscription, asynchronous
	SQS         Shape = "sqs"         // SQS event source mapping with ReportBatchItemFailures
	Batch       Shape = "s3-batch"    // S3 Batch Operations job
	Direct      Shape = "direct"      // a person or program that names objects
	Redrive     Shape = "redrive"     // a destination's invocation record, sent again
)

// Limits of Parse.
const (
	// maxRecords is the most records of one event, those of every nesting
	// level together. The largest event AWS sends is a queue batch of 10,000
	// messages.
	maxRecords = 50_000

	// maxDepth is the deepest nesting of shapes. The deepest real one is 5:
	// queue message, SNS envelope, invocation record, SNS event, S3 event.
	maxDepth = 6
)

// An Event is one parsed invocation payload.
type Event struct {
	Shape   Shape
	Items   []Item    // in the order of the event; an Item without work is listed too
	Ignored []Ignored // what is no work, and why; nothing is left out without an entry here

	schemaVersion, invocationID string // of a Batch request, returned in its reply
}

// An Item is one unit of acknowledgement.
//
// Objects and Err can both be set: a queue message with one good and one bad
// record. Its objects are to be processed, and Reply fails it whatever their
// outcome.
type Item struct {
	ID      string   // message id, task id, event id, or position in the list ("0"); never empty
	Objects []Object // empty where nothing in the unit is work
	Err     error    // a part of the unit could not be understood; trying again does not help

	token string // the sender's id, as the reply must name it; empty where it sent none
}

// An Object is an S3 object to process.
type Object struct {
	pipeline.Object
	owner string
}

// Owner returns the identity under which to claim o, given the request id of
// this invocation.
//
// It is the id of the queue message, for a dead letter the request id of the
// invocation that failed (which is what that invocation claimed under), and
// else requestID. A queue and an asynchronous invocation keep it over their
// retries. A Batch or Direct caller that tries again gets a new one, and so do
// messages that the SQS console moves out of a dead-letter queue.
func (e *Event) Owner(o Object, requestID string) string {
	return cmp.Or(o.owner, requestID)
}

// Objects counts the objects of all items.
func (e *Event) Objects() int {
	n := 0
	for _, item := range e.Items {
		n += len(item.Objects)
	}
	return n
}

// A Reason says why something in an event is no work. The set is small, so
// that it can be counted by.
type Reason string

const (
	testEvent   Reason = "test event"                   // S3 sends one when a notification is configured
	notCreation Reason = "not an object creation"       // What has the event's name
	empty       Reason = "empty list"                   // no record, task or object in it
	succeeded   Reason = "invocation already succeeded" // record of a success destination
)

// An Ignored is a part of an event that is no work.
type Ignored struct {
	Item   string `json:"item"` // ID of the Item it was in; empty where the event has no items
	Reason Reason `json:"reason"`
	What   string `json:"what,omitempty"` // the event's name, and the object's as sent
}

func (i Ignored) String() string {
	if i.What == "" {
		return string(i.Reason)
	}
	return fmt.Sprintf("%s: %s", i.Reason, i.What)
}

// Parse reads one invocation payload.
//
// The error is for payloads of which nothing can be said, and fails the whole
// invocation: malformed JSON (a [json.SyntaxError] with its offset), an unknown
// shape, or too many or too deeply nested records. Within a known shape, what
// cannot be understood is the Err of its own Item and leaves the others alone.
func Parse(event []byte) (*Event, error) {
	p := parser{budget: maxRecords}
	e, err := p.decode(event, 1)
	if err != nil {
		return nil, fmt.Errorf("trigger: %w", err)
	}
	return e, nil
}
