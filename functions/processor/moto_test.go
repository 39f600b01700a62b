package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/schemas"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/config"
	"tlswatch/pkg/cwsink"
	"tlswatch/pkg/notice"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/s3source"
	"tlswatch/pkg/snssink"
)

// Moto is an independent implementation of S3, SNS and CloudWatch (without its
// newest protocol, so the client uses JSON). Where moto_server is on PATH, it
// tests the pipeline with its real adapters.
func TestMoto(t *testing.T) {
	endpoint := awstest.Moto(t, "nothing was held against an independent S3, SNS and CloudWatch")
	ctx := t.Context()
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion("us-east-1"), awsconfig.WithBaseEndpoint(endpoint),
		awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("local", "local", "")))
	if err != nil {
		t.Fatal(err)
	}
	s3Client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	snsClient := sns.NewFromConfig(cfg)
	cwClient := cloudwatch.NewFromConfig(cfg, func(o *cloudwatch.Options) {
		o.Protocol = awsjson.New10(schemas.GraniteServiceVersion20100801)
		o.DisableRequestCompression = true
	})

	f := makeLog(t, 1, 2500, "app/shop/50dc6c495c0c9188")
	if _, err := s3Client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	put, err := s3Client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(f.Key), Body: strings.NewReader(string(f.Gzip()))})
	if err != nil {
		t.Fatal(err)
	}
	topic, err := snsClient.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("alerts")})
	if err != nil {
		t.Fatal(err)
	}
	queue := newMotoQueue(t, endpoint)
	if _, err := snsClient.Subscribe(ctx, &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:us-east-1:123456789012:alerts")}); err != nil {
		t.Fatal(err)
	}

	c, err := config.FromEnv(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	p := &pipeline.Pipeline{
		Source:        s3source.Source{Client: s3Client},
		Metrics:       cwsink.Sink{Client: cwClient, Namespace: c.Namespace},
		Alerts:        snssink.Sink{Client: snsClient, TopicARN: *topic.TopicArn},
		MetricOptions: c.Metrics, IPv6Prefix: c.IPv6Prefix, PublishClients: true, Rules: []alert.Rule{c.Rule},
		Now: time.Now, Sleep: pipeline.Sleep,
	}
	object := pipeline.Object{Bucket: bucket, Key: f.Key, ETag: strings.Trim(*put.ETag, `"`)}
	report := p.Run(ctx, pipeline.Job{Object: object})[0]
	if report.Err != nil {
		t.Fatal(report.Err)
	}
	if report.Lines != 2500 || report.Alerts != 1 {
		t.Errorf("report: %+v", report)
	}

	// An older ETag means a replaced object, a missing key a deleted one.
	for skipped, o := range map[string]pipeline.Object{
		pipeline.SkippedReplaced: {Bucket: bucket, Key: f.Key, ETag: "0123456789abcdef0123456789abcdef"},
		pipeline.SkippedGone:     {Bucket: bucket, Key: f.Key[:len(f.Key)-len("x.log.gz")] + "y.log.gz"},
	} {
		if r := p.Run(ctx, pipeline.Job{Object: o})[0]; r.Err != nil || r.Skipped != skipped {
			t.Errorf("got %q and error %v, want %q", r.Skipped, r.Err, skipped)
		}
	}

	// Every sum reads back as the reference counts it. (Moto adds up the
	// metrics that have more dimensions than asked for, which CloudWatch does
	// not; so only those that have the most are compared.)
	checked := 0
	all := connlogtest.Metrics(f.Lines, f.LoadBalancer)
	for name, want := range all {
		if hasFiner(all, name) {
			continue
		}
		if strings.HasPrefix(name, "HandshakeLatency") {
			want.Sum = -1
		}
		sum, samples := motoStatistics(t, cwClient, c.Namespace, name)
		if want.Sum < 0 {
			sum = -1
		}
		if got := (connlogtest.Sum{Sum: sum, Samples: samples}); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		checked++
	}
	if checked < 20 {
		t.Errorf("%d metrics compared", checked)
	}

	var envelope struct{ Message, Subject string }
	if err := json.Unmarshal([]byte(queue.receive()), &envelope); err != nil {
		t.Fatal(err)
	}
	var doc struct{ Schema string }
	if err := json.Unmarshal([]byte(envelope.Message), &doc); err != nil || doc.Schema != notice.Schema {
		t.Errorf("the queue got %q: %v", envelope.Message, err)
	}
	if !strings.HasPrefix(envelope.Subject, "tlswatch warning: shop: ") {
		t.Errorf("subject is %q", envelope.Subject)
	}
}

// hasFiner reports whether a metric exists with further dimensions.
func hasFiner(all map[string]connlogtest.Sum, name string) bool {
	for other := range all {
		if other != name && strings.HasPrefix(other, name+" ") {
			return true
		}
	}
	return false
}

// motoStatistics reads a metric back that connlogtest.Metrics names.
func motoStatistics(t *testing.T, client *cloudwatch.Client, namespace, name string) (sum, samples float64) {
	t.Helper()
	words := strings.Split(name, " ")
	in := &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String(namespace), MetricName: aws.String(words[0]), Period: aws.Int32(60),
		StartTime: aws.Time(time.Now().Add(-time.Hour)), EndTime: aws.Time(time.Now().Add(time.Hour)),
		Statistics: []types.Statistic{types.StatisticSum, types.StatisticSampleCount},
	}
	for _, word := range words[1:] {
		dim, value, _ := strings.Cut(word, "=")
		in.Dimensions = append(in.Dimensions, types.Dimension{Name: aws.String(dim), Value: aws.String(value)})
	}
	out, err := client.GetMetricStatistics(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range out.Datapoints {
		sum += *p.Sum
		samples += *p.SampleCount
	}
	return sum, samples
}

// A motoQueue is an SQS queue, by plain HTTP: no other test needs an SDK for it.
type motoQueue struct {
	t        *testing.T
	endpoint string
}

func newMotoQueue(t *testing.T, endpoint string) motoQueue {
	q := motoQueue{t, endpoint}
	q.call(endpoint, "CreateQueue", "QueueName", "alerts")
	return q
}

// receive returns the body of the one message in the queue.
func (q motoQueue) receive() string {
	reply := q.call(q.endpoint+"/123456789012/alerts", "ReceiveMessage", "MaxNumberOfMessages", "10")
	var parsed struct {
		Bodies []string `xml:"ReceiveMessageResult>Message>Body"`
	}
	if err := xml.Unmarshal(reply, &parsed); err != nil {
		q.t.Fatal(err)
	}
	if len(parsed.Bodies) != 1 {
		q.t.Fatalf("%d messages in the queue: %s", len(parsed.Bodies), reply)
	}
	return parsed.Bodies[0]
}

func (q motoQueue) call(url_, action, name, value string) []byte {
	q.t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2012-11-05"}, name: {value}}
	req, err := http.NewRequestWithContext(q.t.Context(), http.MethodPost, url_, strings.NewReader(form.Encode()))
	if err != nil {
		q.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=local/20261123/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		q.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		q.t.Fatal(fmt.Errorf("%s: status %d, %v: %s", action, resp.StatusCode, err, body))
	}
	return body
}
