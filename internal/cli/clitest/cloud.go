package clitest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/functiontest"
	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/lambda"
	"tlswatch/internal/localaws/s3"
	localsqs "tlswatch/internal/localaws/sqs"
	"tlswatch/pkg/logkey"
)

// A Cloud is the deployed function with the services around it; the
// environment of the test points at them.
type Cloud struct {
	*localaws.Stack
	Lambda *lambda.Function
	API    *lambda.API
	Queue  string // URL
}

const (
	BucketName   = "amzn-s3-demo-logging-bucket"
	cloudState   = "amzn-s3-demo-state-bucket"
	FunctionName = "tlswatch-processor"
)

// NewCloud starts the function and its services.
func NewCloud(t *testing.T) *Cloud {
	t.Helper()
	stack := awstest.Start(t, localaws.Options{}, BucketName, cloudState)
	fn := functiontest.Start(t, stack, "processor", map[string]string{
		"ALERT_TOPIC_ARN": stack.SNS.CreateTopic("alerts"),
		"STATE_BUCKET":    cloudState,
	}, lambda.Options{
		Timeout:     20 * time.Second,
		Concurrency: 2,
		RetryDelays: []time.Duration{time.Millisecond, time.Millisecond},
	})
	api, err := lambda.StartAPI(t.Context(), stack.Calls, fn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.Close() })
	awstest.Setenv(t, api.Env())
	return &Cloud{stack, fn, api, stack.SQS.CreateQueue("failed", localsqs.QueueOptions{})}
}

// A Log is a log object in the cloud's bucket.
type Log struct {
	connlogtest.Object
	Created s3.ObjectCreated
}

// LoadBalancer is the one in the names of logs.
const LoadBalancer = "app/shop/50dc6c495c0c9188"

// PutLog stores a log object of a recent period.
func (c *Cloud) PutLog(t *testing.T, n, lines int) Log {
	t.Helper()
	end := time.Now().UTC().Truncate(logkey.Period).Add(-logkey.Period)
	o, err := connlogtest.NewObject("us-east-1", end, connlogtest.Options{
		Seed: uint64(n), Lines: lines, Duration: logkey.Period - time.Second, LoadBalancer: LoadBalancer, Node: node(n),
	})
	if err != nil {
		t.Fatal(err)
	}
	created, err := c.S3.Put(BucketName, o.Key, o.Gzip())
	if err != nil {
		t.Fatal(err)
	}
	return Log{o, created}
}

func node(n int) string { return fmt.Sprint("192.0.2.", n%250+1) }

// LogKey is the key of the nth node's object.
func LogKey(end time.Time, n int) string {
	return connlogtest.ObjectKey("us-east-1", LoadBalancer, end, node(n), fmt.Sprintf("%08x", n))
}

// TinyLog is a log of one line at t.
func TinyLog(t time.Time) []byte {
	return []byte(t.UTC().Format("2006-01-02T15:04:05.000000Z") + " 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036 - - - Success TID_1\n")
}

// Decode decodes JSON that has no other members than v.
func Decode(t *testing.T, text string, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// Send puts a message into the queue.
func (c *Cloud) Send(t *testing.T, body string, attributes map[string]localsqs.Attribute) (id string) {
	t.Helper()
	id, err := c.SQS.Send(c.Queue, body, attributes)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// WantMetrics compares what was published with an independent count.
func (c *Cloud) WantMetrics(t *testing.T, logs ...Log) {
	t.Helper()
	var objects []connlogtest.Object
	for _, l := range logs {
		objects = append(objects, l.Object)
	}
	functiontest.WantSums(t, functiontest.Reference(objects...), functiontest.Sums(c.Stack))
}
