package localaws

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
)

const sqsTarget = "AmazonSQS."

// sqsOperation names the operation of a request, or returns "Unknown".
func sqsOperation(r *http.Request) string {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), sqsTarget)
	switch name {
	case "CreateQueue", "GetQueueUrl", "GetQueueAttributes", "SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility":
		if ok {
			return name
		}
	}
	return "Unknown"
}

// sqsInput has the members of all inputs.
type sqsInput struct {
	QueueURL                    string `json:"QueueUrl"`
	QueueName                   string
	QueueOwner                  string `json:"QueueOwnerAWSAccountId"`
	Attributes                  map[string]string
	MessageBody                 *string
	MessageAttributes           map[string]sqsAttribute
	DelaySeconds                int
	MaxNumberOfMessages         *int
	WaitTimeSeconds             int
	VisibilityTimeout           *int
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	ReceiptHandle               string
}

type sqsAttribute struct {
	DataType    string
	StringValue string `json:",omitempty"`
	BinaryValue []byte `json:",omitempty"`
}

// apply answers a request.
func (s *SQS) apply(w http.ResponseWriter, r *http.Request) {
	operation := sqsOperation(r)
	if operation == "Unknown" || r.Method != http.MethodPost {
		writeSQSError(w, r, &apiError{http.StatusNotFound, "UnknownOperationException", "The operation is not known to this stand-in."})
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm))
	var in sqsInput
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err != nil {
		writeSQSError(w, r, serializationError("json: %v", err))
		return
	}
	var out any
	var refusal *apiError
	switch operation {
	case "CreateQueue":
		out, refusal = s.createQueue(in)
	case "GetQueueUrl":
		out, refusal = s.queueURL(in)
	case "SendMessage":
		out, refusal = s.sendMessage(in)
	case "ReceiveMessage":
		out, refusal = s.receiveMessage(r, in)
	case "DeleteMessage":
		refusal = s.delete(in.QueueURL, in.ReceiptHandle)
	case "ChangeMessageVisibility":
		if in.VisibilityTimeout == nil {
			refusal = &apiError{http.StatusBadRequest, "MissingParameter", "The request must contain the parameter VisibilityTimeout."}
		} else if refusal = checkSeconds("VisibilityTimeout", *in.VisibilityTimeout, 43200); refusal == nil {
			refusal = s.changeVisibility(in.QueueURL, in.ReceiptHandle, seconds(*in.VisibilityTimeout))
		}
	case "GetQueueAttributes":
		out, refusal = s.queueAttributes(in)
	}
	if refusal != nil {
		writeSQSError(w, r, refusal)
		return
	}
	if out == nil { // an operation without output has an empty body
		w.Header().Set("X-Amzn-Requestid", newUUID())
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		return
	}
	writeSQS(w, http.StatusOK, out)
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func checkSeconds(name string, n, most int) *apiError {
	if n < 0 || n > most {
		return invalidParameter("Value %d for parameter %s is invalid. Reason: Must be >= 0 and <= %d, if provided.", n, name, most)
	}
	return nil
}

func invalidParameter(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "InvalidParameterValue", fmt.Sprintf(format, args...)}
}

// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func (s *SQS) sendMessage(in sqsInput) (any, *apiError) {
	if in.MessageBody == nil {
		return nil, &apiError{http.StatusBadRequest, "MissingParameter", "The request must contain the parameter MessageBody."}
	}
	if refusal := checkSeconds("DelaySeconds", in.DelaySeconds, 900); refusal != nil {
		return nil, refusal
	}
	attributes := make(map[string]QueueAttribute)
	for name, a := range in.MessageAttributes {
		attributes[name] = QueueAttribute(a)
	}
	m, refusal := s.send(in.QueueURL, *in.MessageBody, attributes, seconds(in.DelaySeconds))
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
func (s *SQS) receiveMessage(r *http.Request, in sqsInput) (any, *apiError) {
	n := 1
	if in.MaxNumberOfMessages != nil {
		n = *in.MaxNumberOfMessages
	}
	if n < 1 || n > 10 {
		return nil, invalidParameter("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", n)
	}
	if refusal := checkSeconds("WaitTimeSeconds", in.WaitTimeSeconds, 20); refusal != nil {
		return nil, refusal
	}
	var visibility *time.Duration
	if in.VisibilityTimeout != nil {
		if refusal := checkSeconds("VisibilityTimeout", *in.VisibilityTimeout, 43200); refusal != nil {
			return nil, refusal
		}
		d := seconds(*in.VisibilityTimeout)
		visibility = &d
	}
	system := slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames)
	for _, name := range system {
		if !slices.Contains(messageSystemAttributes, name) {
			return nil, &apiError{http.StatusBadRequest, "InvalidAttributeName", "Unknown Attribute " + name + "."}
		}
	}
	taken, refusal := s.receive(r.Context(), in.QueueURL, n, seconds(in.WaitTimeSeconds), visibility)
	if refusal != nil {
		return nil, refusal
	}
	type message struct {
		MessageID              string `json:"MessageId"`
		ReceiptHandle          string
		MD5OfBody              string
		Body                   string
		Attributes             map[string]string       `json:",omitempty"`
		MD5OfMessageAttributes string                  `json:",omitempty"`
		MessageAttributes      map[string]sqsAttribute `json:",omitempty"`
	}
	var out struct {
		Messages []message `json:",omitempty"`
	}
	s.mu.Lock()
	q, refusal := s.queue(in.QueueURL)
	s.mu.Unlock()
	if refusal != nil {
		return nil, refusal
	}
	for _, m := range taken {
		x := message{MessageID: m.id, ReceiptHandle: q.handle(m), MD5OfBody: md5Hex(m.body), Body: m.body, Attributes: make(map[string]string)}
		for name, value := range map[string]string{
			"SenderId":                         accountID,
			"SentTimestamp":                    strconv.FormatInt(m.sent.UnixMilli(), 10),
			"ApproximateReceiveCount":          strconv.Itoa(m.receives),
			"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.first.UnixMilli(), 10),
		} {
			if slices.Contains(system, "All") || slices.Contains(system, name) {
				x.Attributes[name] = value
			}
		}
		wanted := make(map[string]QueueAttribute)
		for name, a := range m.attributes {
			if wantsAttribute(in.MessageAttributeNames, name) {
				wanted[name] = a
			}
		}
		x.MD5OfMessageAttributes = md5OfAttributes(wanted)
		x.MessageAttributes = make(map[string]sqsAttribute)
		for name, a := range wanted {
			x.MessageAttributes[name] = sqsAttribute(a)
		}
		out.Messages = append(out.Messages, x)
	}
	return out, nil
}

// messageSystemAttributes are what a receiver may ask for; those of FIFO
// queues and of tracing are never there.
var messageSystemAttributes = []string{"All", "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp",
	"SequenceNumber", "MessageDeduplicationId", "MessageGroupId", "AWSTraceHeader", "DeadLetterQueueSourceArn"}

// wantsAttribute reports whether an attribute is asked for: by name, by a
// prefix as in "bar.*", or all by "All" or ".*".
func wantsAttribute(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		prefix, ok := strings.CutSuffix(n, ".*")
		return n == "All" || n == name || ok && (prefix == "" || strings.HasPrefix(name, prefix+"."))
	})
}

// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
func (s *SQS) queueAttributes(in sqsInput) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, refusal := s.queue(in.QueueURL)
	if refusal != nil {
		return nil, refusal
	}
	now := s.now()
	var visible, inFlight, delayed int
	for _, m := range q.messages {
		switch {
		case !m.visible.After(now):
			visible++
		case m.receives > 0:
			inFlight++
		default:
			delayed++
		}
	}
	all := map[string]string{
		"ApproximateNumberOfMessages":           strconv.Itoa(visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(inFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(delayed),
		"CreatedTimestamp":                      strconv.FormatInt(q.created.Unix(), 10),
		"LastModifiedTimestamp":                 strconv.FormatInt(q.created.Unix(), 10),
		"DelaySeconds":                          "0",
		"MaximumMessageSize":                    strconv.Itoa(maxQueueMessage),
		"MessageRetentionPeriod":                strconv.Itoa(int(q.o.Retention / time.Second)),
		"QueueArn":                              q.arn,
		"ReceiveMessageWaitTimeSeconds":         "0",
		"SqsManagedSseEnabled":                  "true",
		"VisibilityTimeout":                     strconv.Itoa(int(q.o.VisibilityTimeout / time.Second)),
	}
	chosen := make(map[string]string)
	for _, name := range in.AttributeNames {
		value, ok := all[name]
		switch {
		case name == "All":
			maps.Copy(chosen, all)
		case !ok:
			return nil, &apiError{http.StatusBadRequest, "InvalidAttributeName", "Unknown Attribute " + name + "."}
		default:
			chosen[name] = value
		}
	}
	return struct {
		Attributes map[string]string `json:",omitempty"`
	}{chosen}, nil
}

// Limits of a message.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	maxQueueMessage    = 1 << 20 // bytes, attributes included
	maxQueueAttributes = 10
)

// checkMessage enforces the rules for a message.
func checkMessage(body string, attributes map[string]QueueAttribute) *apiError {
	if body == "" {
		return invalidParameter("The message body must not be empty.") // at least one character
	}
	if !utf8.ValidString(body) || strings.ContainsFunc(body, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
	}) {
		return &apiError{http.StatusBadRequest, "InvalidMessageContents", "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF."}
	}
	if len(attributes) > maxQueueAttributes {
		return invalidParameter("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(attributes), maxQueueAttributes)
	}
	size := len(body)
	for name, a := range attributes {
		if refusal := checkAttributeName(name); refusal != nil { // the rules are those of SNS
			return invalidParameter("%s", refusal.message)
		}
		kind, _, _ := strings.Cut(a.DataType, ".") // a suffix is the sender's own: "Number.int"
		empty := a.StringValue == ""
		switch kind {
		case "Number":
			if !empty && !validNumber(a.StringValue) {
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
	if size > maxQueueMessage {
		return invalidParameter("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", maxQueueMessage)
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
func md5OfAttributes(attributes map[string]QueueAttribute) string {
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

func writeSQS(w http.ResponseWriter, status int, doc any) {
	body, err := json.Marshal(doc)
	if err != nil {
		panic(err) // structures of strings: cannot happen
	}
	w.Header().Set("X-Amzn-Requestid", newUUID())
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	w.Write(body)
}

// writeSQSError answers with an error that is AWS Query compatible: the
// shape's name in __type, and in a header the code that SDKs report.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
func writeSQSError(w http.ResponseWriter, _ *http.Request, e *apiError) {
	code := map[string]string{
		"QueueDoesNotExist":  "AWS.SimpleQueueService.NonExistentQueue",
		"QueueNameExists":    "QueueAlreadyExists",
		"MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
	}[e.code]
	w.Header().Set("X-Amzn-Query-Error", cmp.Or(code, e.code)+";"+e.blame())
	writeSQS(w, e.status, map[string]string{"__type": "com.amazonaws.sqs#" + e.code, "message": e.message})
}
