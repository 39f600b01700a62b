package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/functiontest"
	"tlswatch/internal/localaws/lambda"
	"tlswatch/internal/localaws/s3"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/pipeline"
)

// What is published equals a count by the reference parser over the same lines.
func TestEndToEnd(t *testing.T) {
	r := newRig(t, nil)
	a := makeLog(t, 1, 2500, "app/shop/50dc6c495c0c9188")
	b := makeLog(t, 2, 300, "app/my-loadbalancer/1234567890abcdef")
	b.Lines = append(b.Lines, "a line that is none", `2026-11-23T10:00:00Z "`)
	r.notify(r.put(a.Key, a.Gzip()))
	r.notify(r.put(b.Key, b.Gzip()))

	r.checkSums(a, b)
	sums := functiontest.Sums(r.stack)
	for name, want := range map[string]connlogtest.Sum{
		metric.ObjectsProcessed: {Sum: 2, Samples: 2},
		metric.ObjectsSkipped:   {Sum: 0, Samples: 2},
		metric.MalformedLines:   {Sum: 2, Samples: 2},
		metric.DuplicateObjects: {Sum: 0, Samples: 2},
		metric.DelayedObjects:   {Sum: 0, Samples: 2},
	} {
		if sums[name] != want {
			t.Errorf("%s: got %v, want %v", name, sums[name], want)
		}
	}
	if sums[metric.ProcessingLag].Samples != 2 {
		t.Errorf("ProcessingLag has %v samples", sums[metric.ProcessingLag].Samples)
	}

	messages := r.stack.SNS.Messages()
	if len(messages) != 1 {
		t.Fatalf("%d alerts, want one: only the first log is over the threshold", len(messages))
	}
	m := messages[0]
	if m.TopicARN != r.topic || m.Attributes["loadBalancer"] != a.LoadBalancer || m.Attributes["rule"] != "failed-negotiations" || m.Attributes["severity"] == "" {
		t.Errorf("alert to %s with attributes %v", m.TopicARN, m.Attributes)
	}
	var doc struct {
		Schema string
		Failed float64
		Window struct{ Connections, Failed float64 }
	}
	if err := json.Unmarshal([]byte(m.Text("sqs")), &doc); err != nil {
		t.Fatal(err)
	}
	want := connlogtest.Metrics(a.Lines, a.LoadBalancer)["FailedNegotiations LoadBalancer="+a.LoadBalancer]
	if doc.Schema != "tlswatch.alert/v1" || doc.Failed != want.Sum || doc.Window.Connections != want.Samples {
		t.Errorf("alert %+v, want %v", doc, want)
	}

	lines := r.logLines("processed")
	if len(lines) != 2 {
		t.Fatalf("%d log lines for 2 objects:\n%s", len(lines), r.log)
	}
	for i, want := range []map[string]any{
		{"level": "INFO", "key": a.Key, "lines": 2500.0, "malformed": 0.0, "alerts": 1.0, "attempts": 1.0, "failed": want.Sum},
		{"level": "INFO", "key": b.Key, "lines": 302.0, "malformed": 2.0, "alerts": 0.0},
	} {
		for name, value := range want {
			if lines[i][name] != value {
				t.Errorf("object %d: %s is %v, want %v", i+1, name, lines[i][name], value)
			}
		}
		if lines[i]["requestId"] == nil || lines[i]["timestamp"] == nil {
			t.Errorf("no request id or time in %v", lines[i])
		}
	}
	calls := r.stack.Calls.Counts()
	if calls["s3:GetObject"] != 2 || calls["cloudwatch:PutMetricData"] != 2 || calls["sns:Publish"] != 1 || len(calls) != 3 {
		t.Errorf("API calls: %v", calls)
	}
}

// A reply that is cut does not make an invocation count twice.
func TestReplyCut(t *testing.T) {
	for _, test := range []struct {
		operation string
		calls     int
	}{
		{"s3:GetObject", 2},             // the whole object is read again
		{"cloudwatch:PutMetricData", 1}, // 200 is accepted, whatever follows
		{"sns:Publish", 1},
	} {
		t.Run(test.operation, func(t *testing.T) {
			r := newRig(t, nil)
			f := makeLog(t, 3, 2000, "app/a/1")
			r.stack.S3.SetFaults(wire.Fault{Kind: wire.FaultReplyCut}.Once(test.operation, 1))
			r.stack.CloudWatch.SetFaults(wire.Fault{Kind: wire.FaultReplyCut}.Once(test.operation, 1))
			r.stack.SNS.SetFaults(wire.Fault{Kind: wire.FaultReplyCut}.Once(test.operation, 1))
			r.notify(r.put(f.Key, f.Gzip()))
			if got := r.errors(); len(got) != 1 || got[0] != "" {
				t.Errorf("invocations: %q, want one success", got)
			}
			r.checkSums(f)
			if n := r.stack.Calls.Counts()[test.operation]; n != test.calls {
				t.Errorf("%d calls, want %d", n, test.calls)
			}
		})
	}
}

// Objects of one event are independent: invalid ones fail the invocation after the
// others have been processed, and the error names them all.
func TestOneBadObject(t *testing.T) {
	r := startRig(t, nil, lambda.Options{Timeout: 20 * time.Second, RetryDelays: []time.Duration{}})
	a, b, c, d := makeLog(t, 4, 200, "app/a/1"), makeLog(t, 5, 200, "app/b/2"), makeLog(t, 6, 200, "app/c/3"), makeLog(t, 7, 200, "app/d/4")
	packed := b.Gzip()
	r.notify(
		r.put(a.Key, a.Gzip()),
		r.put(b.Key, packed[:len(packed)/2]),
		r.put(c.Key, c.Gzip()),
		r.put(d.Key, bytes.Replace(d.Gzip(), []byte{0x1f, 0x8b, 8}, []byte{0x1f, 0x8b, 7}, 1)),
	)
	r.checkSums(a, c)
	got := r.errors()
	if len(got) != 1 || !strings.Contains(got[0], b.Key) || !strings.Contains(got[0], d.Key) || strings.Contains(got[0], a.Key) || strings.Contains(got[0], c.Key) {
		t.Errorf("errors: %q", got)
	}
	if n := len(r.lambda.DeadLetters()); n != 1 {
		t.Errorf("%d dead letters", n)
	}
	if ok, failed := len(r.logLines("processed")), len(r.logLines("failed")); ok != 2 || failed != 2 {
		t.Errorf("log: %d processed, %d failed", ok, failed)
	}
}

// Objects that are not logs or no longer exist are skipped, counted and logged,
// and not retried.
func TestSkipped(t *testing.T) {
	r := newRig(t, nil)
	f := makeLog(t, 8, 100, "app/a/1")
	gone := r.put(f.Key, f.Gzip())
	gone.Key = strings.Replace(gone.Key, "192.0.2.10", "192.0.2.11", 1)
	replaced := r.put(f.Key, f.Gzip())
	replaced.ETag = "0123456789abcdef0123456789abcdef"
	objects := []s3.ObjectCreated{
		gone, replaced,
		r.put("AWSLogs/123456789012/ELBConnectionLogTestFile", []byte("test")),
		r.put(strings.Replace(f.Key, "conn_log_", "", 1), f.Gzip()),
		r.put(strings.Replace(f.Key, "192.0.2.10", "192.0.2.12", 1), nil),
	}
	r.notify(objects...)
	if got := r.errors(); len(got) != 1 || got[0] != "" {
		t.Errorf("invocations: %q", got)
	}
	if got := functiontest.Sums(r.stack)[metric.ObjectsSkipped]; got.Sum != float64(len(objects)) {
		t.Errorf("ObjectsSkipped is %v", got)
	}
	r.checkSums()
	lines := r.logLines("skipped")
	if len(lines) != len(objects) {
		t.Fatalf("%d log lines", len(lines))
	}
	for i, want := range []string{"gone", "replaced", "test file", "access log", "empty"} {
		if reason, _ := lines[i]["reason"].(string); !strings.Contains(reason, want) {
			t.Errorf("object %d skipped because %q, want %q", i+1, reason, want)
		}
	}
}

func TestAccessDenied(t *testing.T) {
	r := newRig(t, nil)
	r.stack.S3.SetFaults(func(string, int) wire.Fault { return wire.Refuse(403, "AccessDenied") })
	f := makeLog(t, 9, 100, "app/a/1")
	r.notify(r.put(f.Key, f.Gzip()))
	got := r.errors()
	if len(got) != 3 || len(r.lambda.DeadLetters()) != 1 {
		t.Errorf("%d attempts, %d dead letters", len(got), len(r.lambda.DeadLetters()))
	}
	for _, want := range []string{bucket, f.Key, "s3:GetObject"} {
		if !strings.Contains(got[0], want) {
			t.Errorf("%q is not in the error %q", want, got[0])
		}
	}
}

// Throttling passes within the invocation.
func TestThrottled(t *testing.T) {
	r := newRig(t, nil)
	f := makeLog(t, 10, 2000, "app/a/1")
	first := func(code string, status int) wire.FaultFunc {
		return func(_ string, n int) wire.Fault {
			if n == 1 {
				return wire.Refuse(status, code)
			}
			return wire.Fault{}
		}
	}
	r.stack.S3.SetFaults(first("SlowDown", 503))
	r.stack.CloudWatch.SetFaults(first("Throttling", 400))
	r.stack.SNS.SetFaults(first("Throttled", 400))
	r.notify(r.put(f.Key, f.Gzip()))
	if got := r.errors(); len(got) != 1 || got[0] != "" {
		t.Errorf("invocations: %q", got)
	}
	r.checkSums(f)
	if n := len(r.stack.SNS.Messages()); n != 1 {
		t.Errorf("%d alerts", n)
	}
}

// The function ends before its deadline, with an error that says so, and publishes
// nothing of the objects that it could not finish.
func TestDeadline(t *testing.T) {
	r := startRig(t, map[string]string{"DEADLINE_MARGIN": "500ms"}, lambda.Options{Timeout: 2 * time.Second, RetryDelays: []time.Duration{}})
	r.stack.S3.SetFaults(func(string, int) wire.Fault { return wire.Fault{Drip: 10 * time.Second} })
	var objects []s3.ObjectCreated
	for i := range runtime.GOMAXPROCS(0) + 2 { // more than are read at the same time
		log := makeLog(t, uint64(100+i), 500, fmt.Sprintf("app/a/%d", i))
		objects = append(objects, r.put(log.Key, log.Gzip()))
	}
	r.notify(objects...)
	got := r.errors()
	if len(got) != 1 || strings.Contains(got[0], "Timedout") || !strings.Contains(got[0], "deadline of the invocation is near") || !strings.Contains(got[0], pipeline.ErrNotBegun.Error()) {
		t.Errorf("errors: %q", got)
	}
	if d := r.lambda.Invocations()[0].Duration; d > 1900*time.Millisecond {
		t.Errorf("took %v of 2 s", d)
	}
	r.checkSums()
}

// address matches client addresses in generated logs.
var address = regexp.MustCompile(`\b(10|100|198|203)\.\d+\.\d+\.\d+\b|2001:db8|example\.com`)

// With LOG_CLIENTS=false client addresses are not in the log, and with
// PUBLISH_CLIENTS=false nowhere else either, not even in the debug log.
func TestClientsArePrivate(t *testing.T) {
	for _, publish := range []bool{true, false} {
		settings := map[string]string{"PUBLISH_CLIENTS": "true", "LOG_CLIENTS": "false"}
		if !publish {
			settings = map[string]string{"PUBLISH_CLIENTS": "false", "AWS_LAMBDA_LOG_LEVEL": "DEBUG"}
		}
		r := newRig(t, settings)
		f := makeLog(t, 13, 2500, "app/a/1")
		f.Lines = append(f.Lines, strings.Replace(f.Lines[0], "T", " ", 1), strings.Replace(f.Lines[1], "Z ", "Z 203.0.113.999", 1))
		r.notify(r.put(f.Key, f.Gzip()))
		if found := address.FindString(r.logText()); found != "" {
			t.Errorf("publish %v: %s is in the log", publish, found)
		}
		alerts, err := json.Marshal(r.stack.SNS.Messages())
		if err != nil {
			t.Fatal(err)
		}
		metrics, err := json.Marshal(r.sumNames())
		if err != nil {
			t.Fatal(err)
		}
		if len(r.stack.SNS.Messages()) != 1 {
			t.Errorf("%d alerts", len(r.stack.SNS.Messages()))
		}
		for what, text := range map[string][]byte{"alerts": alerts, "metrics": metrics} {
			if found := address.FindString(string(text)); (found != "") != publish {
				t.Errorf("publish %v: found %q in %s", publish, found, what)
			}
		}
	}
}

// The log has one line for each client and reason of an object, however often the
// object is announced or retried, and no certificate subject. The sums that
// Contributor Insights makes of the lines are those of the log object.
func TestFailingClientsAreLogged(t *testing.T) {
	r := newRig(t, map[string]string{"STATE_BUCKET": stateBucket})
	if err := r.stack.S3.CreateBucket(stateBucket); err != nil {
		t.Fatal(err)
	}
	f := makeLog(t, 13, 2500, "app/a/1")
	r.stack.CloudWatch.SetFaults(wire.Refuse(400, "InvalidParameterValue").Once("cloudwatch:PutMetricData", 1))
	o := r.put(f.Key, f.Gzip())
	r.notify(o)
	r.notify(o)

	type contributor struct{ client, reason string }
	want := make(map[contributor]float64)
	for _, line := range f.Lines {
		fields := connlogtest.Reference(line)
		if reason, failed := strings.CutPrefix(fields[10], "Failed:"); failed {
			client := netip.MustParseAddr(strings.Trim(fields[1], "[]"))
			if client.Is6() {
				want[contributor{netip.PrefixFrom(client, 64).Masked().String(), reason}]++
			} else {
				want[contributor{client.String(), reason}]++
			}
		}
	}
	got := make(map[contributor]float64)
	lines := r.logLines("failing client")
	for _, line := range lines {
		if line["loadBalancer"] != f.LoadBalancer || line["cipher"] == "" || line["protocol"] == "" {
			t.Errorf("line: %v", line)
		}
		got[contributor{line["client"].(string), line["reason"].(string)}] += line["failed"].(float64)
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(contributor{})); d != "" || len(lines) != len(want) || len(want) == 0 {
		t.Errorf("%d lines: -want +got\n%s", len(lines), d)
	}
	if strings.Contains(r.log.String(), "example.com") {
		t.Error("a certificate subject is in the log")
	}
}

func (r *rig) sumNames() []string {
	var names []string
	for name := range functiontest.Sums(r.stack) {
		names = append(names, name)
	}
	return names
}

// Invalid settings are an error at start-up that names all of them.
func TestBadSettings(t *testing.T) {
	r := startRig(t, map[string]string{"CLIENT_TOP": "many", "METRIC_NAMESPACE": "AWS/X"}, lambda.Options{RetryDelays: []time.Duration{}})
	f := makeLog(t, 14, 10, "app/a/1")
	r.notify(r.put(f.Key, f.Gzip()))
	if got := r.errors(); len(got) != 1 || got[0] == "" {
		t.Errorf("invocations: %q", got)
	}
	for _, want := range []string{"CLIENT_TOP", "METRIC_NAMESPACE"} {
		if !strings.Contains(r.logText(), want) {
			t.Errorf("%s is not in the log:\n%s", want, r.log)
		}
	}
}

func TestMalformedEvent(t *testing.T) {
	r := newRig(t, nil)
	for payload, want := range map[string]string{
		`{"hello":"world"}`: "hello",
		`"x"`:               "s3://BUCKET/KEY",
	} {
		result, err := r.lambda.Invoke(t.Context(), []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		if result.Error == nil || !strings.Contains(result.Error.Message, want) {
			t.Errorf("%s: got %v, want an error with %q", payload, result.Error, want)
		}
	}
}

// The function finds the objects of every event in the folder events.
func TestEvents(t *testing.T) {
	files, err := filepath.Glob("../../events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no events: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			payload, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := newRig(t, nil)
			result, err := r.lambda.Invoke(t.Context(), payload)
			if err != nil {
				t.Fatal(err)
			}
			// The objects do not exist here, which is no error: each is skipped.
			if result.Error != nil {
				t.Fatal(result.Error)
			}
			skipped, ignored := len(r.logLines("skipped")), len(r.logLines("ignored"))
			if skipped+ignored == 0 {
				t.Errorf("nothing was done:\n%s", r.log)
			}
			if got := functiontest.Sums(r.stack)[metric.ObjectsSkipped].Sum; int(got) != skipped {
				t.Errorf("ObjectsSkipped is %v for %d objects", got, skipped)
			}
			t.Logf("%d objects, %d ignored, reply %s", skipped, ignored, result.Payload)
		})
	}
}
