// Package sns is a stand-in for Amazon SNS.
package sns

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"tlswatch/internal/localaws/wire"
)

// Service is a stand-in for Amazon SNS standard topics: Publish, PublishBatch
// and CreateTopic in the AWS query protocol. It enforces the rules for messages
// and keeps them; there are no subscriptions.
//
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
type Service struct {
	*wire.Endpoint
	region string

	mu       sync.Mutex
	topics   map[string]bool
	messages []Message
}

// A Message is a published message.
type Message struct {
	TopicARN  string
	Subject   string
	Structure string // "json" if Messages has a text per protocol

	// Messages are the texts by protocol; without a structure, only "default".
	// As on SNS, unknown protocols and values that are not strings are ignored.
	Messages map[string]string

	Attributes map[string]string // Binary in base64
}

// Text is the text that subscribers with a protocol receive.
func (m Message) Text(protocol string) string {
	if text, ok := m.Messages[protocol]; ok {
		return text
	}
	return m.Messages["default"]
}

// New returns an SNS without topics.
func New(c wire.Config) *Service {
	s := &Service{region: c.Region, topics: make(map[string]bool)}
	query := wire.Query{
		Namespace: "http://sns.amazonaws.com/doc/2010-03-31/",
		Actions: map[string]func(url.Values) (any, *wire.Refusal){
			"Publish": s.publish, "PublishBatch": s.publishBatch, "CreateTopic": s.createTopic,
		},
	}
	s.Endpoint = wire.NewEndpoint(wire.Protocol{
		Service:   "sns",
		Operation: query.Operation,
		Apply:     query.Apply,
		Refuse:    query.Refuse,
		Accesses:  accesses,
	}, c.Calls)
	return s
}

// CreateTopic creates a topic, unless it exists, and returns its ARN.
func (s *Service) CreateTopic(name string) string {
	arn := "arn:aws:sns:" + s.region + ":" + wire.AccountID + ":" + name
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topics[arn] = true
	return arn
}

// Messages returns all published messages, in order.
func (s *Service) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// publish handles Publish.
//
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
func (s *Service) publish(form url.Values) (any, *wire.Refusal) {
	topic, refusal := s.topic(form)
	if refusal != nil {
		return nil, refusal
	}
	m, size, refusal := parseMessage(form, "")
	if refusal == nil && size > maxMessage {
		refusal = badParameter("Message too long")
	}
	if refusal != nil {
		return nil, refusal
	}
	return struct {
		XMLName   xml.Name `xml:"PublishResult"`
		MessageID string   `xml:"MessageId"`
	}{MessageID: s.keep(topic, m)}, nil
}

// keep stores a valid message and returns its id.
func (s *Service) keep(topic string, m Message) string {
	m.TopicARN = topic
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	return wire.NewUUID()
}

// topic returns the topic that a request names.
func (s *Service) topic(form url.Values) (string, *wire.Refusal) {
	arn := form.Get("TopicArn")
	if arn == "" {
		arn = form.Get("TargetArn")
	}
	switch {
	case arn == "":
		return "", badParameter("TopicArn or TargetArn Reason: no value for required parameter")
	case strings.Count(arn, ":") != 5 || !strings.HasPrefix(arn, "arn:"):
		return "", badParameter("TopicArn Reason: An ARN must have at least 6 elements, not %q", arn)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.topics[arn] {
		return "", wire.NewRefusal(http.StatusNotFound, "NotFound", "Topic does not exist")
	}
	return arn, nil
}

// publishBatch handles PublishBatch: at most 10 entries, together no longer than
// a message may be. Each entry succeeds or fails by itself.
//
// https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
func (s *Service) publishBatch(form url.Values) (any, *wire.Refusal) {
	topic, refusal := s.topic(form)
	if refusal != nil {
		return nil, refusal
	}
	type success struct {
		ID        string `xml:"Id"`
		MessageID string `xml:"MessageId"`
	}
	type failure struct {
		ID          string `xml:"Id"`
		Code        string
		Message     string
		SenderFault bool
	}
	type entry struct {
		id      string
		message Message
		refusal *wire.Refusal
	}
	var entries []entry
	total := 0
	ids := make(map[string]bool)
	for i := 1; ; i++ {
		prefix := fmt.Sprintf("PublishBatchRequestEntries.member.%d.", i)
		id := form.Get(prefix + "Id")
		if id == "" && !form.Has(prefix+"Message") {
			break
		}
		switch {
		case !wire.IsName(id, maxBatchID):
			return nil, wire.BadRequest("InvalidBatchEntryId", "The Id of a batch entry in a batch request doesn't abide by the specification.")
		case ids[id]:
			return nil, wire.BadRequest("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
		}
		ids[id] = true
		m, size, refusal := parseMessage(form, prefix)
		total += size
		entries = append(entries, entry{id, m, refusal})
	}
	switch {
	case len(entries) == 0:
		return nil, wire.BadRequest("EmptyBatchRequest", "The batch request doesn't contain any entries.")
	case len(entries) > maxBatch:
		return nil, wire.BadRequest("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.")
	case total > maxMessage:
		return nil, wire.BadRequest("BatchRequestTooLong", "The length of all the batch messages put together is more than the limit.")
	}
	result := struct {
		XMLName    xml.Name  `xml:"PublishBatchResult"`
		Successful []success `xml:"Successful>member"`
		Failed     []failure `xml:"Failed>member"`
	}{}
	for _, e := range entries {
		if e.refusal != nil {
			result.Failed = append(result.Failed, failure{e.id, e.refusal.Code, e.refusal.Message, true})
			continue
		}
		result.Successful = append(result.Successful, success{e.id, s.keep(topic, e.message)})
	}
	return result, nil
}

func (s *Service) createTopic(form url.Values) (any, *wire.Refusal) {
	name := form.Get("Name")
	if !wire.IsName(name, maxTopicName) {
		return nil, badParameter("Topic Name")
	}
	return struct {
		XMLName  xml.Name `xml:"CreateTopicResult"`
		TopicARN string   `xml:"TopicArn"`
	}{TopicARN: s.CreateTopic(name)}, nil
}

func accesses(r *http.Request, operation string) []wire.Access {
	a := wire.Access{Action: "sns:" + operation, Resource: wire.Form(r).Get("TopicArn")}
	if operation == "PublishBatch" {
		a.Action = "sns:Publish"
	}
	return []wire.Access{a}
}
