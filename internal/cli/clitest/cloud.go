package clitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/lambda"
	"tlswatch/internal/localaws/s3"
	localsqs "tlswatch/internal/localaws/sqs"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/metric"
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
	env := stack.Env()
	env["ALERT_TOPIC_ARN"] = stack.SNS.CreateTopic("alerts")
	env["STATE_BUCKET"] = cloudState
	log := new(Buffer)
	fn, err := lambda.Start(t.Context(), lambda.Options{
		Bootstrap:   Function(t),
		Name:        FunctionName,
		Env:         env,
		Timeout:     20 * time.Second,
		Concurrency: 2,
		RetryDelays: []time.Duration{time.Millisecond, time.Millisecond},
		Output:      log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		fn.Close()
		if t.Failed() {
			t.Logf("log of the function:\n%s", log)
		}
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
	Key     string
	lines   []string
	Created s3.ObjectCreated
}

const LoadBalancer = "app/shop/50dc6c495c0c9188"

// PutLog makes a log object of a recent period.
func (c *Cloud) PutLog(t *testing.T, n, lines int) Log {
	t.Helper()
	end := time.Now().UTC().Truncate(connlog.Period).Add(-connlog.Period)
	var text bytes.Buffer
	err := connlogtest.Write(&text, connlogtest.Options{
		Seed: uint64(n), Lines: lines, Start: end.Add(-connlog.Period), Duration: connlog.Period - time.Second,
		LoadBalancer: LoadBalancer, Node: fmt.Sprint("192.0.2.", n%250+1),
	})
	if err != nil {
		t.Fatal(err)
	}
	l := Log{Key: LogKey(end, n), lines: strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")}
	if l.Created, err = c.S3.Put(BucketName, l.Key, text.Bytes()); err != nil {
		t.Fatal(err)
	}
	return l
}

// LogKey is the key of the nth node's object.
func LogKey(end time.Time, n int) string {
	return fmt.Sprintf("AWSLogs/123456789012/elasticloadbalancing/us-east-1/%s/conn_log_123456789012_elasticloadbalancing_us-east-1_%s_%s_192.0.2.%d_%08x.log",
		end.Format("2006/01/02"), strings.ReplaceAll(LoadBalancer, "/", "."), end.Format("20060102T1504Z"), n%250+1, n)
}

// TinyLog is a log of one line at t.
func TinyLog(t time.Time) []byte {
	return []byte(t.UTC().Format("2006-01-02T15:04:05.000000Z") + " 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036 - - - Success TID_1\n")
}

func Decode(t *testing.T, text string, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

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
	want := make(map[string]connlogtest.Sum)
	for _, l := range logs { // each object has its own Client values
		for name, s := range connlogtest.Metrics(l.lines, LoadBalancer) {
			want[name] = connlogtest.Sum{Sum: want[name].Sum + s.Sum, Samples: want[name].Samples + s.Samples}
		}
	}
	got := MetricSums(c.Stack)
	for name, s := range got {
		if strings.HasPrefix(name, metric.HandshakeLatency) {
			got[name] = connlogtest.Sum{Samples: s.Samples}
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && !strings.Contains(name, "LoadBalancer=") {
			delete(got, name) // about the processor itself
		}
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("-reference +published\n%s", d)
	}
}

// MetricSums adds the metrics that a stand-in took up over time, named as
// connlogtest.Metrics does.
func MetricSums(stack *localaws.Stack) map[string]connlogtest.Sum {
	sums := make(map[string]connlogtest.Sum)
	for _, series := range stack.CloudWatch.Metrics() {
		name := MetricName(series.Name, series.Dimensions)
		for _, p := range series.Points {
			s := sums[name]
			sums[name] = connlogtest.Sum{Sum: s.Sum + p.Sum, Samples: s.Samples + p.Samples}
		}
	}
	return sums
}

// MetricName names a series as connlogtest.Metrics does.
func MetricName(name string, dimensions map[string]string) string {
	for _, d := range []string{metric.LoadBalancer, metric.ListenerPort, metric.Protocol, metric.Cipher, metric.KeyExchange, metric.Reason, metric.Client} {
		if value, ok := dimensions[d]; ok {
			name += " " + d + "=" + value
		}
	}
	return name
}
