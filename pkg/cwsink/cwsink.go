// Package cwsink sends metric data to Amazon CloudWatch.
package cwsink

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"tlswatch/internal/accepted"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/pipeline"
)

// An API is what Sink needs of *cloudwatch.Client.
type API interface {
	PutMetricData(context.Context, *cloudwatch.PutMetricDataInput, ...func(*cloudwatch.Options)) (*cloudwatch.PutMetricDataOutput, error)
}

// Sink is a [pipeline.MetricSink].
type Sink struct {
	Client    API
	Namespace string
}

var _ pipeline.MetricSink = Sink{}

// Put sends the data in as few requests as CloudWatch's limits allow. The error
// says which request failed. It is [pipeline.ErrNothingSent] if CloudWatch
// certainly accepted none.
func (s Sink) Put(ctx context.Context, data []metric.Datum) error {
	batches := metric.Batches(data)
	for i, batch := range batches {
		in := &cloudwatch.PutMetricDataInput{Namespace: aws.String(s.Namespace), MetricData: make([]types.MetricDatum, len(batch))}
		for j, d := range batch {
			in.MetricData[j] = datum(d)
		}
		if _, err := s.Client.PutMetricData(ctx, in, noResend); err != nil {
			err = fmt.Errorf("request %d of %d: %w", i+1, len(batches), err)
			if _, open := errors.AsType[openError](err); i == 0 && !open {
				err = fmt.Errorf("%w: %w", pipeline.ErrNothingSent, err)
			}
			return err
		}
	}
	return nil
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

// noResend makes a client send a request again only if CloudWatch certainly did
// not accept it, because CloudWatch adds up everything it receives. An attempt
// that leaves this open is the last one, and its error is an [openError].
func noResend(o *cloudwatch.Options) {
	o.Retryer = retry.AddWithMaxAttempts(o.Retryer, maxAttempts)
	o.APIOptions = append(o.APIOptions,
		accepted.TreatAs200(&cloudwatch.PutMetricDataOutput{}),
		accepted.Watch(func(err error) error { return openError{err} }))
}

// maxAttempts outlasts some seconds of throttling, as long as the caller's
// deadline allows.
const maxAttempts = 5

// An openError leaves open whether CloudWatch accepted the data.
type openError struct{ err error }

func (e openError) Error() string { return "the data may have been accepted: " + e.err.Error() }

func (e openError) Unwrap() error { return e.err }

// RetryableError tells the SDK not to send the request again.
func (e openError) RetryableError() bool { return false }
