package trigger

import (
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
)

// Reply converts the outcomes of the items to the value and error that the handler must
// return, so that the sender handles them correctly. outcomes[i] is the outcome of
// Items[i], nil for success; it need not repeat Item.Err. Items with objects but without
// an outcome, because the time was up, count as failed.
//
//   - S3, EventBridge, SNS, Pipes: an error if any item failed. Lambda, or the pipe, then
//     retries the whole event, and finally sends it to the failure destination. A pipe
//     that waits would read a list of failed messages, but one that does not wait would
//     drop them, and the event does not say which it is.
//   - SQS: [events.SQSEventResponse] with the failed messages. It has no reasons: log
//     Item.Err and the outcomes. If a failed message has no ID, the reply is an error, and
//     the whole batch fails.
//   - Batch: [events.S3BatchJobResponse] with one result per task; see [Permanent].
//   - Direct, Redrive: an error if any item failed, otherwise a [Summary].
func (e *Event) Reply(outcomes []error) (any, error) {
	if len(outcomes) > len(e.Items) {
		return nil, fmt.Errorf("trigger: %d outcomes for %d items", len(outcomes), len(e.Items))
	}
	all := make([]error, len(e.Items))
	for i, item := range e.Items {
		all[i] = item.Err
		switch {
		case i < len(outcomes) && outcomes[i] != nil:
			all[i] = errors.Join(item.Err, outcomes[i])
		case i >= len(outcomes) && len(item.Objects) > 0:
			all[i] = errors.Join(item.Err, errNotProcessed)
		}
	}
	switch e.Shape {
	case SQS:
		return e.replySQS(all)
	case Batch:
		return e.replyBatch(all), nil
	}
	var failed Failures
	for i, err := range all {
		if err != nil {
			failed = append(failed, failedItem{e.Items[i].ID, err})
		}
	}
	if failed != nil {
		return nil, failed
	}
	if e.Shape == Direct || e.Shape == Redrive {
		return Summary{Objects: e.Objects(), Ignored: len(e.Ignored)}, nil
	}
	return nil, nil
}

// Summary is the reply to a Direct or Redrive event without failures.
type Summary struct {
	Objects int `json:"objects"`
	Ignored int `json:"ignored"`
}

// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func (e *Event) replySQS(all []error) (any, error) {
	failures := []events.SQSBatchItemFailure{} // not nil: "batchItemFailures": [] means success
	for i, err := range all {
		if err == nil {
			continue
		}
		item := e.Items[i]
		if item.token == "" {
			return nil, Failures{{item.ID, err}}
		}
		failures = append(failures, events.SQSBatchItemFailure{ItemIdentifier: item.token})
	}
	return events.SQSEventResponse{BatchItemFailures: failures}, nil
}

// Result codes of a Batch reply.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
const (
	resultSucceeded = "Succeeded"
	resultTemporary = "TemporaryFailure" // retried before the job ends
	resultPermanent = "PermanentFailure" // goes to the completion report

	maxResultString = 1024 // bytes; our limit, for readable completion reports
)

func (e *Event) replyBatch(all []error) events.S3BatchJobResponse {
	reply := events.S3BatchJobResponse{
		InvocationSchemaVersion: e.schemaVersion,
		TreatMissingKeysAs:      resultTemporary,
		InvocationID:            e.invocationID,
		Results:                 []events.S3BatchJobResult{},
	}
	for i, err := range all {
		if e.Items[i].token == "" {
			continue // has no name in the reply: TreatMissingKeysAs applies
		}
		r := events.S3BatchJobResult{TaskID: e.Items[i].token, ResultCode: resultSucceeded}
		if err != nil {
			r.ResultCode = resultTemporary
			if isPermanent(err) {
				r.ResultCode = resultPermanent
			}
			r.ResultString = clip(err.Error(), maxResultString)
		}
		reply.Results = append(reply.Results, r)
	}
	return reply
}
