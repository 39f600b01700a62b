package sqs

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tlswatch/internal/localaws/wire"
)

const target = "AmazonSQS."

// operation names the operation of a request, or returns "Unknown".
func operation(r *http.Request) string {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), target)
	switch name {
	case "SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility":
		if ok {
			return name
		}
	}
	return "Unknown"
}

// An input has the members of all operations' inputs.
type input struct {
	QueueURL                    string `json:"QueueUrl"`
	MessageBody                 *string
	MessageAttributes           map[string]Attribute
	DelaySeconds                int
	MaxNumberOfMessages         *int
	WaitTimeSeconds             int
	VisibilityTimeout           *int
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	ReceiptHandle               string
}

// apply answers a request.
func (s *Service) apply(w http.ResponseWriter, r *http.Request) {
	name := operation(r)
	if name == "Unknown" || r.Method != http.MethodPost {
		writeError(w, r, wire.UnknownOperation())
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, wire.MaxBody))
	var in input
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err != nil {
		writeError(w, r, wire.Malformed("json: %v", err))
		return
	}
	out, refusal := s.perform(r, name, in)
	if refusal != nil {
		writeError(w, r, refusal)
		return
	}
	wire.WriteJSON(w, http.StatusOK, out)
}

// perform performs an operation and returns its output, or nil if the operation
// has none.
func (s *Service) perform(r *http.Request, name string, in input) (out any, refusal *wire.Refusal) {
	switch name {
	case "SendMessage":
		return s.sendMessage(in)
	case "ReceiveMessage":
		return s.receiveMessage(r, in)
	case "DeleteMessage":
		return nil, s.delete(in.QueueURL, in.ReceiptHandle)
	default: // ChangeMessageVisibility
		if in.VisibilityTimeout == nil {
			return nil, wire.BadRequest("MissingParameter", "The request must contain the parameter VisibilityTimeout.")
		}
		if refusal := checkSeconds("VisibilityTimeout", *in.VisibilityTimeout, maxVisibility); refusal != nil {
			return nil, refusal
		}
		return nil, s.changeVisibility(in.QueueURL, in.ReceiptHandle, seconds(*in.VisibilityTimeout))
	}
}

func (s *Service) accesses(r *http.Request, operation string) []wire.Access {
	var in input
	json.Unmarshal(wire.PeekBody(r, wire.MaxBody), &in) // apply refuses an invalid body
	_, name, _ := strings.Cut(in.QueueURL, "/"+wire.AccountID+"/")
	return []wire.Access{{Action: "sqs:" + operation, Resource: "arn:aws:sqs:" + s.region + ":" + wire.AccountID + ":" + name}}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func checkSeconds(name string, n int, most time.Duration) *wire.Refusal {
	if n < 0 || n > int(most/time.Second) {
		return invalidParameter("Value %d for parameter %s is invalid. Reason: Must be >= 0 and <= %d, if provided.", n, name, most/time.Second)
	}
	return nil
}

func invalidParameter(format string, args ...any) *wire.Refusal {
	return wire.BadRequest("InvalidParameterValue", fmt.Sprintf(format, args...))
}

func unknownAttribute(name string) *wire.Refusal {
	return wire.BadRequest("InvalidAttributeName", "Unknown Attribute "+name+".")
}

// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func (s *Service) sendMessage(in input) (any, *wire.Refusal) {
	if in.MessageBody == nil {
		return nil, wire.BadRequest("MissingParameter", "The request must contain the parameter MessageBody.")
	}
	if refusal := checkSeconds("DelaySeconds", in.DelaySeconds, 15*time.Minute); refusal != nil {
		return nil, refusal
	}
	m, refusal := s.send(in.QueueURL, *in.MessageBody, in.MessageAttributes, seconds(in.DelaySeconds))
	if refusal != nil {
		return nil, refusal
	}
	return struct {
		MessageID              string `json:"MessageId"`
		MD5OfMessageBody       string
		MD5OfMessageAttributes string `json:",omitempty"`
	}{m.id, md5Hex(m.body), md5OfAttributes(m.attributes)}, nil
}

// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
func (s *Service) receiveMessage(r *http.Request, in input) (any, *wire.Refusal) {
	n := 1
	if in.MaxNumberOfMessages != nil {
		n = *in.MaxNumberOfMessages
	}
	if n < 1 || n > 10 {
		return nil, invalidParameter("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", n)
	}
	if refusal := checkSeconds("WaitTimeSeconds", in.WaitTimeSeconds, 20*time.Second); refusal != nil {
		return nil, refusal
	}
	var visibility *time.Duration
	if in.VisibilityTimeout != nil {
		if refusal := checkSeconds("VisibilityTimeout", *in.VisibilityTimeout, maxVisibility); refusal != nil {
			return nil, refusal
		}
		d := seconds(*in.VisibilityTimeout)
		visibility = &d
	}
	for _, name := range in.systemAttributes() {
		if !slices.Contains(messageSystemAttributes, name) {
			return nil, unknownAttribute(name)
		}
	}
	taken, refusal := s.receive(r.Context(), in.QueueURL, n, seconds(in.WaitTimeSeconds), visibility)
	if refusal != nil {
		return nil, refusal
	}
	var out struct {
		Messages []messageOutput `json:",omitempty"`
	}
	for _, m := range taken {
		out.Messages = append(out.Messages, in.messageOutput(m))
	}
	return out, nil
}

type messageOutput struct {
	MessageID              string `json:"MessageId"`
	ReceiptHandle          string
	MD5OfBody              string
	Body                   string
	Attributes             map[string]string    `json:",omitempty"`
	MD5OfMessageAttributes string               `json:",omitempty"`
	MessageAttributes      map[string]Attribute `json:",omitempty"`
}

// systemAttributes are the names from both parameters for them, the older
// AttributeNames and MessageSystemAttributeNames.
func (in input) systemAttributes() []string {
	return slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames)
}

// messageOutput is a message with the attributes that a request asks for.
func (in input) messageOutput(m Message) messageOutput {
	out := messageOutput{
		MessageID: m.MessageID, ReceiptHandle: m.ReceiptHandle, MD5OfBody: m.MD5OfBody(), Body: m.Body,
		Attributes: make(map[string]string), MessageAttributes: make(map[string]Attribute),
	}
	system := in.systemAttributes()
	for name, value := range m.SystemAttributes() {
		if slices.Contains(system, "All") || slices.Contains(system, name) {
			out.Attributes[name] = value
		}
	}
	for name, a := range m.attributes {
		if wantsAttribute(in.MessageAttributeNames, name) {
			out.MessageAttributes[name] = a
		}
	}
	out.MD5OfMessageAttributes = md5OfAttributes(out.MessageAttributes)
	return out
}

// MD5OfBody is the digest of the body, in hex.
func (m Message) MD5OfBody() string { return md5Hex(m.Body) }

// SystemAttributes are the attributes that SQS itself gives a message.
func (m Message) SystemAttributes() map[string]string {
	return map[string]string{
		"SenderId":                         wire.AccountID,
		"SentTimestamp":                    strconv.FormatInt(m.sent.UnixMilli(), 10),
		"ApproximateReceiveCount":          strconv.Itoa(m.Receives),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.received.UnixMilli(), 10),
	}
}

// messageSystemAttributes are the names that a receiver may ask for. No message
// here has those for FIFO queues and tracing.
var messageSystemAttributes = []string{"All", "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp",
	"SequenceNumber", "MessageDeduplicationId", "MessageGroupId", "AWSTraceHeader", "DeadLetterQueueSourceArn"}

// wantsAttribute reports whether a request names an attribute: by its name, by a
// prefix as in "bar.*", or by "All" or ".*".
func wantsAttribute(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		prefix, ok := strings.CutSuffix(n, ".*")
		return n == "All" || n == name || ok && (prefix == "" || strings.HasPrefix(name, prefix+"."))
	})
}

// Limits of a message.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	maxMessage    = 1 << 20 // bytes, attributes included
	maxAttributes = 10
)

// checkMessage enforces the rules for a message.
func checkMessage(body string, attributes map[string]Attribute) *wire.Refusal {
	if body == "" {
		return invalidParameter("The message body must not be empty.") // at least one character
	}
	if !utf8.ValidString(body) || strings.ContainsFunc(body, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
	}) {
		return wire.BadRequest("InvalidMessageContents", "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.")
	}
	if len(attributes) > maxAttributes {
		return invalidParameter("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(attributes), maxAttributes)
	}
	size := len(body)
	for name, a := range attributes {
		if problem := wire.AttributeNameProblem(name); problem != "" {
			return invalidParameter("%s", problem)
		}
		kind, _, _ := strings.Cut(a.DataType, ".") // senders may add a suffix: "Number.int"
		empty := a.StringValue == ""
		switch kind {
		case "Number":
			if !empty && !wire.IsNumber(a.StringValue) {
				return invalidParameter("Can't cast the value of message (user) attribute '%s' to a number.", name)
			}
		case "Binary":
			empty = len(a.BinaryValue) == 0
		case "String":
		default:
			return invalidParameter("The message (user) attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", name)
		}
		if empty || a.StringValue != "" && len(a.BinaryValue) > 0 {
			return invalidParameter("The message (user) attribute '%s' must contain exactly one non-empty value of its type.", name)
		}
		size += len(name) + len(a.DataType) + len(a.StringValue) + len(a.BinaryValue)
	}
	if size > maxMessage {
		return invalidParameter("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", maxMessage)
	}
	return nil
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// md5OfAttributes is the digest of attributes in the order of their names, or
// "" if there are none.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html#sqs-attributes-md5-message-digest-calculation
func md5OfAttributes(attributes map[string]Attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	var b []byte
	add := func(s string) { b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...) }
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		add(name)
		add(a.DataType)
		if strings.HasPrefix(a.DataType, "Binary") {
			b = append(b, 2)
			add(string(a.BinaryValue))
		} else {
			b = append(b, 1)
			add(a.StringValue)
		}
	}
	return md5Hex(string(b))
}

// writeError replies with an error that is AWS Query compatible: the name of the
// shape is in __type, and the code that SDKs report is in a header.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
func writeError(w http.ResponseWriter, _ *http.Request, e *wire.Refusal) {
	code := map[string]string{
		"QueueDoesNotExist":  "AWS.SimpleQueueService.NonExistentQueue",
		"QueueNameExists":    "QueueAlreadyExists",
		"MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
	}[e.Code]
	w.Header().Set("X-Amzn-Query-Error", cmp.Or(code, e.Code)+";"+e.Blame())
	wire.WriteJSON(w, e.Status, map[string]string{"__type": "com.amazonaws.sqs#" + e.Code, "message": e.Message})
}
