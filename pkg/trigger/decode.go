package trigger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// The structs of this package have only the fields that are used, unlike those of
// aws-lambda-go: an unused field must not make a record fail, a missing size must differ
// from 0, and an invalid escape in one key must not make other records fail.

// A parser decodes one event. All nesting levels share its budget.
type parser struct {
	budget int // remaining records
}

// decode reads one JSON value of any shape. depth is 1 for the payload itself.
func (p *parser) decode(text []byte, depth int) (*Event, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	var raw json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, malformed(err)
	}
	switch raw[0] {
	case '{':
		return p.object(raw, depth)
	case '[':
		return p.list(raw, depth)
	case '"':
		return newEvent(Direct, directItem(0, raw)), nil
	case 't', 'f':
		return nil, &unknownShapeError{Kind: "boolean"}
	case 'n':
		return nil, &unknownShapeError{Kind: "null"}
	}
	return nil, &unknownShapeError{Kind: "number"}
}

// shapeKeys are the top-level keys that identify a shape. They are compared exactly,
// unlike fields of Go structs: SQS has "messageId", and SNS "MessageId".
var shapeKeys = map[string]bool{
	"Records": true,                                      // S3, SQS, SNS
	"Event":   true,                                      // s3:TestEvent
	"detail":  true, "detail-type": true, "source": true, // EventBridge
	"requestPayload": true, "requestContext": true, // invocation record
	"invocationSchemaVersion": true, "tasks": true, // S3 Batch Operations
	"Type": true, "Message": true, // SNS envelope in a queue message
	"bucket": true, "key": true, "objects": true, // direct
}

func (p *parser) object(raw json.RawMessage, depth int) (*Event, error) {
	f, keys, total, err := fields(raw)
	if err != nil {
		return nil, err
	}
	has := func(keys ...string) bool {
		for _, k := range keys {
			if f[k] == nil {
				return false
			}
		}
		return true
	}
	var e *Event
	switch {
	case has("Records"):
		e, err = p.records(f["Records"], depth)
	case text(f["Event"]) == "s3:TestEvent":
		e = newEvent(S3, Item{ID: "0"})
		e.ignore("0", testEvent, "")
	case has("detail", "detail-type", "source"):
		e, err = p.eventBridge(raw, depth)
	case has("requestPayload", "requestContext"):
		e, err = p.invocationRecord(raw, depth)
	case has("invocationSchemaVersion", "tasks"):
		e, err = p.batch(raw)
	case has("Type", "Message"):
		e = newEvent(SNS)
		if err = p.snsMessage(e, 0, raw, depth); err != nil {
			err = notKnown("%v", err)
		}
	case has("bucket", "key"):
		e = newEvent(Direct, directItem(0, raw))
	case has("objects"):
		e, err = p.direct(f["objects"])
	default:
		return nil, unknown(keys, total, "")
	}
	var u *unknownShapeError
	if errors.As(err, &u) && u.Kind == "" { // from this event, not from a nested one
		return nil, unknown(keys, total, u.Note)
	}
	return e, err
}

// list reads a list. EventBridge Pipes sends the messages of a queue as a list without
// Records; any other list is of objects.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-sqs.html
func (p *parser) list(raw json.RawMessage, depth int) (*Event, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	var first struct {
		EventSource string `json:"eventSource"`
	}
	if _, err := d.Token(); err != nil || !d.More() || d.Decode(&first) != nil || first.EventSource == "" {
		return p.direct(raw)
	}
	if first.EventSource != "aws:sqs" {
		return nil, &unknownShapeError{Kind: "list", Note: fmt.Sprintf("event source %q is not aws:sqs", clip(first.EventSource, maxQuote))}
	}
	e := newEvent(Pipes)
	i := 0
	err := p.each("a list of messages", raw, func(message json.RawMessage) {
		p.sqsMessage(e, i, message, depth)
		i++
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// notKnown returns the error for an object that does not have the shape of its keys.
func notKnown(format string, args ...any) error {
	return &unknownShapeError{Note: fmt.Sprintf(format, args...)}
}

// records reads the list that S3, SQS and SNS all call Records. The event source shows
// which of them it is.
func (p *parser) records(list json.RawMessage, depth int) (*Event, error) {
	var records []json.RawMessage
	var shape Shape
	var seen string
	err := p.each("Records", list, func(r json.RawMessage) {
		records = append(records, r)
		var s struct {
			EventSource string `json:"eventSource"` // SNS spells it EventSource
		}
		_ = json.Unmarshal(r, &s) // an unreadable record gets its error below
		if shape == "" {
			seen = s.EventSource
			shape = map[string]Shape{"aws:s3": S3, "aws:sqs": SQS, "aws:sns": SNS}[seen]
		}
	})
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		e := newEvent(S3)
		e.ignore("", empty, "Records")
		return e, nil
	}
	if shape == "" {
		return nil, notKnown("event source %q of the records is not aws:s3, aws:sqs or aws:sns", clip(seen, maxQuote))
	}
	e := newEvent(shape)
	for i, r := range records {
		switch shape {
		case S3:
			p.s3Record(e, i, r)
		case SQS:
			p.sqsMessage(e, i, r, depth)
		case SNS:
			p.snsRecord(e, i, r, depth)
		}
	}
	return e, nil
}

// text returns the string in raw, or "" if raw is not a string.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// each calls f for each element of a JSON list. If the budget is spent, it stops before
// the rest of the list takes memory.
func (p *parser) each(name string, list json.RawMessage, f func(json.RawMessage)) error {
	d := json.NewDecoder(bytes.NewReader(list))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return notKnown("%s is not a list", name)
	}
	for d.More() {
		if p.budget--; p.budget < 0 {
			return errTooMany
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return malformed(err)
		}
		f(v)
	}
	return nil
}

// fields returns the values of an object under shapeKeys, its first keys, and the number of
// keys.
func fields(object json.RawMessage) (f map[string]json.RawMessage, keys []string, total int, err error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil, nil, 0, malformed(err)
	}
	f = make(map[string]json.RawMessage)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, nil, 0, malformed(err)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, nil, 0, malformed(err)
		}
		k, _ := t.(string)
		if total++; len(keys) < maxKeys {
			keys = append(keys, clip(k, maxQuote))
		}
		if shapeKeys[k] {
			f[k] = v
		}
	}
	return f, keys, total, nil
}
