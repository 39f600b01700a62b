package localaws_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	localsqs "tlswatch/internal/localaws/sqs"
	"tlswatch/internal/localaws/wire"
)

// Requests of the real SDK need these permissions.
func TestAuthorize(t *testing.T) {
	h := awstest.Start(t, localaws.Options{}, "logs")
	cfg := awstest.Config(t)
	cfg.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "me", SecretAccessKey: "secret"}, nil
	})
	o, err := h.S3.Put("logs", "a/b", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	topic, queue := h.SNS.CreateTopic("alerts"), h.SQS.CreateQueue("jobs", localsqs.QueueOptions{})
	var (
		mu    sync.Mutex
		asked []string
		deny  string
	)
	h.SetAuthorize(func(a wire.Access) bool {
		mu.Lock()
		defer mu.Unlock()
		if a.AccessKeyID != "me" {
			t.Errorf("%+v has access key %q", a, a.AccessKeyID)
		}
		text := a.Action + " " + a.Resource
		for _, key := range slices.Sorted(maps.Keys(a.Context)) {
			text += " " + key + "=" + a.Context[key]
		}
		asked = append(asked, text)
		return a.Action != deny
	})
	bucket, cw := s3.NewFromConfig(cfg), cloudwatch.NewFromConfig(cfg)
	for _, test := range []struct {
		call func() error
		want []string // the last is denied in the second round
	}{
		{func() error {
			_, err := bucket.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("logs"), Key: aws.String("a/b")})
			return err
		}, []string{"s3:GetObject arn:aws:s3:::logs/a/b"}},
		{func() error {
			_, err := bucket.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("logs"), Prefix: aws.String("a/")})
			return err
		}, []string{"s3:ListBucket arn:aws:s3:::logs s3:prefix=a/"}},
		{func() error {
			_, err := bucket.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("logs"), Key: aws.String("a/b"), Body: strings.NewReader("x"), IfMatch: aws.String(`"` + o.ETag + `"`)})
			return err
		}, []string{"s3:PutObject arn:aws:s3:::logs/a/b", "s3:GetObject arn:aws:s3:::logs/a/b"}},
		{func() error {
			_, err := cw.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("n"),
				MetricData: []cwtypes.MetricDatum{{MetricName: aws.String("m"), Value: aws.Float64(1)}}})
			return err
		}, []string{"cloudwatch:PutMetricData * cloudwatch:namespace=n"}},
		{func() error {
			_, err := sns.NewFromConfig(cfg).Publish(t.Context(), &sns.PublishInput{TopicArn: &topic, Message: aws.String("m")})
			return err
		}, []string{"sns:Publish " + topic}},
		{func() error {
			_, err := sqs.NewFromConfig(cfg).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: aws.String("m")})
			return err
		}, []string{"sqs:SendMessage arn:aws:sqs:us-east-1:123456789012:jobs"}},
		{func() error {
			_, err := elb.NewFromConfig(cfg).DescribeSSLPolicies(t.Context(), &elb.DescribeSSLPoliciesInput{})
			return err
		}, []string{"elasticloadbalancing:DescribeSSLPolicies *"}},
	} {
		asked, deny = nil, ""
		if err := test.call(); err != nil {
			t.Errorf("%s: %v", test.want[0], err)
		}
		if d := cmp.Diff(test.want, asked); d != "" {
			t.Errorf("accesses: -want +got\n%s", d)
		}
		deny, _, _ = strings.Cut(test.want[len(test.want)-1], " ")
		awstest.WantCode(t, test.call(), "AccessDenied")
	}
}

// To a client without s3:ListBucket a missing object is forbidden.
func TestMissingIsForbidden(t *testing.T) {
	h := awstest.Start(t, localaws.Options{}, "logs")
	cfg := awstest.Config(t)
	get := func() error {
		_, err := s3.NewFromConfig(cfg).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("logs"), Key: aws.String("none")})
		return err
	}
	h.SetAuthorize(func(a wire.Access) bool { return true })
	awstest.WantCode(t, get(), "NoSuchKey")
	h.SetAuthorize(func(a wire.Access) bool { return a.Action != "s3:ListBucket" })
	awstest.WantCode(t, get(), "AccessDenied")
	h.SetAuthorize(nil)
	awstest.WantCode(t, get(), "NoSuchKey")
}
