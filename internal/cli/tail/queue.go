package tail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/deployed"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/trigger"
)

const (
	// defaultVisibility is how long a received message is invisible to others.
	defaultVisibility = 2 * time.Minute

	// maxRemembered limits the objects that are remembered, so that a duplicate event
	// does not print them again.
	maxRemembered = 100_000
)

// followQueue prints the objects that the messages of a queue announce.
func (t *tailer) followQueue(ctx context.Context, queueURL string, visibility time.Duration) error {
	t.patient = true // the queue redelivers a message or gives up
	queue, err := cloud.OpenQueue(ctx, queueURL)
	if err != nil {
		return err
	}
	pause := time.Second
	for n := 0; t.out.err == nil; n++ {
		out, err := queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl:            &queueURL,
			MaxNumberOfMessages: 10,
			WaitTimeSeconds:     20,
			VisibilityTimeout:   int32(visibility / time.Second),

			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && n == 0:
			return fmt.Errorf("queue %s: %w", queueURL, cloud.Explain(err))
		case err != nil:
			t.warn(queueURL, fmt.Sprintf("will retry in %v: %v", pause, err))
			if pipeline.Sleep(ctx, pause) != nil {
				return nil
			}
			pause = min(2*pause, time.Minute)
			continue
		}
		pause = time.Second
		for _, m := range out.Messages {
			event, err := deployed.QueueEvent(m, queue)
			if err != nil {
				return err
			}
			if !t.message(ctx, event, aws.ToString(m.MessageId)) {
				continue
			}
			_, err = queue.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &queueURL, ReceiptHandle: m.ReceiptHandle})
			if err != nil && ctx.Err() == nil {
				t.warn("message "+aws.ToString(m.MessageId), fmt.Sprintf("printed, but not deleted: %v", err))
			}
		}
		t.memory.limit(maxRemembered)
	}
	return t.out.err
}

// message prints the objects of an event and reports whether all are done.
func (t *tailer) message(ctx context.Context, event []byte, id string) bool {
	e, err := trigger.Parse(event)
	if err == nil {
		for _, item := range e.Items {
			err = errors.Join(err, item.Err)
		}
	}
	var objects []*reading
	if e != nil {
		for _, item := range e.Items {
			for _, o := range item.Objects {
				if t.bucket != "" && (o.Bucket != t.bucket || !strings.HasPrefix(o.Key, t.prefix)) {
					continue
				}
				if fresh := t.note(o.Object); fresh != nil && !slices.Contains(objects, fresh) {
					objects = append(objects, fresh)
				}
			}
		}
	}
	done := ctx.Err() == nil && t.read(ctx, objects)
	if err != nil {
		t.warn("message "+id, fmt.Sprintf("stays in the queue: %v", err))
		return false
	}
	return done && t.out.err == nil
}
