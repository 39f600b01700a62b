// Package localaws starts embedded stand-ins for the AWS services that a
// connection-log function, and the people who operate it, talk to: S3,
// CloudWatch, SNS, SQS and Elastic Load Balancing v2, each in a package of its
// own below this one. Package lambda there runs the real function executable
// and serves the Lambda API. They serve the real wire protocols over HTTP on
// loopback, so that an unchanged program with an unchanged AWS SDK can run
// against them.
//
// [Start] brings up all but Lambda; [Stack.Env] is the environment that points
// an SDK at them:
//
//	stack, err := localaws.Start(ctx, localaws.Options{})
//	fn, err := lambda.Start(ctx, lambda.Options{
//		Bootstrap: "bootstrap",
//		Env:       stack.Env(),
//	})
//	stack.S3.SetOnCreated(func(o s3.ObjectCreated) {
//		if o.Bucket == "logs" {
//			fn.InvokeAsync(s3.Event(o))
//		}
//	})
//
// # What they prove, and what not
//
// The stand-ins are this project's reading of the AWS documentation: they
// enforce the documented limits and reply with the documented errors. They check
// no signatures, and permissions only with [Stack.SetAuthorize], and they prove
// nothing about AWS's quotas, latency or delivery order. Where the documentation
// is silent they are strict, and a comment says so.
//
// # Faults
//
// Each stand-in takes a [wire.FaultFunc], which sees every request before it is
// answered and may lose it, lose its reply, cut or slow the reply, or replace
// it by an error in the service's own shape.
//
// # Access
//
// The stand-ins listen on 127.0.0.1 only, and answer only requests whose Host
// header names their own address, by number or as localhost.
//
// The packages stand for AWS, not for this project: they import nothing of the
// module but each other.
package localaws

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"tlswatch/internal/localaws/cloudwatch"
	"tlswatch/internal/localaws/elb"
	"tlswatch/internal/localaws/s3"
	"tlswatch/internal/localaws/sns"
	"tlswatch/internal/localaws/sqs"
	"tlswatch/internal/localaws/wire"
)

// Options are the settings of [Start]. All may be left out.
type Options struct {
	Region string           // default us-east-1
	Now    func() time.Time // default time.Now
}

// A Stack is the stand-ins for S3, CloudWatch, SNS, SQS and Elastic Load
// Balancing v2, listening.
type Stack struct {
	S3         *s3.Service
	CloudWatch *cloudwatch.Service
	SNS        *sns.Service
	SQS        *sqs.Service
	ELB        *elb.Service
	Calls      *wire.Calls // of all services

	region string
	detach func() bool // from the context of Start
	close  func() error
}

// Start brings the stand-ins up, each on its own port of 127.0.0.1, until
// Close is called or ctx ends.
func Start(ctx context.Context, o Options) (*Stack, error) {
	c := wire.Config{Region: o.Region, Now: o.Now, Calls: new(wire.Calls)}
	if c.Region == "" {
		c.Region = wire.DefaultRegion
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Stack{
		S3: s3.New(c), CloudWatch: cloudwatch.New(c), SNS: sns.New(c), SQS: sqs.New(c), ELB: elb.New(c),
		Calls: c.Calls, region: c.Region,
	}
	s.close = sync.OnceValue(func() error {
		var all []error
		for _, e := range s.endpoints() {
			all = append(all, e.Close())
		}
		return errors.Join(all...)
	})
	for _, e := range s.endpoints() {
		if err := e.Start(); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	s.detach = context.AfterFunc(ctx, func() { s.close() })
	return s, nil
}

func (s *Stack) endpoints() []*wire.Endpoint {
	return []*wire.Endpoint{s.S3.Endpoint, s.CloudWatch.Endpoint, s.SNS.Endpoint, s.SQS.Endpoint, s.ELB.Endpoint}
}

// Close ends all connections and waits for requests in progress.
func (s *Stack) Close() error {
	s.detach()
	return s.close()
}

// SetAuthorize makes all stand-ins ask f about every request; see
// [wire.Endpoint.SetAuthorize].
func (s *Stack) SetAuthorize(f wire.AuthorizeFunc) {
	for _, e := range s.endpoints() {
		e.SetAuthorize(f)
	}
}

// Env returns the environment that points an AWS SDK at the stack. An SDK for
// Go v2 client made from config.LoadDefaultConfig needs nothing else: because
// the S3 endpoint is an IP address, it uses path-style requests by itself.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
func (s *Stack) Env() map[string]string {
	env := map[string]string{
		"AWS_ENDPOINT_URL_S3":         s.S3.URL(),
		"AWS_ENDPOINT_URL_CLOUDWATCH": s.CloudWatch.URL(),
		"AWS_ENDPOINT_URL_SNS":        s.SNS.URL(),
		"AWS_ENDPOINT_URL_SQS":        s.SQS.URL(),

		"AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2": s.ELB.URL(),
	}
	maps.Copy(env, wire.BaseEnv(s.region))
	return env
}
