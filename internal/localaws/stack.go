package localaws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"
)

const (
	defaultRegion = "us-east-1"
	accountID     = "123456789012" // AWS's own example account
)

// Options are the settings of [Start]. All may be left out.
type Options struct {
	Region    string              // default us-east-1
	Now       func() time.Time    // default time.Now
	Faults    FaultFunc           // for all services; see also SetFaults of each
	OnCreated func(ObjectCreated) // see [S3.SetOnCreated]
}

// A Stack is the stand-ins for S3, CloudWatch, SNS, SQS and Elastic Load
// Balancing v2, listening.
type Stack struct {
	S3         *S3
	CloudWatch *CloudWatch
	SNS        *SNS
	SQS        *SQS
	ELB        *ELB
	Calls      *Calls // of all of them

	region  string
	servers map[string]*server // by service
	detach  func() bool        // from the context of Start
	close   func() error
}

// Start brings the stand-ins up, each on its own port of 127.0.0.1, until
// Close is called or ctx ends.
func Start(ctx context.Context, o Options) (*Stack, error) {
	if o.Region == "" {
		o.Region = defaultRegion
	}
	s := &Stack{Calls: new(Calls), region: o.Region, servers: make(map[string]*server)}
	s.S3 = NewS3(S3Options{Region: o.Region, Now: o.Now, Calls: s.Calls, Faults: o.Faults, OnCreated: o.OnCreated})
	s.CloudWatch = NewCloudWatch(CloudWatchOptions{Now: o.Now, Calls: s.Calls, Faults: o.Faults})
	s.SNS = NewSNS(SNSOptions{Region: o.Region, Now: o.Now, Calls: s.Calls, Faults: o.Faults})
	s.SQS = NewSQS(SQSOptions{Region: o.Region, Now: o.Now, Calls: s.Calls, Faults: o.Faults})
	s.ELB = NewELB(ELBOptions{Region: o.Region, Calls: s.Calls, Faults: o.Faults})
	s.close = sync.OnceValue(func() error {
		var all []error
		for _, srv := range s.servers {
			all = append(all, srv.close())
		}
		return errors.Join(all...)
	})
	for _, e := range s.endpoints() {
		srv, err := serve(e)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start %s: %w", e.service, err), s.close())
		}
		s.servers[e.service] = srv
	}
	s.detach = context.AfterFunc(ctx, func() { s.close() })
	return s, nil
}

func (s *Stack) endpoints() []*endpoint {
	return []*endpoint{&s.S3.endpoint, &s.CloudWatch.endpoint, &s.SNS.endpoint, &s.SQS.endpoint, &s.ELB.endpoint}
}

// Close ends all connections and waits for requests in progress.
func (s *Stack) Close() error {
	s.detach()
	return s.close()
}

// Addresses returns the base URLs by service: "s3", "cloudwatch", "sns",
// "sqs", "elasticloadbalancing".
func (s *Stack) Addresses() map[string]string {
	addresses := make(map[string]string, len(s.servers))
	for service, srv := range s.servers {
		addresses[service] = srv.URL()
	}
	return addresses
}

// Env returns the environment that points an AWS SDK at the stack. An SDK for
// Go v2 client made from config.LoadDefaultConfig needs nothing else: because
// the S3 endpoint is an IP address, it uses path-style requests without being
// told to.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
func (s *Stack) Env() map[string]string {
	env := map[string]string{
		"AWS_ENDPOINT_URL_S3":         s.servers["s3"].URL(),
		"AWS_ENDPOINT_URL_CLOUDWATCH": s.servers["cloudwatch"].URL(),
		"AWS_ENDPOINT_URL_SNS":        s.servers["sns"].URL(),
		"AWS_ENDPOINT_URL_SQS":        s.servers["sqs"].URL(),

		"AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2": s.servers["elasticloadbalancing"].URL(),
	}
	maps.Copy(env, localCredentials(s.region))
	return env
}

// localCredentials is the environment that keeps an SDK from looking for a
// region and credentials anywhere else.
func localCredentials(region string) map[string]string {
	return map[string]string{
		"AWS_REGION":                region,
		"AWS_DEFAULT_REGION":        region,
		"AWS_ACCESS_KEY_ID":         "local",
		"AWS_SECRET_ACCESS_KEY":     "local",
		"AWS_EC2_METADATA_DISABLED": "true",
	}
}
