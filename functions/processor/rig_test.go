package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/gobuild"
	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/lambda"
	"tlswatch/internal/localaws/s3"
	"tlswatch/pkg/metric"
)

// bootstrap is the real function binary, which all tests here drive through
// the Lambda Runtime API.
var bootstrap string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tlswatch")
	if err != nil {
		log.Fatal(err)
	}
	if bootstrap, err = gobuild.Function(dir, "processor"); err != nil {
		log.Fatal(err)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

const bucket = "amzn-s3-demo-logging-bucket"

// A rig is the function, running, with the services around it.
type rig struct {
	t      *testing.T
	stack  *localaws.Stack
	lambda *lambda.Function
	topic  string
	log    *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newRig starts the function with settings on top of the defaults.
func newRig(t *testing.T, settings map[string]string) *rig {
	t.Helper()
	return startRig(t, settings, lambda.Options{Timeout: 20 * time.Second})
}

func startRig(t *testing.T, settings map[string]string, o lambda.Options) *rig {
	t.Helper()
	r := &rig{t: t, log: new(logBuffer)}
	var err error
	if r.stack, err = localaws.Start(t.Context(), localaws.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.stack.Close() })
	if err := r.stack.S3.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	r.topic = r.stack.SNS.CreateTopic("alerts")
	o.Bootstrap = bootstrap
	o.Env = r.stack.Env()
	o.Env["ALERT_TOPIC_ARN"] = r.topic
	o.Env["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
	maps.Copy(o.Env, settings)
	o.Output = r.log
	if r.lambda, err = lambda.Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.lambda.Close() })
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the function:\n%s", r.log)
		}
	})
	return r
}

// wait lets all asynchronous events end, retries included.
func (r *rig) wait() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if err := r.lambda.Wait(ctx); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) put(key string, body []byte) s3.ObjectCreated {
	r.t.Helper()
	o, err := r.stack.S3.Put(bucket, key, body)
	if err != nil {
		r.t.Fatal(err)
	}
	return o
}

// notify sends the event of S3 for some objects, asynchronously, and waits.
func (r *rig) notify(objects ...s3.ObjectCreated) {
	r.t.Helper()
	if _, err := r.lambda.InvokeAsync(s3.Event(objects...)); err != nil {
		r.t.Fatal(err)
	}
	r.wait()
}

// errors returns the errors of all invocations, "" for a success.
func (r *rig) errors() []string {
	var list []string
	for _, i := range r.lambda.Invocations() {
		if i.Error != nil {
			list = append(list, i.Error.Error())
		} else {
			list = append(list, "")
		}
	}
	return list
}

// sums returns what CloudWatch has, as connlogtest.Metrics writes it.
func (r *rig) sums() map[string]connlogtest.Sum {
	sums := make(map[string]connlogtest.Sum)
	for _, s := range r.stack.CloudWatch.Metrics() {
		name := s.Name
		for _, d := range []string{metric.LoadBalancer, metric.ListenerPort, metric.Protocol, metric.Cipher, metric.KeyExchange, metric.Reason, metric.Client} {
			if value, ok := s.Dimensions[d]; ok {
				name += " " + d + "=" + value
			}
		}
		var sum connlogtest.Sum
		for _, p := range s.Points {
			sum.Sum += p.Sum
			sum.Samples += p.Samples
		}
		sums[name] = sum
	}
	return sums
}

// A logFile is a made-up log object of the period that just ended.
type logFile struct {
	key   string
	lb    string
	lines []string
}

func makeLog(t *testing.T, seed uint64, lines int, loadBalancer string) logFile {
	t.Helper()
	end := time.Now().UTC().Truncate(5 * time.Minute)
	var b strings.Builder
	err := connlogtest.Write(&b, connlogtest.Options{Seed: seed, Lines: lines, Start: end.Add(-5 * time.Minute), LoadBalancer: loadBalancer})
	if err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprintf("AWSLogs/123456789012/elasticloadbalancing/us-east-2/%s/conn_log_123456789012_elasticloadbalancing_us-east-2_%s_%s_192.0.2.10_%08x.log.gz",
		end.Format("2006/01/02"), strings.ReplaceAll(loadBalancer, "/", "."), end.Format("20060102T1504Z"), seed)
	return logFile{key, loadBalancer, strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")}
}

func (f logFile) packed() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for _, line := range f.lines {
		fmt.Fprintln(z, line)
	}
	z.Close()
	return b.Bytes()
}

// checkSums compares what CloudWatch has with what should be there of the
// logs. Metrics about the processor itself are compared apart.
func (r *rig) checkSums(logs ...logFile) {
	r.t.Helper()
	want := make(map[string]connlogtest.Sum)
	for _, f := range logs {
		for name, sum := range connlogtest.Metrics(f.lines, f.lb) {
			s := want[name]
			want[name] = connlogtest.Sum{Sum: s.Sum + sum.Sum, Samples: s.Samples + sum.Samples}
		}
	}
	got := r.sums()
	for _, name := range metric.AboutProcessor() {
		delete(got, name)
		delete(want, name)
	}
	names := slices.Sorted(maps.Keys(got))
	for name := range want {
		if _, ok := got[name]; !ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		g, w := got[name], want[name]
		if strings.HasPrefix(name, metric.HandshakeLatency) {
			g.Sum = 0
		}
		if g != w {
			r.t.Errorf("%s: got %v, want %v", name, g, w)
		}
	}
	if len(want) == 0 && len(logs) > 0 {
		r.t.Error("nothing to compare")
	}
}

// logText ends the function and returns its log, which is complete only then.
func (r *rig) logText() string {
	r.t.Helper()
	if err := r.lambda.Close(); err != nil {
		r.t.Fatal(err)
	}
	return r.log.String()
}

// logLines ends the function and returns its log lines with the given message.
func (r *rig) logLines(message string) []map[string]any {
	r.t.Helper()
	var list []map[string]any
	for line := range strings.Lines(r.logText()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["message"] == message {
			list = append(list, m)
		}
	}
	return list
}
