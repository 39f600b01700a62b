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

// A Client is what Sink needs of *sns.Client.
type Client interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Sink is a [pipeline.AlertSink].
type Sink struct {
	Client   Client
	TopicARN string
}

var _ pipeline.AlertSink = Sink{}

// Publish sends one message with a text for each protocol. If a reply is lost,
// the SDK sends the message again: an alert may come twice rather than not at
// all.
func (s Sink) Publish(ctx context.Context, m notice.Message) error {
	texts, err := json.Marshal(m.Texts)
	if err != nil {
		return fmt.Errorf("encoding the message for topic %s: %w", s.TopicARN, err)
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
	if _, err := s.Client.Publish(ctx, in, patient); err != nil {
		return s.explain(err)
	}
	return nil
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

// patient sets up a client to ride out throttling, which SNS reports by a code
// of its own, and not to send again what was accepted.
func patient(o *sns.Options) {
	o.Retryer = retry.AddWithErrorCodes(retry.AddWithMaxAttempts(o.Retryer, maxAttempts), "Throttled")
	o.APIOptions = append(o.APIOptions, accepted.By200(&sns.PublishOutput{}))
}

// maxAttempts rides out some seconds of throttling, as long as the caller's
// deadline allows.
const maxAttempts = 5
