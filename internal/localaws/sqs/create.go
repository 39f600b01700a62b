package sqs

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/localaws/wire"
)

// queueName matches the valid names of a standard queue.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

type queueURLOutput struct {
	QueueURL string `json:"QueueUrl"`
}

// createQueue handles CreateQueue. It is no error if the queue exists and has the
// attributes that the request names.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
func (s *Service) createQueue(in input) (any, *wire.Refusal) {
	if !queueName.MatchString(in.QueueName) {
		return nil, invalidParameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := QueueOptions{VisibilityTimeout: defaultVisibility, Retention: defaultRetention}
	q := s.queues[in.QueueName]
	if q != nil {
		before = q.o
	}
	o := before
	for name, value := range in.Attributes {
		if refusal := s.setAttribute(&o, name, value); refusal != nil {
			return nil, refusal
		}
	}
	if q != nil && o != before {
		return nil, wire.BadRequest("QueueNameExists", "A queue already exists with the same name and a different value for attributes.")
	}
	return queueURLOutput{s.create(in.QueueName, o)}, nil
}

// setAttribute sets an attribute of a queue. An attribute that the stand-in does
// not implement accepts only its default value. The caller holds s.mu.
func (s *Service) setAttribute(o *QueueOptions, name, value string) *wire.Refusal {
	invalid := wire.BadRequest("InvalidAttributeValue", "Invalid value for the parameter "+name+".")
	number := func(set *time.Duration, least, most int) *wire.Refusal {
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return invalid
		}
		*set = seconds(n)
		return nil
	}
	only := func(is string) *wire.Refusal {
		if value != is {
			return wire.BadRequest("InvalidAttributeValue", "The stand-in accepts no "+name+" but "+strconv.Quote(is)+".")
		}
		return nil
	}
	switch name {
	case "VisibilityTimeout":
		return number(&o.VisibilityTimeout, 0, int(maxVisibility/time.Second))
	case "MessageRetentionPeriod":
		return number(&o.Retention, 60, 14*24*60*60)
	case "RedrivePolicy":
		var policy struct {
			Target      string      `json:"deadLetterTargetArn"`
			MaxReceives json.Number `json:"maxReceiveCount"` // a number or a string
		}
		if err := json.Unmarshal([]byte(value), &policy); err != nil {
			return invalid
		}
		n, err := strconv.Atoi(policy.MaxReceives.String())
		dead := s.queues[policy.Target[strings.LastIndexByte(policy.Target, ':')+1:]]
		switch {
		case err != nil || n < 1 || n > 1000:
			return invalidParameter("Value %s for parameter RedrivePolicy is invalid. Reason: Invalid value for maxReceiveCount: %s, valid values are from 1 to 1000 both inclusive.", value, policy.MaxReceives)
		case dead == nil || dead.arn != policy.Target:
			return invalidParameter("Value %s for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist.", value)
		}
		o.DeadLetters, o.MaxReceives = s.urlOf(dead.name), n
		return nil
	case "DelaySeconds", "ReceiveMessageWaitTimeSeconds":
		return only("0")
	case "MaximumMessageSize":
		return only(strconv.Itoa(maxMessage))
	case "SqsManagedSseEnabled":
		return only("true")
	case "Policy":
		return nil // not enforced
	}
	return unknownAttribute(name)
}

// queueURL handles GetQueueUrl.
//
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueUrl.html
func (s *Service) queueURL(in input) (any, *wire.Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[in.QueueName] == nil || in.QueueOwner != "" && in.QueueOwner != wire.AccountID {
		return nil, wire.BadRequest("QueueDoesNotExist", "The specified queue does not exist.")
	}
	return queueURLOutput{s.urlOf(in.QueueName)}, nil
}
