// Package cwsink sends metric data to Amazon CloudWatch.
package cwsink

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"tlswatch/internal/accepted"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/pipeline"
)

// A Client is what Sink needs of *cloudwatch.Client.
type Client interface {
	PutMetricData(context.Context, *cloudwatch.PutMetricDataInput, ...func(*cloudwatch.Options)) (*cloudwatch.PutMetricDataOutput, error)
}

// Sink is a [pipeline.MetricSink].
type Sink struct {
	Client    Client
	Namespace string
}

var _ pipeline.MetricSink = Sink{}

// Put sends the data in as few requests as CloudWatch's limits allow. The
// error says how many of the requests had been accepted.
func (s Sink) Put(ctx context.Context, data []metric.Datum) error {
	batches := metric.Batches(data)
	for i, batch := range batches {
		in := &cloudwatch.PutMetricDataInput{Namespace: aws.String(s.Namespace), MetricData: make([]types.MetricDatum, len(batch))}
		for j, d := range batch {
			in.MetricData[j] = datum(d)
		}
		if _, err := s.Client.PutMetricData(ctx, in, Once); err != nil {
			err = fmt.Errorf("request %d of %d: %w", i+1, len(batches), err)
			if i == 0 && refused(err) {
				err = fmt.Errorf("%w: %w", pipeline.ErrNothingSent, err)
			}
			return err
		}
	}
	return nil
}

// refused reports whether an error says for certain that a request was not
// applied: it was not sent, or it is the caller's fault (4xx, throttling too).
func refused(err error) bool {
	if _, ok := errors.AsType[*UncertainError](err); ok {
		return false
	}
	re, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return !ok || re.HTTPStatusCode() == 0 || re.HTTPStatusCode()/100 == 4
}

func datum(d metric.Datum) types.MetricDatum {
	m := types.MetricDatum{
		MetricName: aws.String(d.Name),
		Unit:       types.StandardUnit(d.Unit),
		Timestamp:  aws.Time(d.Time),
		Values:     d.Values,
		Counts:     d.Counts,
	}
	for _, dim := range d.Dimensions {
		m.Dimensions = append(m.Dimensions, types.Dimension{Name: aws.String(dim.Name), Value: aws.String(dim.Value)})
	}
	return m
}

// Once sets up a client for a request that must not be applied twice:
// CloudWatch adds up whatever it is sent.
//
//   - A request is sent again only if CloudWatch answered that it failed, or if
//     none of it was sent. If it was sent and no answer came, the error is an
//     [*UncertainError].
//   - A reply of 200 means that the data were accepted, also if its body, which
//     says nothing, is cut.
func Once(o *cloudwatch.Options) {
	o.Retryer = retry.AddWithMaxAttempts(o.Retryer, maxAttempts)
	o.APIOptions = append(o.APIOptions, accepted.By200(&cloudwatch.PutMetricDataOutput{}), func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("Uncertain", uncertain), middleware.Before)
	})
}

// maxAttempts rides out some seconds of throttling, as long as the caller's
// deadline allows.
const maxAttempts = 5

// An UncertainError is the error of a request that may have been applied.
type UncertainError struct{ Err error }

func (e *UncertainError) Error() string {
	return "the reply was lost, the data may have been accepted: " + e.Err.Error()
}

func (e *UncertainError) Unwrap() error { return e.Err }

// RetryableError tells the SDK not to send the request again.
func (e *UncertainError) RetryableError() bool { return false }

// uncertain sees one attempt, and makes its error an UncertainError if it was
// sent and not answered.
func uncertain(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	out, metadata, err := next.HandleDeserialize(ctx, in)
	// Where no reply came, the SDK puts one of status 0 in its place.
	reply, ok := out.RawResponse.(*smithyhttp.Response)
	if answered := ok && reply.StatusCode > 0; err != nil && !answered && sent.Load() {
		err = &UncertainError{err}
	}
	return out, metadata, err
}
