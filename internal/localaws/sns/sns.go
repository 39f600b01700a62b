// Package sns is a stand-in for Amazon SNS.
package sns

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"tlswatch/internal/localaws/wire"
)

// Service is a stand-in for Amazon SNS standard topics: Publish in the AWS query
// protocol. It enforces the rules for messages and keeps them; there are no
// subscriptions.
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
			"Publish": s.publish,
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
	m, refusal := parseMessage(form)
	if refusal != nil {
		return nil, refusal
	}
	m.TopicARN = topic
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	return struct {
		XMLName   xml.Name `xml:"PublishResult"`
		MessageID string   `xml:"MessageId"`
	}{MessageID: wire.NewUUID()}, nil
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

func accesses(r *http.Request, operation string) []wire.Access {
	return []wire.Access{{Action: "sns:" + operation, Resource: wire.Form(r).Get("TopicArn")}}
}
