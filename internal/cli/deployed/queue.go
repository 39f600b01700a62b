package deployed

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"tlswatch/internal/cli/cloud"
)

// QueueEvent returns the event with which Lambda would pass this message of a queue to
// the function. It keeps the message id and all attributes: the function identifies
// the message by them.
//
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event
func QueueEvent(m types.Message, queue *cloud.Queue) ([]byte, error) {
	sum := md5.Sum([]byte(*m.Body))
	r := events.SQSMessage{
		MessageId:         *m.MessageId,
		ReceiptHandle:     *m.ReceiptHandle,
		Body:              *m.Body,
		Md5OfBody:         hex.EncodeToString(sum[:]),
		Attributes:        m.Attributes,
		MessageAttributes: make(map[string]events.SQSMessageAttribute, len(m.MessageAttributes)),
		EventSource:       "aws:sqs",
		EventSourceARN:    queue.ARN,
		AWSRegion:         queue.Region,
	}
	if m.MD5OfMessageAttributes != nil {
		r.Md5OfMessageAttributes = *m.MD5OfMessageAttributes
	}
	for name, a := range m.MessageAttributes {
		r.MessageAttributes[name] = events.SQSMessageAttribute{
			StringValue:      a.StringValue,
			BinaryValue:      a.BinaryValue,
			StringListValues: []string{},
			BinaryListValues: [][]byte{},
			DataType:         *a.DataType,
		}
	}
	return json.Marshal(events.SQSEvent{Records: []events.SQSMessage{r}})
}

// CheckQueueReply returns an error unless the function accepted the message.
func CheckQueueReply(reply []byte, messageID, requestID string) error {
	var in struct {
		BatchItemFailures *[]struct {
			ItemIdentifier string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	switch err := json.Unmarshal(reply, &in); {
	case err != nil || in.BatchItemFailures == nil:
		return fmt.Errorf("the reply is not from the tlswatch function: %s", clipText(string(reply)))
	case len(*in.BatchItemFailures) == 0:
		return nil
	case (*in.BatchItemFailures)[0].ItemIdentifier != messageID:
		return fmt.Errorf("the function reported a failure of a different message: %s", clipText(string(reply)))
	}
	return fmt.Errorf("the function could not process it; see request %s in its log", requestID)
}

// OneLine shortens a reason to one line.
func OneLine(s string) string {
	return clipText(strings.Join(strings.Fields(s), " "))
}
