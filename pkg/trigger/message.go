package trigger

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// sqsMessage reads one message of a queue batch.
//
// A message that Lambda sent to a dead-letter queue has the request ID of the failed
// invocation as an attribute:
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
func (p *parser) sqsMessage(e *Event, i int, raw json.RawMessage, depth int) {
	type attribute struct {
		StringValue string `json:"stringValue"`
	}
	var m struct {
		MessageID         string  `json:"messageId"`
		EventSource       string  `json:"eventSource"`
		Body              *string `json:"body"`
		MessageAttributes struct {
			RequestID attribute `json:"RequestID"`
			ErrorCode attribute `json:"ErrorCode"`
		} `json:"messageAttributes"`
	}
	err := json.Unmarshal(raw, &m) // fills what it can: the ID of an invalid message is known too
	item := Item{ID: orPosition(m.MessageID, i), token: m.MessageID}
	switch {
	case err != nil:
		item.fail(wrongType(err))
	case m.EventSource != "aws:sqs":
		item.fail(fmt.Errorf("event source %q among records of aws:sqs", clip(m.EventSource, maxQuote)))
	case m.Body == nil:
		item.fail(errors.New("message has no body"))
	default:
		owner := m.MessageID
		if a := m.MessageAttributes; a.RequestID.StringValue != "" && a.ErrorCode.StringValue != "" {
			owner = a.RequestID.StringValue
		}
		p.unwrap(e, &item, "message body", []byte(*m.Body), depth, owner)
	}
	e.Items = append(e.Items, item)
}

// snsRecord reads one record of an SNS event.
func (p *parser) snsRecord(e *Event, i int, raw json.RawMessage, depth int) {
	var r struct {
		EventSource string          `json:"EventSource"`
		SNS         json.RawMessage `json:"Sns"`
	}
	err := json.Unmarshal(raw, &r)
	switch {
	case err != nil:
		err = wrongType(err)
	case r.EventSource != "aws:sns":
		err = fmt.Errorf("event source %q among records of aws:sns", clip(r.EventSource, maxQuote))
	case r.SNS == nil:
		err = errors.New("record has no Sns")
	default:
		err = p.snsMessage(e, i, r.SNS, depth)
	}
	if err != nil {
		item := Item{ID: strconv.Itoa(i)}
		item.fail(err)
		e.Items = append(e.Items, item)
	}
}

// snsMessage reads an SNS notification, which has the same form in a Lambda
// event and as the body of a queue message.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
func (p *parser) snsMessage(e *Event, i int, raw json.RawMessage, depth int) error {
	var n struct {
		Type      string `json:"Type"`
		MessageID string `json:"MessageId"`
		TopicARN  string `json:"TopicArn"`
		Message   string `json:"Message"`
	}
	if err := json.Unmarshal(raw, &n); err != nil {
		return fmt.Errorf("SNS message: %w", wrongType(err))
	}
	if n.Type != "Notification" {
		return fmt.Errorf("SNS message of type %q from %q", clip(n.Type, maxQuote), clip(n.TopicARN, maxQuote))
	}
	item := Item{ID: orPosition(n.MessageID, i)}
	p.unwrap(e, &item, "SNS message", []byte(n.Message), depth, "")
	e.Items = append(e.Items, item)
	return nil
}

// invocationRecord reads the record that Lambda sends to a destination. It contains the
// event of the failed invocation.
func (p *parser) invocationRecord(raw json.RawMessage, depth int) (*Event, error) {
	var r struct {
		RequestContext struct {
			RequestID string `json:"requestId"`
			Condition string `json:"condition"`
		} `json:"requestContext"`
		RequestPayload json.RawMessage `json:"requestPayload"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, notKnown("invocation record: %v", wrongType(err))
	}
	if r.RequestContext.Condition == "Success" {
		e := newEvent(Redrive)
		e.ignore("", succeeded, r.RequestContext.RequestID)
		return e, nil
	}
	e, err := p.decode(r.RequestPayload, depth+1)
	if err != nil {
		return nil, fmt.Errorf("requestPayload: %w", err)
	}
	e.Shape = Redrive
	for i := range e.Items {
		e.Items[i].own(r.RequestContext.RequestID)
	}
	return e, nil
}

// unwrap adds everything in the inner event, text, to item. owner is for objects without
// an owner in the inner event.
func (p *parser) unwrap(e *Event, item *Item, where string, text []byte, depth int, owner string) {
	budget := p.budget
	inner, err := p.decode(text, depth+1)
	if err != nil {
		p.budget = budget // it is dropped, and must not count against the others
		item.fail(fmt.Errorf("%s: %w", where, err))
		return
	}
	var failed Failures
	for _, in := range inner.Items {
		item.Objects = append(item.Objects, in.Objects...)
		if in.Err != nil {
			failed = append(failed, failedItem{in.ID, in.Err})
		}
	}
	item.own(owner)
	if failed != nil {
		item.fail(fmt.Errorf("%s: %w", where, failed))
	}
	for _, ig := range inner.Ignored {
		ig.Item = item.ID
		e.Ignored = append(e.Ignored, ig)
	}
}
