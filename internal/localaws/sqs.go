package localaws

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// SQSOptions are the settings of [NewSQS]. All may be left out.
type SQSOptions struct {
	Region string           // of queue URLs and ARNs; default us-east-1
	Now    func() time.Time // default time.Now
	Calls  *Calls           // default: counts of its own
	Faults FaultFunc        // default none
}

// SQS is a stand-in for Amazon SQS standard queues: CreateQueue, GetQueueUrl,
// GetQueueAttributes, SendMessage, ReceiveMessage, DeleteMessage and
// ChangeMessageVisibility in the awsJson1.0 protocol. Messages come in the order in
// which they were sent, which real standard queues do not promise, and a
// message is never delivered twice within its visibility timeout, which they
// do not promise either. The limit on messages in flight is not enforced.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html
type SQS struct {
	endpoint
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

	// DeadLetters is the URL of the queue that takes a message which was
	// received MaxReceives times and not deleted; default none.
	//
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
	DeadLetters string
	MaxReceives int
}

type queue struct {
	name, arn string
	created   time.Time
	o         QueueOptions
	messages  []*queued
}

// A queued is a message in a queue.
type queued struct {
	id         string
	body       string
	attributes map[string]QueueAttribute
	sent       time.Time
	visible    time.Time // when it can be received
	first      time.Time // receipt; zero before it
	last       time.Time // receipt
	receives   int
}

// A QueueAttribute is a message attribute: a text, or bytes for the type
// Binary.
type QueueAttribute struct {
	DataType    string
	StringValue string
	BinaryValue []byte
}

// A QueueMessage is a message in a queue as [SQS.Messages] shows it.
type QueueMessage struct {
	MessageID  string
	Body       string
	Attributes map[string]QueueAttribute
	Sent       time.Time
	Receives   int
	Visible    bool // can be received now
}

// NewSQS returns an SQS without queues.
func NewSQS(o SQSOptions) *SQS {
	s := &SQS{region: o.Region, now: o.Now, queues: make(map[string]*queue), changed: make(chan struct{})}
	if s.region == "" {
		s.region = defaultRegion
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.endpoint = endpoint{
		service:   "sqs",
		operation: sqsOperation,
		apply:     s.apply,
		refuse:    writeSQSError,
		accesses:  s.accesses,
		calls:     o.Calls,
		faults:    o.Faults,
	}
	if s.calls == nil {
		s.calls = new(Calls)
	}
	return s
}

// CreateQueue makes a queue, if it is not there yet, and returns its URL, which
// is that of AWS: an SDK told where SQS is sends its requests there.
func (s *SQS) CreateQueue(name string, o QueueOptions) (url string) {
	if o.VisibilityTimeout == 0 {
		o.VisibilityTimeout = defaultVisibility
	}
	if o.Retention == 0 {
		o.Retention = defaultRetention
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.create(name, o)
}

const (
	defaultVisibility = 30 * time.Second
	defaultRetention  = 4 * 24 * time.Hour
)

// create is CreateQueue for options that are complete. The caller holds s.mu.
func (s *SQS) create(name string, o QueueOptions) (url string) {
	if s.queues[name] == nil {
		s.queues[name] = &queue{name: name, arn: "arn:aws:sqs:" + s.region + ":" + accountID + ":" + name, created: s.now(), o: o}
	}
	return s.urlOf(name)
}

func (s *SQS) urlOf(name string) string {
	return "https://sqs." + s.region + ".amazonaws.com/" + accountID + "/" + name
}

// Send sends a message as a SendMessage request would, but neither counts as a
// call nor meets faults.
func (s *SQS) Send(url, body string, attributes map[string]QueueAttribute) (messageID string, err error) {
	m, refusal := s.send(url, body, attributes, 0)
	if refusal != nil {
		return "", fmt.Errorf("send to %s: %w", url, refusal)
	}
	return m.id, nil
}

// Messages returns the messages in a queue in the order in which they were
// sent, those in flight too.
func (s *SQS) Messages(url string) []QueueMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, refusal := s.queue(url)
	if refusal != nil {
		return nil
	}
	var list []QueueMessage
	for _, m := range q.messages {
		list = append(list, QueueMessage{m.id, m.body, m.attributes, m.sent, m.receives, !m.visible.After(s.now())})
	}
	return list
}

// queue finds a queue by its URL, of which only the account and the name count,
// and drops what has passed its retention. The caller holds s.mu.
func (s *SQS) queue(url string) (*queue, *apiError) {
	if url == "" {
		return nil, &apiError{http.StatusBadRequest, "MissingParameter", "The request must contain the parameter QueueUrl."}
	}
	rest, name := url, ""
	if i := strings.LastIndexByte(url, '/'); i >= 0 {
		rest, name = url[:i], url[i+1:]
	}
	q := s.queues[name]
	if q == nil || !strings.HasSuffix(rest, "/"+accountID) {
		return nil, &apiError{http.StatusBadRequest, "QueueDoesNotExist", "The specified queue does not exist."}
	}
	expired := s.now().Add(-q.o.Retention)
	q.messages = slices.DeleteFunc(q.messages, func(m *queued) bool { return m.sent.Before(expired) })
	return q, nil
}

// wake has long polls look at their queues again. The caller holds s.mu.
func (s *SQS) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *SQS) send(url, body string, attributes map[string]QueueAttribute, delay time.Duration) (*queued, *apiError) {
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
	m := &queued{id: newUUID(), body: body, attributes: attributes, sent: now, visible: now.Add(delay)}
	q.messages = append(q.messages, m)
	s.wake()
	return m, nil
}

// clockStep is how often a long poll looks at the clock, which may be a test's
// and jump.
const clockStep = 10 * time.Millisecond

// receive takes up to n messages out of view, after waiting for the first one
// if need be. A client that went away takes none.
func (s *SQS) receive(ctx context.Context, url string, n int, wait time.Duration, visibility *time.Duration) ([]*queued, *apiError) {
	end := time.NewTimer(wait)
	defer end.Stop()
	for {
		s.mu.Lock()
		q, refusal := s.queue(url)
		if refusal != nil {
			s.mu.Unlock()
			return nil, refusal
		}
		now := s.now()
		s.bury(q, now)
		var taken []*queued
		for _, m := range q.messages {
			if len(taken) == n || ctx.Err() != nil {
				break
			}
			if m.visible.After(now) {
				continue
			}
			m.visible = now.Add(q.o.VisibilityTimeout)
			if visibility != nil {
				m.visible = now.Add(*visibility)
			}
			if m.receives++; m.receives == 1 {
				m.first = now
			}
			m.last = now
			clone := *m
			taken = append(taken, &clone)
		}
		changed := s.changed
		s.mu.Unlock()
		if len(taken) > 0 || wait == 0 {
			return taken, nil
		}
		step := time.NewTimer(clockStep)
		select {
		case <-changed:
		case <-step.C:
		case <-end.C:
			wait = 0 // one last look
		case <-ctx.Done():
			step.Stop()
			return nil, nil
		}
		step.Stop()
	}
}

// bury moves the messages of a queue that were received often enough, and are
// visible again, to its dead-letter queue. The caller holds s.mu.
func (s *SQS) bury(q *queue, now time.Time) {
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

// A receipt handle names the message and the receipt.
func (q *queue) handle(m *queued) string {
	return base64.StdEncoding.EncodeToString([]byte(q.name + " " + m.id + " " + strconv.Itoa(m.receives)))
}

// find returns the message of a receipt handle, nil if it is deleted, and
// whether the handle is that of the latest receipt.
func (q *queue) find(handle string) (m *queued, latest bool, refusal *apiError) {
	invalid := &apiError{http.StatusBadRequest, "ReceiptHandleIsInvalid", "The input receipt handle \"" + handle + "\" is not a valid receipt handle."}
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

// delete removes a message. As on SQS the handle of an earlier receipt, or of
// a message already gone, is no error and has no effect.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
func (s *SQS) delete(url, handle string) *apiError {
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

// maxVisibility is the longest that a message can be out of view, in all,
// after it was received.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
const maxVisibility = 12 * time.Hour

// changeVisibility sets when a message in flight comes back, from now on.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
func (s *SQS) changeVisibility(url, handle string, visibility time.Duration) *apiError {
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
		// AWS's message for a handle that has been overtaken.
		return invalidParameter("Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", handle)
	case !m.visible.After(now):
		return &apiError{http.StatusBadRequest, "MessageNotInflight", "The specified message isn't in flight."}
	case now.Add(visibility).Sub(m.last) > maxVisibility:
		return invalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [%d seconds].", visibility/time.Second, maxVisibility/time.Second)
	}
	m.visible = now.Add(visibility)
	s.wake()
	return nil
}
