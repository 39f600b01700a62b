// Package snssink publishes alerts to an Amazon SNS topic.
package snssink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"

	"tlswatch/internal/accepted"
	"tlswatch/pkg/notice"
	"tlswatch/pkg/pipeline"
)

// An API is what Sink needs of *sns.Client.
type API interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Sink is a [pipeline.AlertSink].
type Sink struct {
	Client   API
	TopicARN string
}

var _ pipeline.AlertSink = Sink{}

// Publish sends one message with a text for each protocol. If a reply leaves open
// whether SNS accepted the message, the SDK sends it again, because an alert that
// arrives twice is better than none; twice reports whether that may have happened.
// The error is [pipeline.ErrNothingSent] if SNS certainly accepted no message.
func (s Sink) Publish(ctx context.Context, m notice.Message) (twice bool, err error) {
	texts, err := json.Marshal(m.Texts)
	if err != nil {
		return false, fmt.Errorf("%w: encoding the message for topic %s: %w", pipeline.ErrNothingSent, s.TopicARN, err)
	}
	in := &sns.PublishInput{
		TopicArn:          aws.String(s.TopicARN),
		Subject:           aws.String(m.Subject),
		Message:           aws.String(string(texts)),
		MessageStructure:  aws.String("json"),
		MessageAttributes: make(map[string]types.MessageAttributeValue),
	}
	for name, value := range m.Attributes {
		if value != "" { // SNS refuses empty values
			in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
		}
	}
	open := false
	_, err = s.Client.Publish(ctx, in, withRetries, func(o *sns.Options) {
		o.APIOptions = append(o.APIOptions, accepted.Watch(func(err error) error {
			open = true
			return err
		}))
	})
	switch {
	case err == nil:
		return open, nil
	case !open:
		return false, fmt.Errorf("%w: %w", pipeline.ErrNothingSent, s.explain(err))
	}
	return false, fmt.Errorf("the message may have been sent: %w", s.explain(err))
}

// explain names the topic and, where it is known, what to do.
// Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors
func (s Sink) explain(err error) error {
	code := ""
	if ae, ok := errors.AsType[smithy.APIError](err); ok {
		code = ae.ErrorCode()
	}
	switch code {
	case "NotFound":
		return fmt.Errorf("there is no topic %s: %w", s.TopicARN, err)
	case "AuthorizationError":
		return fmt.Errorf("access denied: the function's role, and the topic's policy if it is another account's, must allow sns:Publish to topic %s: %w", s.TopicARN, err)
	case "KMSAccessDenied":
		return fmt.Errorf("access denied: the function's role and the key's policy must allow kms:GenerateDataKey* and kms:Decrypt with the key of topic %s: %w", s.TopicARN, err)
	}
	return fmt.Errorf("topic %s: %w", s.TopicARN, err)
}

// withRetries makes a client outlast throttling, for which SNS has a code of its
// own, and not send again what was accepted.
func withRetries(o *sns.Options) {
	o.Retryer = retry.AddWithErrorCodes(retry.AddWithMaxAttempts(o.Retryer, maxAttempts), "Throttled")
	o.APIOptions = append(o.APIOptions, accepted.TreatAs200(&sns.PublishOutput{}))
}

// maxAttempts outlasts some seconds of throttling, as long as the caller's
// deadline allows.
const maxAttempts = 5
