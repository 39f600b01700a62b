// Package sqs is a stand-in for Amazon SQS.
package sqs

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tlswatch/internal/localaws/wire"
)

// Service is a stand-in for Amazon SQS standard queues: SendMessage,
// ReceiveMessage, DeleteMessage and ChangeMessageVisibility in the awsJson1.0 protocol. Messages arrive in
// the order in which they were sent, and never twice within the visibility
// timeout; real standard queues promise neither. The limit on messages in
// flight is not enforced.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html
type Service struct {
	*wire.Endpoint
	region string
	now    func() time.Time

	mu      sync.Mutex
	queues  map[string]*queue // by name
	changed chan struct{}     // closed, and replaced, when a message may have become visible
}

// QueueOptions are the settings of a queue. All may be left out.
type QueueOptions struct {
	VisibilityTimeout time.Duration // default 30 s as on SQS
	Retention         time.Duration // default 4 days as on SQS

	// DeadLetters is the URL of the queue for messages that were received
	// MaxReceives times and not deleted; default none.
	//
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
	DeadLetters string
	MaxReceives int
}

type queue struct {
	name, arn string
	o         QueueOptions
	messages  []*queued
}

// A queued is a message in a queue.
type queued struct {
	id         string
	body       string
	attributes map[string]Attribute
	sent       time.Time
	visible    time.Time // from when it can be received
	first      time.Time // time of the first receipt, zero before it
	last       time.Time // time of the latest receipt
	receives   int
}

// An Attribute is a message attribute: a text, or bytes for the type Binary.
type Attribute struct {
	DataType    string
	StringValue string `json:",omitempty"`
	BinaryValue []byte `json:",omitempty"`
}

// A Message is a message as [Service.Messages] shows it and
// [Service.Receive] takes it.
type Message struct {
	MessageID     string
	Body          string
	Receives      int
	Visible       bool   // can be received now
	ReceiptHandle string // of the latest receipt

	attributes map[string]Attribute
	sent       time.Time
	received   time.Time // for the first time; zero if never
}

// New returns an SQS without queues.
func New(c wire.Config) *Service {
	s := &Service{region: c.Region, now: c.Now, queues: make(map[string]*queue), changed: make(chan struct{})}
	s.Endpoint = wire.NewEndpoint(wire.Protocol{
		Service:   "sqs",
		Operation: operation,
		Apply:     s.apply,
		Refuse:    writeError,
		Accesses:  s.accesses,
	}, c.Calls)
	return s
}

// CreateQueue creates a queue, unless it exists, and returns its URL. The URL is
// AWS's, but an SDK that has an endpoint for SQS sends its requests there.
func (s *Service) CreateQueue(name string, o QueueOptions) (url string) {
	o.VisibilityTimeout = cmp.Or(o.VisibilityTimeout, 30*time.Second)
	o.Retention = cmp.Or(o.Retention, 4*24*time.Hour)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[name] == nil {
		s.queues[name] = &queue{name: name, arn: "arn:aws:sqs:" + s.region + ":" + wire.AccountID + ":" + name, o: o}
	}
	return "https://sqs." + s.region + ".amazonaws.com/" + wire.AccountID + "/" + name
}

// Send sends a message as a SendMessage request does, but is not counted and
// meets no faults.
func (s *Service) Send(url, body string, attributes map[string]Attribute) (messageID string, err error) {
	m, refusal := s.send(url, body, attributes, 0)
	if refusal != nil {
		return "", fmt.Errorf("send to %s: %w", url, refusal)
	}
	return m.id, nil
}

// Messages returns all messages in a queue, those in flight too, in the order in
// which they were sent.
func (s *Service) Messages(url string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, refusal := s.queue(url)
	if refusal != nil {
		return nil
	}
	var list []Message
	for _, m := range q.messages {
		list = append(list, q.message(m, s.now()))
	}
	return list
}

func (q *queue) message(m *queued, now time.Time) Message {
	return Message{
		MessageID: m.id, Body: m.body, Receives: m.receives, Visible: !m.visible.After(now), ReceiptHandle: q.handle(m),
		attributes: m.attributes, sent: m.sent, received: m.first,
	}
}

// ARN returns the ARN of a queue by its URL, or "" if there is none.
func (s *Service) ARN(url string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, refusal := s.queue(url)
	if refusal != nil {
		return ""
	}
	return q.arn
}

// queue finds a queue by the account and name in its URL and drops the messages
// that are past their retention. The caller holds s.mu.
func (s *Service) queue(url string) (*queue, *wire.Refusal) {
	if url == "" {
		return nil, wire.BadRequest("MissingParameter", "The request must contain the parameter QueueUrl.")
	}
	rest, name := url, ""
	if i := strings.LastIndexByte(url, '/'); i >= 0 {
		rest, name = url[:i], url[i+1:]
	}
	q := s.queues[name]
	if q == nil || !strings.HasSuffix(rest, "/"+wire.AccountID) {
		return nil, wire.BadRequest("QueueDoesNotExist", "The specified queue does not exist.")
	}
	expired := s.now().Add(-q.o.Retention)
	q.messages = slices.DeleteFunc(q.messages, func(m *queued) bool { return m.sent.Before(expired) })
	return q, nil
}

// wake makes long polls check their queues again. The caller holds s.mu.
func (s *Service) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Service) send(url, body string, attributes map[string]Attribute, delay time.Duration) (*queued, *wire.Refusal) {
	if refusal := checkMessage(body, attributes); refusal != nil {
		return nil, refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, refusal := s.queue(url)
	if refusal != nil {
		return nil, refusal
	}
	now := s.now()
	m := &queued{id: wire.NewUUID(), body: body, attributes: attributes, sent: now, visible: now.Add(delay)}
	q.messages = append(q.messages, m)
	s.wake()
	return m, nil
}

// clockStep is how often a long poll checks the clock, because a test's clock may
// jump.
const clockStep = 10 * time.Millisecond

// Receive receives up to n messages as a ReceiveMessage request does, but is not
// counted and meets no faults. It waits for the first message, and returns none
// if there is none in time or no such queue.
func (s *Service) Receive(ctx context.Context, url string, n int, wait time.Duration) []Message {
	list, _ := s.receive(ctx, url, n, wait, nil)
	return list
}

// receive is Receive with the client's visibility timeout, nil for the queue's. A
// client that disconnected receives no messages.
func (s *Service) receive(ctx context.Context, url string, n int, wait time.Duration, visibility *time.Duration) ([]Message, *wire.Refusal) {
	end := time.NewTimer(wait)
	defer end.Stop()
	for {
		taken, changed, refusal := s.take(ctx, url, n, visibility)
		if refusal != nil || len(taken) > 0 || wait == 0 {
			return taken, refusal
		}
		step := time.NewTimer(clockStep)
		select {
		case <-changed:
		case <-step.C:
		case <-end.C:
			wait = 0 // check once more
		case <-ctx.Done():
			step.Stop()
			return nil, nil
		}
		step.Stop()
	}
}

// take receives messages that are visible now, and returns a channel that is
// closed when others may have become visible.
func (s *Service) take(ctx context.Context, url string, n int, visibility *time.Duration) ([]Message, <-chan struct{}, *wire.Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, refusal := s.queue(url)
	if refusal != nil {
		return nil, nil, refusal
	}
	now := s.now()
	s.bury(q, now)
	timeout := q.o.VisibilityTimeout
	if visibility != nil {
		timeout = *visibility
	}
	var taken []Message
	for _, m := range q.messages {
		if len(taken) == n || ctx.Err() != nil {
			break
		}
		if m.visible.After(now) {
			continue
		}
		m.visible = now.Add(timeout)
		if m.receives++; m.receives == 1 {
			m.first = now
		}
		m.last = now
		taken = append(taken, q.message(m, now))
	}
	return taken, s.changed, nil
}

// bury moves visible messages that were received MaxReceives times to the
// dead-letter queue. The caller holds s.mu.
func (s *Service) bury(q *queue, now time.Time) {
	if q.o.DeadLetters == "" {
		return
	}
	dead, refusal := s.queue(q.o.DeadLetters)
	if refusal != nil {
		return
	}
	q.messages = slices.DeleteFunc(q.messages, func(m *queued) bool {
		if m.receives < q.o.MaxReceives || m.visible.After(now) {
			return false
		}
		dead.messages = append(dead.messages, m)
		return true
	})
}

// handle is the receipt handle of the latest receipt: message and number of
// receipts.
func (q *queue) handle(m *queued) string {
	return base64.StdEncoding.EncodeToString([]byte(q.name + " " + m.id + " " + strconv.Itoa(m.receives)))
}

// find returns the message of a receipt handle, nil if it is deleted, and
// whether the handle is the latest receipt's.
func (q *queue) find(handle string) (m *queued, latest bool, refusal *wire.Refusal) {
	invalid := wire.BadRequest("ReceiptHandleIsInvalid", "The input receipt handle \""+handle+"\" is not a valid receipt handle.")
	raw, err := base64.StdEncoding.DecodeString(handle)
	parts := strings.Split(string(raw), " ")
	if err != nil || len(parts) != 3 || parts[0] != q.name {
		return nil, false, invalid
	}
	for _, m := range q.messages {
		if m.id == parts[1] {
			return m, strconv.Itoa(m.receives) == parts[2], nil
		}
	}
	return nil, false, nil
}

// Delete deletes a message as a DeleteMessage request does, but is not counted
// and meets no faults. As on SQS, the handle of an earlier receipt or of a
// deleted message is not an error and has no effect.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
func (s *Service) Delete(url, handle string) error {
	if refusal := s.delete(url, handle); refusal != nil {
		return fmt.Errorf("delete from %s: %w", url, refusal)
	}
	return nil
}

func (s *Service) delete(url, handle string) *wire.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, refusal := s.queue(url)
	if refusal != nil {
		return refusal
	}
	m, latest, refusal := q.find(handle)
	if refusal == nil && latest {
		q.messages = slices.DeleteFunc(q.messages, func(other *queued) bool { return other == m })
	}
	return refusal
}

// maxVisibility is the longest total time that a received message can stay
// invisible.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
const maxVisibility = 12 * time.Hour

// changeVisibility sets after how long a message in flight becomes visible again.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
func (s *Service) changeVisibility(url, handle string, visibility time.Duration) *wire.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, refusal := s.queue(url)
	if refusal != nil {
		return refusal
	}
	m, latest, refusal := q.find(handle)
	now := s.now()
	switch {
	case refusal != nil:
		return refusal
	case m == nil || !latest:
		// AWS's message for the handle of an earlier receipt
		return invalidParameter("Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", handle)
	case !m.visible.After(now):
		return wire.BadRequest("MessageNotInflight", "The specified message isn't in flight.")
	case now.Add(visibility).Sub(m.last) > maxVisibility:
		return invalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [%d seconds].", visibility/time.Second, maxVisibility/time.Second)
	}
	m.visible = now.Add(visibility)
	s.wake()
	return nil
}
