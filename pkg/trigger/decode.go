package trigger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"tlswatch/pkg/pipeline"
)

// The structs below hold only what is used, instead of the larger ones of
// aws-lambda-go: a field that nobody reads must not be able to fail a record,
// a size must be told from no size, and one bad key escape must not fail the
// records beside it.

// A parser decodes one event. Its budget is shared by all nesting levels.
type parser struct {
	budget int // records that may still come
}

// decode reads one JSON value of any shape. depth is 1 for the payload itself.
func (p *parser) decode(text []byte, depth int) (*Event, error) {
	if depth > MaxDepth {
		return nil, ErrTooDeep
	}
	var raw json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, malformed(err)
	}
	switch raw[0] {
	case '{':
		return p.object(raw, depth)
	case '[':
		return p.direct(raw)
	case '"':
		return newEvent(Direct, directItem(0, raw)), nil
	case 't', 'f':
		return nil, &UnknownShapeError{Kind: "boolean"}
	case 'n':
		return nil, &UnknownShapeError{Kind: "null"}
	}
	return nil, &UnknownShapeError{Kind: "number"}
}

// shapeKeys are the top-level keys by which shapes are told apart. They are
// compared exactly, unlike the fields of Go structs: "messageId" is SQS and
// "MessageId" SNS.
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
		e.ignore("0", TestEvent, "")
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
	var u *UnknownShapeError
	if errors.As(err, &u) && u.Kind == "" { // raised here, not in a nested event
		return nil, unknown(keys, total, u.Note)
	}
	return e, err
}

// notKnown means: the object at hand is not of the shape its keys promised.
func notKnown(format string, args ...any) error {
	return &UnknownShapeError{Note: fmt.Sprintf(format, args...)}
}

// records reads the list that S3, SQS and SNS all call Records, and tells
// them apart by the event source.
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
		e.ignore("", Empty, "Records")
		return e, nil
	}
	if shape == "" {
		return nil, notKnown("event source %q of the records is none of aws:s3, aws:sqs, aws:sns", clip(seen, maxQuote))
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

// s3Record reads one record of an S3 notification.
//
// Its major version must be 2; AWS changes it when a reader would break. Every
// minor since 2.0 has the fields used here. From 2.4 on all kinds of events
// share one minor, before it 2.1 was that of creations.
func (p *parser) s3Record(e *Event, i int, raw json.RawMessage) {
	item := Item{ID: strconv.Itoa(i)}
	defer func() { e.Items = append(e.Items, item) }()
	var r struct {
		EventVersion string `json:"eventVersion"`
		EventSource  string `json:"eventSource"`
		EventName    string `json:"eventName"`
		S3           struct {
			Bucket struct {
				Name string `json:"name"`
			} `json:"bucket"`
			Object struct {
				Key       string `json:"key"`
				Size      *int64 `json:"size"`
				ETag      string `json:"eTag"`
				VersionID string `json:"versionId"`
			} `json:"object"`
		} `json:"s3"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		item.fail(wrongType(err))
		return
	}
	if r.EventSource != "aws:s3" {
		item.fail(fmt.Errorf("event source %q among records of aws:s3", clip(r.EventSource, maxQuote)))
		return
	}
	if major, _, _ := strings.Cut(r.EventVersion, "."); major != "2" {
		item.fail(fmt.Errorf("event version %q is not 2.x", clip(r.EventVersion, maxQuote)))
		return
	}
	if !strings.HasPrefix(strings.TrimPrefix(r.EventName, "s3:"), "ObjectCreated:") {
		e.ignore(item.ID, NotCreation, r.EventName+" s3://"+r.S3.Bucket.Name+"/"+r.S3.Object.Key)
		return
	}
	o := r.S3.Object
	key, err := url.QueryUnescape(o.Key)
	if err != nil {
		item.fail(fmt.Errorf("key %q: %w", clip(o.Key, maxQuote), err))
		return
	}
	item.add(pipeline.Object{Bucket: r.S3.Bucket.Name, Key: key, VersionID: o.VersionID, ETag: o.ETag, Size: size(o.Size)}, "")
}

// eventBridge reads an S3 event, or a destination's invocation record, that
// came over an event bus.
func (p *parser) eventBridge(raw json.RawMessage, depth int) (*Event, error) {
	var v struct {
		ID         string          `json:"id"`
		Source     string          `json:"source"`
		DetailType string          `json:"detail-type"`
		Detail     json.RawMessage `json:"detail"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, notKnown("EventBridge event: %v", wrongType(err))
	}
	switch {
	case v.Source == "lambda":
		e, err := p.decode(v.Detail, depth+1)
		if err != nil {
			return nil, fmt.Errorf("EventBridge detail: %w", err)
		}
		e.Shape = EventBridge
		return e, nil
	case v.Source != "aws.s3" || !strings.HasPrefix(v.DetailType, "Object "):
		return nil, notKnown("EventBridge source %q with detail-type %q", clip(v.Source, maxQuote), clip(v.DetailType, maxQuote))
	}
	item := Item{ID: orPosition(v.ID, 0)}
	var d struct {
		EventVersion string `json:"event-version"` // newer events only
		Bucket       struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key       string `json:"key"`
			Size      *int64 `json:"size"`
			ETag      string `json:"etag"`
			VersionID string `json:"version-id"`
		} `json:"object"`
	}
	e := newEvent(EventBridge)
	err := json.Unmarshal(v.Detail, &d)
	major, _, _ := strings.Cut(d.EventVersion, ".")
	switch {
	case err != nil:
		item.fail(wrongType(err))
	case major != "" && major != "1":
		item.fail(fmt.Errorf("event version %q is not 1.x", clip(d.EventVersion, maxQuote)))
	case v.DetailType != "Object Created":
		e.ignore(item.ID, NotCreation, v.DetailType+" s3://"+d.Bucket.Name+"/"+d.Object.Key)
	default:
		o := d.Object
		alt, err := url.QueryUnescape(o.Key)
		if err != nil || alt == o.Key || !utf8.ValidString(alt) {
			alt = ""
		}
		item.add(pipeline.Object{Bucket: d.Bucket.Name, Key: o.Key, VersionID: o.VersionID, ETag: o.ETag, Size: size(o.Size)}, alt)
	}
	e.Items = append(e.Items, item)
	return e, nil
}

// sqsMessage reads one message of a queue batch.
//
// A message that Lambda itself put into a dead-letter queue has the request id
// of the failed invocation as an attribute:
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
	err := json.Unmarshal(raw, &m) // fills what it can, so the id is known even of a bad message
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

// invocationRecord reads what Lambda sends to a destination and finds in it
// the event of the invocation that failed.
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
		e.ignore("", Succeeded, r.RequestContext.RequestID)
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

// batch reads a request of S3 Batch Operations. Schema 1.0 names the bucket by
// its ARN, 2.0 by its name; keys are form-encoded in both.
func (p *parser) batch(raw json.RawMessage) (*Event, error) {
	var b struct {
		SchemaVersion string          `json:"invocationSchemaVersion"`
		InvocationID  string          `json:"invocationId"`
		Tasks         json.RawMessage `json:"tasks"`
	}
	if err := json.Unmarshal(raw, &b); err != nil {
		return nil, notKnown("S3 Batch Operations request: %v", wrongType(err))
	}
	e := newEvent(Batch)
	e.schemaVersion, e.invocationID = b.SchemaVersion, b.InvocationID
	err := p.each("tasks", b.Tasks, func(task json.RawMessage) {
		var t struct {
			TaskID    string `json:"taskId"`
			Key       string `json:"s3Key"`
			VersionID string `json:"s3VersionId"`
			Bucket    string `json:"s3Bucket"`
			BucketARN string `json:"s3BucketArn"`
		}
		err := wrongType(json.Unmarshal(task, &t))
		item := Item{ID: orPosition(t.TaskID, len(e.Items)), token: t.TaskID}
		defer func() { e.Items = append(e.Items, item) }()
		if err == nil && b.SchemaVersion != "1.0" && b.SchemaVersion != "2.0" {
			err = fmt.Errorf("invocation schema version %q is neither 1.0 nor 2.0", clip(b.SchemaVersion, maxQuote))
		}
		if err == nil && t.Bucket == "" {
			t.Bucket, err = bucketOfARN(t.BucketARN)
		}
		key, keyErr := url.QueryUnescape(t.Key)
		if keyErr != nil {
			err = errors.Join(err, fmt.Errorf("key %q: %w", clip(t.Key, maxQuote), keyErr))
		}
		if err != nil {
			item.fail(err)
			return
		}
		item.add(pipeline.Object{Bucket: t.Bucket, Key: key, VersionID: t.VersionID, Size: -1}, "")
	})
	if err != nil {
		return nil, err
	}
	if len(e.Items) == 0 {
		e.ignore("", Empty, "tasks")
	}
	return e, nil
}

// bucketOfARN returns NAME of arn:PARTITION:s3:::NAME.
func bucketOfARN(arn string) (string, error) {
	f := strings.Split(arn, ":")
	if len(f) != 6 || f[0] != "arn" || f[2] != "s3" || f[3] != "" || f[4] != "" {
		return "", fmt.Errorf("%q is not the ARN of a bucket", clip(arn, maxQuote))
	}
	return f[5], nil
}

// direct reads a list of objects.
func (p *parser) direct(list json.RawMessage) (*Event, error) {
	e := newEvent(Direct)
	err := p.each("objects", list, func(o json.RawMessage) {
		e.Items = append(e.Items, directItem(len(e.Items), o))
	})
	if err != nil {
		return nil, err
	}
	if len(e.Items) == 0 {
		e.ignore("", Empty, "objects")
	}
	return e, nil
}

// directItem reads "s3://bucket/key" or an object with bucket and key. A field
// it does not know is an error: people type these.
func directItem(i int, raw json.RawMessage) Item {
	item := Item{ID: strconv.Itoa(i)}
	if raw[0] == '"' {
		uri := text(raw)
		rest, ok := strings.CutPrefix(uri, "s3://")
		bucket, key, _ := strings.Cut(rest, "/")
		if !ok || bucket == "" || key == "" {
			item.fail(fmt.Errorf("%q is not s3://BUCKET/KEY", clip(uri, maxQuote)))
			return item
		}
		item.add(pipeline.Object{Bucket: bucket, Key: key, Size: -1}, "")
		return item
	}
	var o struct {
		Bucket    string `json:"bucket"`
		Key       string `json:"key"`
		VersionID string `json:"versionId"`
		ETag      string `json:"etag"`
		Size      *int64 `json:"size"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		item.fail(wrongType(err))
		return item
	}
	item.add(pipeline.Object{Bucket: o.Bucket, Key: o.Key, VersionID: o.VersionID, ETag: o.ETag, Size: size(o.Size)}, "")
	return item
}

// unwrap adds to item all that the event in text holds. owner is for objects
// that the inner event gives none.
func (p *parser) unwrap(e *Event, item *Item, where string, text []byte, depth int, owner string) {
	budget := p.budget
	inner, err := p.decode(text, depth+1)
	if err != nil {
		p.budget = budget // nothing is kept of it, so its neighbours need not pay
		item.fail(fmt.Errorf("%s: %w", where, err))
		return
	}
	var failed Failures
	for _, in := range inner.Items {
		item.Objects = append(item.Objects, in.Objects...)
		if in.Err != nil {
			failed = append(failed, Failure{in.ID, in.Err})
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

func newEvent(s Shape, items ...Item) *Event {
	return &Event{Shape: s, Items: items}
}

func (e *Event) ignore(item string, r Reason, what string) {
	e.Ignored = append(e.Ignored, Ignored{item, r, clip(what, maxFailure)})
}

// fail records what could not be understood.
func (i *Item) fail(err error) {
	if i.Err = err; !errors.Is(err, ErrTooMany) { // the next batch may leave room
		i.Err = Permanent(err)
	}
}

// own gives an owner to those objects that have none.
func (i *Item) own(owner string) {
	for j := range i.Objects {
		if i.Objects[j].owner == "" {
			i.Objects[j].owner = owner
		}
	}
}

// Longest object key, in bytes of UTF-8.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
const maxKey = 1024

// add adds an object, if S3 could have one of that name.
func (i *Item) add(o pipeline.Object, alt string) {
	switch {
	case o.Bucket == "":
		i.fail(errors.New("object without a bucket"))
	case o.Key == "":
		i.fail(errors.New("object without a key"))
	case len(o.Key) > maxKey:
		i.fail(fmt.Errorf("key %q is longer than %d bytes", clip(o.Key, maxQuote), maxKey))
	case !utf8.ValidString(o.Key):
		i.fail(fmt.Errorf("key %q is not UTF-8", clip(o.Key, maxQuote)))
	default:
		o.ETag = strings.Trim(o.ETag, `"`)
		o.AltKey = alt
		i.Objects = append(i.Objects, Object{Object: o})
	}
}

// size returns -1 for a size that the event did not carry.
func size(n *int64) int64 {
	if n == nil || *n < 0 {
		return -1
	}
	return *n
}

// orPosition returns id, or for a unit without one its position in the list.
func orPosition(id string, i int) string {
	if id == "" {
		return strconv.Itoa(i)
	}
	return id
}

// text returns the string in raw, or "" if it is none.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// each calls f for each element of a JSON list. It stops at the budget before
// the rest of the list takes memory.
func (p *parser) each(name string, list json.RawMessage, f func(json.RawMessage)) error {
	d := json.NewDecoder(bytes.NewReader(list))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return notKnown("%s is not a list", name)
	}
	for d.More() {
		if p.budget--; p.budget < 0 {
			return ErrTooMany
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return malformed(err)
		}
		f(v)
	}
	return nil
}

// fields returns the values of an object that tell its shape, the first keys
// in it, and how many keys there are.
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
