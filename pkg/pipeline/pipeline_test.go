package pipeline_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/cwsink"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/rollup"
	"tlswatch/pkg/s3source"
	"tlswatch/pkg/snssink"
)

const (
	bucket = "amzn-s3-demo-logging-bucket"
	lb     = "app/my-loadbalancer/1234567890abcdef"
	key    = "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/23/conn_log_123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20261123T1005Z_172.160.001.192_20sg8hgm.log.gz"
)

var now = time.Date(2026, 11, 23, 10, 7, 0, 0, time.UTC)

// A world is a pipeline with the real adapters in front of stand-ins. It is
// made as the function makes it, but for the clock, shorter pauses, and a rule
// that the log below meets.
type world struct {
	*localaws.Stack
	*pipeline.Pipeline
	pauses []time.Duration
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := func() time.Time { return now }
	stack := awstest.Start(t, localaws.Options{Now: clock}, bucket)
	c := awstest.Config(t)
	w := &world{Stack: stack}
	w.Pipeline = &pipeline.Pipeline{
		Source:         s3source.Source{Client: s3.NewFromConfig(c)},
		Metrics:        cwsink.Sink{Client: cloudwatch.NewFromConfig(c), Namespace: "tlswatch"},
		Alerts:         snssink.Sink{Client: sns.NewFromConfig(c), TopicARN: stack.SNS.CreateTopic("alerts")},
		MetricOptions:  metric.Options{ClientMinFailed: 5, ClientTop: 10},
		IPv6Prefix:     64,
		PublishClients: true,
		Rules:          []alert.Rule{{Name: alert.FailedNegotiations, MinFailed: 5, MinFailedPercent: 1}},
		Now:            clock,
		Sleep: func(ctx context.Context, d time.Duration) error {
			w.pauses = append(w.pauses, d)
			return context.Cause(ctx)
		},
	}
	return w
}

// put stores an object and returns it as its event would announce it.
func (w *world) put(t *testing.T, key string, body []byte) pipeline.Object {
	t.Helper()
	o, err := w.S3.Put(bucket, key, body)
	if err != nil {
		t.Fatal(err)
	}
	return pipeline.Object{Bucket: o.Bucket, Key: o.Key, ETag: o.ETag, Size: o.Size}
}

// sum adds up a metric over all minutes: that of the load balancer, or of the
// processor.
func (w *world) sum(name string) (sum, samples float64) {
	for _, p := range w.CloudWatch.Points() {
		if p.Name == name && (len(p.Dimensions) == 1 && p.Dimensions[metric.LoadBalancer] == lb || p.Dimensions[metric.LoadBalancer] == "" && name != metric.FailedNegotiations) {
			sum, samples = sum+p.Sum, samples+p.Samples
		}
	}
	return sum, samples
}

const (
	fine   = `2026-11-23T10:01:00.000000Z 10.0.0.1 40000 443 TLSv1.3 TLS_AES_128_GCM_SHA256 0.010 "-" - - Success TID_1 x25519`
	failed = `2026-11-23T10:02:00.000000Z 203.0.113.7 40000 443 TLSv1.2 ECDHE-RSA-AES256-SHA - "-" - - Failed:UnmappedConnectionError TID_1 -`
	plain  = `2026-11-23T10:03:00.000000Z 10.0.0.1 40000 80 - - - "-" - - - TID_1 -`
)

// text is the log that most tests read: 20 successes, 5 failures, 2 plaintext.
var text = strings.Repeat(fine+"\n", 20) + strings.Repeat(failed+"\n", 5) + strings.Repeat(plain+"\n", 2)

func zip(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.Bytes()
}

// junk is what a log never holds.
func junk() string {
	r := rand.New(rand.NewPCG(1, 1))
	b := make([]byte, 50_000)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// count is how often the operations of the services were called.
// process runs the pipeline for one object.
func (w *world) process(ctx context.Context, o pipeline.Object) (pipeline.Report, error) {
	r := w.Run(ctx, pipeline.Job{Object: o})[0]
	return r, r.Err
}

type count struct{ Get, Put, Publish int }

func (w *world) calls() count {
	c := w.Calls.Counts()
	return count{c["s3:GetObject"], c["cloudwatch:PutMetricData"], c["sns:Publish"]}
}

// An outcome is what processing one object comes to.
type outcome struct {
	Report pipeline.Report
	Calls  count

	Connections, Failed, Samples, Plaintext float64 // metrics of the load balancer
	Processed, Skipped, Malformed           float64 // metrics of the processor
	Messages                                int
}

// whole is the outcome of reading text.
func whole() outcome {
	return outcome{
		Report: pipeline.Report{Attempts: 1, Bytes: int64(len(text)), Lines: 27, Counts: rollup.Counts{Connections: 25, Failed: 5}, Plaintext: 2, Alerts: 1},
		Calls:  count{1, 1, 1}, Connections: 25, Failed: 5, Samples: 25, Plaintext: 2, Processed: 1, Messages: 1,
	}
}

// skipped is the outcome of passing over an object.
func skipped(reason string, attempts int) outcome {
	return outcome{Report: pipeline.Report{Skipped: reason, Attempts: attempts}, Calls: count{attempts, 1, 0}, Skipped: 1}
}

// nothing is the outcome of an object that could not be read: not one call of
// CloudWatch or SNS.
func nothing(attempts, gets int) outcome {
	return outcome{Report: pipeline.Report{Attempts: attempts}, Calls: count{Get: gets}}
}

// with changes an outcome.
func (o outcome) with(change func(*outcome)) outcome {
	change(&o)
	return o
}

// malformed is text with that many more lines that are no entries.
func malformed(lines int, body string) outcome {
	return whole().with(func(o *outcome) {
		o.Report.Bytes = int64(len(body))
		o.Report.Lines += uint64(lines)
		o.Report.Malformed = uint64(lines)
		o.Malformed = float64(lines)
	})
}

// check compares the outcome, and looks at what holds for each.
func (w *world) check(t *testing.T, object pipeline.Object, r pipeline.Report, want outcome) {
	t.Helper()
	got := outcome{Report: r, Calls: w.calls(), Messages: len(w.SNS.Messages())}
	got.Connections, _ = w.sum(metric.Connections)
	got.Failed, got.Samples = w.sum(metric.FailedNegotiations)
	got.Plaintext, _ = w.sum(metric.PlaintextConnections)
	got.Processed, _ = w.sum(metric.ObjectsProcessed)
	got.Skipped, _ = w.sum(metric.ObjectsSkipped)
	got.Malformed, _ = w.sum(metric.MalformedLines)
	want.Report.Object = object
	if object.AltKey != "" && r.Skipped == "" { // the object has the key under which it was found
		want.Report.Object.Key, want.Report.Object.AltKey = object.AltKey, ""
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(pipeline.Report{}, "Err", "Key", "FirstMalformed", "Data", "Reading", "Publishing")); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
	if (r.FirstMalformed != nil) != (r.Malformed > 0) {
		t.Errorf("%d malformed lines, the first is %v", r.Malformed, r.FirstMalformed)
	}
	if r.Skipped == "" && r.Lines > 0 && r.Key.LoadBalancer != lb {
		t.Errorf("key %+v", r.Key)
	}
}

// TestObjects is about what an object can hold.
func TestObjects(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	tenFields := fine[:strings.Index(fine, " Success")]
	elevenFields := tenFields + " Success"
	old := strings.Replace(failed, "2026-11-23", "1970-01-01", 1)
	future := strings.Replace(failed, "2026-11-23", "2099-01-01", 1)
	odd := strings.NewReplacer("ECDHE-RSA-AES256-SHA", "AES\x00\xff'256", "UnmappedConnectionError", "\xf0\x28\x00").Replace(failed)
	packed := zip(text)
	binary := junk()
	var junkLines int
	for line := range strings.SplitSeq(binary, "\n") {
		if strings.TrimSuffix(line, "\r") != "" {
			junkLines++
		}
	}
	for _, test := range []struct {
		name string
		body []byte
		want outcome
		err  error
	}{
		{"gzip", packed, whole(), nil},
		{"plain text", []byte(text), whole(), nil},
		{"several members", append(zip(text[:len(text)/2]), zip(text[len(text)/2:])...), whole(), nil},
		{"empty", nil, skipped(pipeline.SkippedEmpty, 1), nil},
		{"gzip of nothing", zip(""), skipped(pipeline.SkippedEmpty, 1), nil},
		{"blank lines", zip("\n\r\n\n"), outcome{Report: pipeline.Report{Attempts: 1, Bytes: 4}, Calls: count{1, 1, 0}, Processed: 1}, nil},
		{"gzip cut in the middle", packed[:len(packed)/2], nothing(1, 1), connlog.ErrCorrupt},
		{"gzip cut in the header", packed[:5], nothing(1, 1), connlog.ErrCorrupt},
		{"gzip without its end", packed[:len(packed)-1], nothing(1, 1), connlog.ErrCorrupt},
		{"gzip with a wrong sum", append(bytes.Clone(packed[:len(packed)-8]), make([]byte, 8)...), nothing(1, 1), connlog.ErrCorrupt},
		{"gzip and then something else", append(bytes.Clone(packed), "more"...), nothing(1, 1), connlog.ErrCorrupt},
		{"text beyond the limit", zip(strings.Repeat(text, 2<<20/len(text)+1)), nothing(1, 1), connlog.ErrTooLarge},
		{"gzip of binary junk", zip(binary), outcome{
			Report: pipeline.Report{Attempts: 1, Bytes: int64(len(binary)), Lines: uint64(junkLines), Malformed: uint64(junkLines)},
			Calls:  count{1, 1, 0}, Processed: 1, Malformed: float64(junkLines),
		}, nil},
		{"line of 1 MiB", zip(long + "\n" + text), malformed(1, long+"\n"+text), nil},
		{"line of 1 MiB at the end", zip(text + long), malformed(1, text+long), nil},
		{"lines of NULs", zip(text + "\x00\x00\n\x00\n"), malformed(2, text+"\x00\x00\n\x00\n"), nil},
		{"invalid UTF-8", zip(text + "\xff\xfe\n"), malformed(1, text+"\xff\xfe\n"), nil},
		{"ten fields", zip(tenFields + "\n" + text), malformed(1, tenFields+"\n"+text), nil},
		{"names that CloudWatch would refuse", zip(text + odd + "\n"), whole().with(func(o *outcome) {
			o.Report.Bytes, o.Report.Lines, o.Report.Counts = int64(len(text+odd)+1), 28, rollup.Counts{Connections: 26, Failed: 6}
			o.Connections, o.Failed, o.Samples = 26, 6, 26
		}), nil},
		{"load balancer of unknown form, which the key names", zip(text + elevenFields + " - - bare-name\n"), whole().with(func(o *outcome) {
			o.Report.Bytes, o.Report.Lines, o.Report.Counts.Connections = int64(len(text+elevenFields)+len(" - - bare-name\n")), 28, 26
			o.Connections, o.Samples = 26, 26
		}), nil},
		{"times of 1970 and 2099", zip(old + "\n" + future + "\n" + future + "\n" + text), whole().with(func(o *outcome) {
			o.Report.Bytes, o.Report.Lines = int64(len(text+old+future+future)+3), 30
			o.Report.Counts = rollup.Counts{Connections: 28, Failed: 8}
			o.Report.Stale = metric.Stale{TooOld: 1, TooNew: 2}
		}), nil},
		{"all too old", zip(old + "\n"), outcome{
			Report: pipeline.Report{Attempts: 1, Bytes: int64(len(old) + 1), Lines: 1, Counts: rollup.Counts{Connections: 1, Failed: 1}, Stale: metric.Stale{TooOld: 1}},
			Calls:  count{1, 1, 0}, Processed: 1,
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.ObjectLimit = 2 << 20
			w.MetricOptions.Breakdowns, _ = metric.ParseBreakdowns("all")
			object := w.put(t, key, test.body)
			r, err := w.process(t.Context(), object)
			if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if err != nil { // how far the reader came
				r.Bytes, r.Lines, r.FirstMalformed = 0, 0, nil
			}
			w.check(t, object, r, test.want)
			if len(w.pauses) > 0 {
				t.Errorf("pauses %v", w.pauses)
			}
		})
	}
}

// TestFaults is about what can happen to an object and to the services.
func TestFaults(t *testing.T) {
	cut := wire.Fault{Kind: wire.FaultReplyCut}
	always := func(f wire.Fault) wire.FaultFunc { return func(string, int) wire.Fault { return f } }
	cutTwice := func(_ string, n int) wire.Fault {
		if n <= 2 {
			return cut
		}
		return wire.Fault{}
	}
	later := func(n int) func(*outcome) {
		return func(o *outcome) { o.Report.Attempts, o.Calls.Get = n, n }
	}
	// The alert fails after metrics were published.
	notSent := func(publish int) outcome {
		return whole().with(func(o *outcome) { o.Report.Alerts, o.Calls.Publish, o.Messages = 0, publish, 0 })
	}
	// Metrics are refused: neither they nor an alert are published.
	refused := func(put int) outcome {
		return whole().with(func(o *outcome) {
			*o = outcome{Report: o.Report, Calls: count{1, put, 0}}
			o.Report.Alerts = 0
		})
	}
	for _, test := range []struct {
		name    string
		prepare func(*testing.T, *world, *pipeline.Object)
		want    outcome
		says    []string // in the error; nil for none
	}{
		{"not a log", func(t *testing.T, w *world, o *pipeline.Object) {
			o.Key = "AWSLogs/123456789012/ELBConnectionLogTestFile"
		},
			skipped(logkey.TestFile, 0), nil},
		{"deleted", func(t *testing.T, w *world, o *pipeline.Object) { o.Key = "2026/" + key }, skipped(pipeline.SkippedGone, 1), nil},
		{"replaced", func(t *testing.T, w *world, o *pipeline.Object) { w.put(t, key, []byte("other")) }, skipped(pipeline.SkippedReplaced, 1), nil},
		{"other reading of the key", func(t *testing.T, w *world, o *pipeline.Object) { o.Key, o.AltKey = "a%20b/"+key, key },
			whole().with(func(o *outcome) { o.Calls.Get = 2 }), nil},
		{"access denied", func(t *testing.T, w *world, o *pipeline.Object) {
			w.S3.SetFaults(always(wire.Refuse(403, "AccessDenied")))
		}, nothing(1, 1), []string{"access denied", "s3:GetObject"}},
		{"S3 busy for long", func(t *testing.T, w *world, o *pipeline.Object) {
			w.S3.SetFaults(always(wire.Refuse(503, "SlowDown")))
		}, nothing(1, 3), []string{"SlowDown"}},
		{"S3 busy once", func(t *testing.T, w *world, o *pipeline.Object) {
			w.S3.SetFaults(wire.Refuse(503, "SlowDown").Once("s3:GetObject", 1))
		}, whole().with(func(o *outcome) { o.Calls.Get = 2 }), nil},
		{"body cut once", func(t *testing.T, w *world, o *pipeline.Object) { w.S3.SetFaults(cut.Once("s3:GetObject", 1)) },
			whole().with(later(2)), nil},
		{"body cut twice", func(t *testing.T, w *world, o *pipeline.Object) { w.S3.SetFaults(cutTwice) }, whole().with(later(3)), nil},
		{"body cut thrice", func(t *testing.T, w *world, o *pipeline.Object) { w.S3.SetFaults(always(cut)) },
			nothing(3, 3), []string{"transfer was interrupted", "unexpected EOF"}},
		{"body cut, then replaced", func(t *testing.T, w *world, o *pipeline.Object) {
			w.S3.SetFaults(func(_ string, n int) wire.Fault {
				if n == 1 {
					return cut
				}
				return wire.Refuse(412, "PreconditionFailed")
			})
		}, skipped(pipeline.SkippedReplaced, 2), nil},
		{"CloudWatch refuses", func(t *testing.T, w *world, o *pipeline.Object) {
			w.CloudWatch.SetFaults(always(wire.Refuse(403, "AccessDenied")))
		}, refused(1), []string{"publishing metrics", "AccessDenied"}},
		{"CloudWatch throttles", func(t *testing.T, w *world, o *pipeline.Object) {
			w.CloudWatch.SetFaults(always(wire.Refuse(400, "Throttling")))
		}, refused(5), []string{"publishing metrics", "Throttling"}},
		{"CloudWatch throttles once", func(t *testing.T, w *world, o *pipeline.Object) {
			w.CloudWatch.SetFaults(wire.Refuse(400, "Throttling").Once("cloudwatch:PutMetricData", 1))
		}, whole().with(func(o *outcome) { o.Calls.Put = 2 }), nil},
		{"CloudWatch's reply is lost", func(t *testing.T, w *world, o *pipeline.Object) {
			w.CloudWatch.SetFaults(always(wire.Fault{Kind: wire.FaultReplyLost}))
		}, whole().with(func(o *outcome) { o.Report.Alerts, o.Calls.Publish, o.Messages = 0, 0, 0 }), []string{"may have been accepted"}},
		{"SNS refuses", func(t *testing.T, w *world, o *pipeline.Object) {
			w.SNS.SetFaults(always(wire.Refuse(403, "AuthorizationError")))
		}, notSent(1), []string{"publishing alert failed-negotiations", "sns:Publish"}},
		{"SNS fails for long", func(t *testing.T, w *world, o *pipeline.Object) {
			w.SNS.SetFaults(always(wire.Refuse(500, "InternalError")))
		}, notSent(5), []string{"publishing alert failed-negotiations"}},
		{"one of two rules fails", func(t *testing.T, w *world, o *pipeline.Object) {
			w.Rules = append(w.Rules, alert.Rule{Name: "second", MinFailed: 1}, alert.Rule{Name: "never", MinFailed: 1000})
			w.SNS.SetFaults(wire.Refuse(403, "AuthorizationError").Once("sns:Publish", 1))
		}, whole().with(func(o *outcome) { o.Calls.Publish = 2 }), []string{"publishing alert failed-negotiations"}},
		{"no alert sink", func(t *testing.T, w *world, o *pipeline.Object) { w.Alerts = nil }, notSent(0).with(func(o *outcome) { o.Report.Alerts = 1 }), nil},
		{"no rules", func(t *testing.T, w *world, o *pipeline.Object) { w.Rules = nil }, notSent(0), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			object := w.put(t, key, zip(text))
			test.prepare(t, w, &object)
			r, err := w.process(t.Context(), object)
			if (err == nil) != (test.says == nil) {
				t.Errorf("error %v", err)
			}
			for _, part := range test.says {
				if err != nil && !strings.Contains(err.Error(), part) {
					t.Errorf("error %v does not say %q", err, part)
				}
			}
			if test.want.Report.Lines == 0 { // how far the reader came
				r.Bytes = 0
			}
			w.check(t, object, r, test.want)
			for i, pause := range w.pauses {
				if pause != 200*time.Millisecond<<i {
					t.Errorf("pauses %v", w.pauses)
				}
			}
			if want := max(r.Attempts-1, 0); len(w.pauses) != want {
				t.Errorf("%d pauses between %d attempts", len(w.pauses), r.Attempts)
			}
		})
	}
}

// TestMetricsAtTheirMinute: metrics carry the time of the entries, those of
// the processor the time of the work.
func TestMetricsAtTheirMinute(t *testing.T) {
	w := newWorld(t)
	r, err := w.process(t.Context(), w.put(t, key, zip(text)))
	if err != nil {
		t.Fatal(err)
	}
	points := w.CloudWatch.Points()
	if n := len((&metric.Processor{Lags: []time.Duration{0}}).Data(now)); len(points) != r.Data+n {
		t.Errorf("%d points, %d reported and %d about the processor", len(points), r.Data, n)
	}
	for _, p := range points {
		want := map[string]string{metric.Connections: "10:01 10:02", metric.FailedNegotiations: "10:01 10:02", metric.HandshakeLatency: "10:01", metric.PlaintextConnections: "10:03"}[p.Name]
		if want == "" {
			want = "10:07"
		}
		if at := p.Timestamp.Format("15:04"); !strings.Contains(want, at) || p.Namespace != "tlswatch" {
			t.Errorf("%s %s %v at %s, want %s", p.Namespace, p.Name, p.Dimensions, at, want)
		}
		if p.Name == metric.ProcessingLag && p.Sum != 120 {
			t.Errorf("lag %v", p.Sum)
		}
	}
}

// TestAlertText: the alert names the object and, if wanted only, clients.
func TestAlertText(t *testing.T) {
	for _, clients := range []bool{true, false} {
		w := newWorld(t)
		w.PublishClients = clients
		if _, err := w.process(t.Context(), w.put(t, key, zip(text))); err != nil {
			t.Fatal(err)
		}
		m := w.SNS.Messages()
		if len(m) != 1 {
			t.Fatalf("%d messages", len(m))
		}
		for protocol, text := range m[0].Messages {
			if strings.Contains(text, "203.0.113.7") != (clients && protocol != "sms") {
				t.Errorf("%s names clients although PublishClients is %v: %s", protocol, clients, text)
			}
		}
		if !strings.Contains(m[0].Text("email"), "s3://"+bucket+"/"+key) {
			t.Errorf("no object in %s", m[0].Text("email"))
		}
	}
}

func TestDeadlineWhileReading(t *testing.T) {
	w := newWorld(t)
	w.Sleep = pipeline.Sleep
	object := w.put(t, key, zip(text+junk()))
	w.S3.SetFaults(func(string, int) wire.Fault { return wire.Fault{Drip: 10 * time.Minute} })
	near := errors.New("deadline of the invocation is near")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, near)
	defer cancel()
	began := time.Now()
	r, err := w.process(ctx, object)
	if !errors.Is(err, near) || time.Since(began) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	r.Bytes = 0
	w.check(t, object, r, nothing(1, 1))
}

// TestDeadlineWhileWaiting: the error says what the wait was for.
func TestDeadlineWhileWaiting(t *testing.T) {
	w := newWorld(t)
	near := errors.New("deadline of the invocation is near")
	ctx, cancel := context.WithCancelCause(t.Context())
	w.Sleep = func(ctx context.Context, d time.Duration) error {
		cancel(near)
		return pipeline.Sleep(ctx, time.Minute)
	}
	object := w.put(t, key, zip(text))
	w.S3.SetFaults(func(string, int) wire.Fault { return wire.Fault{Kind: wire.FaultReplyCut} })
	r, err := w.process(ctx, object)
	if !errors.Is(err, near) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
	r.Bytes = 0
	w.check(t, object, r, nothing(1, 1))
}

// A lateSource ends the context with the last byte of an object.
type lateSource struct {
	pipeline.Source
	cancel func()
}

func (s lateSource) Open(ctx context.Context, o pipeline.Object) (pipeline.Object, io.ReadCloser, error) {
	o, body, err := s.Source.Open(ctx, o)
	if err != nil {
		return o, nil, err
	}
	data, err := io.ReadAll(body)
	s.cancel()
	return o, io.NopCloser(bytes.NewReader(data)), err
}

// TestDeadlineAfterReading: publishing does not begin without time for it.
func TestDeadlineAfterReading(t *testing.T) {
	w := newWorld(t)
	near := errors.New("deadline of the invocation is near")
	ctx, cancel := context.WithCancelCause(t.Context())
	w.Source = lateSource{w.Source, func() { cancel(near) }}
	object := w.put(t, key, zip(text))
	r, err := w.process(ctx, object)
	if !errors.Is(err, near) || !strings.Contains(err.Error(), "before publishing") {
		t.Errorf("error %v", err)
	}
	w.check(t, object, r, whole().with(func(o *outcome) {
		*o = outcome{Report: o.Report, Calls: count{1, 0, 0}}
		o.Report.Alerts = 0
	}))
}

// TestDeadlineWhilePublishing: an alert that found no time is an error.
func TestDeadlineWhilePublishing(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	w.SNS.SetFaults(func(string, int) wire.Fault { return wire.Fault{Delay: 10 * time.Minute} })
	object := w.put(t, key, zip(text))
	r, err := w.process(ctx, object)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "failed-negotiations") {
		t.Errorf("error %v", err)
	}
	w.check(t, object, r, whole().with(func(o *outcome) { o.Report.Alerts, o.Messages = 0, 0 }))
}

// TestTogether: one pipeline serves several goroutines.
func TestTogether(t *testing.T) {
	w := newWorld(t)
	w.Sleep = pipeline.Sleep
	w.Rules = nil
	const objects = 8
	var all sync.WaitGroup
	for i := range objects {
		object := w.put(t, fmt.Sprintf("%d/%s", i, key), zip(text))
		all.Go(func() {
			if r, err := w.process(t.Context(), object); err != nil || r.Counts.Connections != 25 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	all.Wait()
	if sum, _ := w.sum(metric.Connections); sum != 25*objects {
		t.Errorf("%v connections", sum)
	}
}

func TestSleep(t *testing.T) {
	if err := pipeline.Sleep(t.Context(), time.Millisecond); err != nil {
		t.Error(err)
	}
	over := errors.New("over")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(over)
	if err := pipeline.Sleep(ctx, time.Minute); err != over {
		t.Errorf("error %v", err)
	}
}

// TestOwners: a direct event may name tens of thousands of objects, all of one
// owner. Each claim looks the owners through.
func TestOwners(t *testing.T) {
	jobs := make([]pipeline.Job, 50000)
	for i := range jobs {
		jobs[i].Owner = []string{"b", "a"}[i%2]
	}
	if got := pipeline.Owners(jobs); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%d owners", len(got))
	}
}

func TestURI(t *testing.T) {
	if got := (pipeline.Object{Bucket: "b", Key: "a b/c"}).URI(); got != "s3://b/a b/c" {
		t.Errorf("%s", got)
	}
}
