package tail

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/elb"
	"tlswatch/internal/localaws/s3"
	"tlswatch/internal/localaws/sqs"
	"tlswatch/internal/localaws/wire"
	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/report"
	"tlswatch/pkg/report/view"
	"tlswatch/pkg/secpolicy"
)

// A tailing is a tail that runs.
type tailing struct {
	t              *testing.T
	stdout, stderr awstest.Buffer
	stop           context.CancelFunc
	ended          chan int
}

func startTail(t *testing.T, args ...string) *tailing {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	tail := &tailing{t: t, stop: cancel, ended: make(chan int, 1)}
	go func() {
		tail.ended <- clitest.RunIO(ctx, New(), append([]string{"tail"}, args...), strings.NewReader(""), &tail.stdout, &tail.stderr)
	}()
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			t.Logf("standard output:\n%s\nstandard error:\n%s", &tail.stdout, &tail.stderr)
		}
	})
	return tail
}

func (tail *tailing) prints(texts ...string) {
	tail.t.Helper()
	for _, text := range texts {
		clitest.Until(tail.t, text, func() bool { return strings.Contains(tail.stdout.String(), text) })
	}
}

func (tail *tailing) says(text string) {
	tail.t.Helper()
	clitest.Until(tail.t, text, func() bool { return strings.Contains(tail.stderr.String(), text) })
}

// end is Ctrl-C. It returns the exit status.
func (tail *tailing) end() int {
	tail.t.Helper()
	tail.stop()
	select {
	case status := <-tail.ended:
		return status
	case <-time.After(30 * time.Second):
		tail.t.Fatal("tail does not end")
		return 0
	}
}

// tailText is a log of a success and some failures, each of a client of its own
// in a block that belongs to the log.
func tailText(end time.Time, block, failures int) string {
	var b strings.Builder
	at := end.Add(-time.Minute).UTC().Format("2006-01-02T15:04:05.000000Z")
	fmt.Fprintf(&b, "%s 10.0.%d.0 36280 443 TLSv1.3 TLS_AES_128_GCM_SHA256 0.010 - - - Success\n", at, block)
	for i := range failures {
		fmt.Fprintf(&b, "%s 203.0.%d.%d 36281 443 TLSv1.2 ECDHE-RSA-AES256-SHA - - - - Failed:UnmappedConnectionError\n", at, block, i+1)
	}
	return b.String()
}

func zipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.Bytes()
}

// The failures of addresses to ignore are not printed; the summary counts them apart.
func TestTailIgnores(t *testing.T) {
	b := clitest.NewBucket(t)
	end := time.Now().UTC().Truncate(logkey.Period)
	b.Put(t, clitest.LogKey(end, 2), tailText(end, 2, 3))
	tail := startTail(t, "--interval", "1s", "--ignore", "203.0.2.1,203.0.2.2", "--ignore", "10.0.2.0/24", "s3://"+clitest.BucketName+"/AWSLogs/")
	tail.prints("203.0.2.3 ")
	if status := tail.end(); status != command.ExitInterrupted {
		t.Errorf("exit status %d", status)
	}
	if out := tail.stdout.String(); strings.Contains(out, "203.0.2.1 ") || !strings.Contains(out, "apart: 3 connections of ignored addresses, 2 failed\n") {
		t.Error("ignored addresses are not apart")
	}
}

// The summary tells the story of all connections, which --failed does not restrict and
// other filters do.
func TestTailStory(t *testing.T) {
	for _, test := range []struct{ flags, want string }{
		{"--failed", "\nSUMMARY\n\nToo few connections to say "},
		{"--failed --protocol TLSv1.2", "\nSUMMARY\n\n--protocol leaves out connections that the story of the failures needs.\n"},
	} {
		b := clitest.NewBucket(t)
		end := time.Now().UTC().Truncate(logkey.Period)
		b.Put(t, clitest.LogKey(end, 2), tailText(end, 2, 3))
		tail := startTail(t, append(strings.Fields(test.flags), "--interval", "1s", "s3://"+clitest.BucketName+"/AWSLogs/")...)
		tail.prints("203.0.2.3 ")
		tail.end()
		if out := tail.stdout.String(); !strings.Contains(out, test.want) {
			t.Errorf("%s: %q is not there", test.flags, test.want)
		}
	}
}

// Polling prints every failure of every object once: those there at the start
// that are recent, new ones, and those that come late, whatever goes wrong.
func TestTailPoll(t *testing.T) {
	b := clitest.NewBucket(t)
	now := time.Now().UTC()
	end := now.Truncate(logkey.Period)
	key := func(n int) string { return clitest.LogKey(end, n) }
	b.Put(t, clitest.LogKey(end.Add(-2*time.Hour), 1), tailText(end.Add(-2*time.Hour), 1, 1))
	b.Put(t, key(2), tailText(end, 2, 1))
	tail := startTail(t, "--interval", "1s", "--policy", "TLS13-1-2-2021-06", "s3://"+clitest.BucketName+"/AWSLogs/")
	tail.prints("203.0.2.1 ", "cipher ECDHE-RSA-AES256-SHA")

	// Throttled, and one object that breaks off half-way and is refused then.
	var gets, lists atomic.Int32
	b.S3.SetFaults(func(operation string, _ int) wire.Fault {
		switch operation {
		case "s3:ListObjectsV2":
			switch lists.Add(1) {
			case 1:
				return wire.Refuse(503, "SlowDown")
			case 3:
				return wire.Refuse(403, "AccessDenied")
			}
		case "s3:GetObject":
			switch gets.Add(1) {
			case 1:
				return wire.Fault{Kind: wire.FaultReplyCut}
			case 2, 3: // fetched ahead, and when it is read
				return wire.Refuse(403, "AccessDenied")
			}
		}
		return wire.Fault{}
	})
	late := end.Add(-3 * time.Hour)
	lateKey := strings.Replace(clitest.LogKey(late, 4), late.Format(input.KeyDate), end.Format(input.KeyDate), 1)
	b.Put(t, key(3), tailText(end, 3, 200))
	tail.says("will retry: ")
	tail.prints("203.0.3.200 ")
	b.Put(t, lateKey, tailText(late, 4, 1))
	yesterday := strings.Replace(clitest.LogKey(late, 5), late.Format(input.KeyDate), now.Add(-24*time.Hour).Format(input.KeyDate), 1)
	b.Put(t, yesterday, tailText(late, 5, 1))
	b.Put(t, strings.Replace(key(6), "conn_log_", "", 1), tailText(end, 6, 1))
	broken := zipped(tailText(end, 7, 3))
	b.Put(t, key(7), string(broken[:len(broken)-4]))
	b.Put(t, key(2), tailText(end, 8, 1))
	tail.prints("203.0.4.1 ", "203.0.5.1 ")
	tail.says("4 lines of it are: gzip data is cut or corrupt")
	tail.says("will list again in 2s: ")
	tail.says("replaced after it was read; the new version is not read")
	vended := "logs/AWSLogs/123456789012/elasticloadbalancing/us-east-1/" + end.Format(input.KeyDate) + "/a.json"
	b.Put(t, strings.TrimPrefix(vended, "logs/"), `{"time":"`+now.Format(time.RFC3339)+`","client_ip":"203.0.9.1","tls_verify_status":"Failed:ClientCertExpired","leaf_client_cert_subject":"CN=a\u001b[31m"}`+"\n"+`{"time":1}`)
	tail.prints("ClientCertExpired", "203.0.9.1 ", `CN=a\x1b[31m`)

	if status := tail.end(); status != command.ExitInterrupted {
		t.Errorf("exit status %d", status)
	}
	out := tail.stdout.String()
	lines, summary, _ := strings.Cut(out, "\nSUMMARY\n")
	for _, client := range []string{"2.1", "3.1", "3.99", "3.200", "4.1", "5.1", "7.1", "7.3", "9.1"} {
		if n := strings.Count(lines, " 203.0."+client+" "); n != 1 {
			t.Errorf("client 203.0.%s is printed %d times", client, n)
		}
	}
	if n := strings.Count(lines, "why: "); n != 2 {
		t.Errorf("%d explanations", n)
	}
	if n := strings.Count(lines, "smallest policy change"); n != 1 {
		t.Errorf("the policy that accepts a client is named %d times", n)
	}
	for _, not := range []string{"203.0.1.1 ", "203.0.6.1 ", "203.0.8.1 "} {
		if strings.Contains(lines, not) {
			t.Errorf("%s is printed", not)
		}
	}
	for _, want := range []string{"5 logs, 213 lines", "212 connections, 207 failed (97.6 % of TLS)", "1 log: access log of an Application Load Balancer", "INVALID LINES: 1"} {
		if !strings.Contains(summary, want) {
			t.Errorf("%q is not in the summary:\n%s", want, summary)
		}
	}
	if !strings.Contains(tail.stderr.String(), vended[len("logs/"):]+": line 2: time: not an ISO 8601 time in UTC") {
		t.Error("the malformed line is not named")
	}
}

// An object that is deleted after it was listed is reported.
func TestTailGone(t *testing.T) {
	b := clitest.NewBucket(t)
	end := time.Now().UTC().Truncate(logkey.Period)
	b.S3.SetFaults(wire.Refuse(404, "NoSuchKey").Once("s3:GetObject", 1))
	b.Put(t, clitest.LogKey(end, 1), tailText(end, 1, 1))
	tail := startTail(t, "--interval", "1s", "s3://"+clitest.BucketName)
	tail.says("gone before it was read")
	b.Put(t, clitest.LogKey(end, 2), tailText(end, 2, 1))
	tail.prints("203.0.2.1 ")
	tail.end()
	if out := tail.stdout.String(); strings.Contains(out, "203.0.1.1") || !strings.Contains(out, "gone before it was read") {
		t.Error("an object that is gone")
	}
}

// A prefix that cannot be listed at the start is an error; --for ends in success.
func TestTailEnds(t *testing.T) {
	clitest.NewBucket(t)
	status, _, stderr := clitest.Run(t.Context(), New(), "tail", "s3://no-such-bucket/x")
	if status != command.ExitFailed || !strings.Contains(stderr, `there is no bucket "no-such-bucket"`) {
		t.Errorf("%d %s", status, stderr)
	}
	status, stdout, stderr := clitest.Run(t.Context(), New(), "tail", "--for", "10ms", "s3://"+clitest.BucketName)
	if status != command.ExitOK || !strings.Contains(stdout, "0 logs") || stderr != "" {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
}

// events are ways in which a queue hears of an object.
func snsBody(event []byte) string {
	message, _ := json.Marshal(string(event))
	return `{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:us-east-1:123456789012:t","Message":` + string(message) + `,"Timestamp":"2026-11-23T10:00:00.000Z","SignatureVersion":"1","Signature":"x","SigningCertURL":"x","UnsubscribeURL":"x"}`
}

// A queue's messages are deleted when everything in them is printed, once.
func TestTailQueue(t *testing.T) {
	b := clitest.NewBucket(t)
	queue := b.SQS.CreateQueue("new-logs", sqs.QueueOptions{})
	send := func(body string) {
		t.Helper()
		if _, err := b.SQS.Send(queue, body, nil); err != nil {
			t.Fatal(err)
		}
	}
	end := time.Now().UTC().Truncate(logkey.Period)
	event := func(n, failures int) []byte {
		return s3.Event(b.Put(t, clitest.LogKey(end, n), tailText(end, n, failures)))
	}
	gone := func(n int) string { return strings.Replace(string(event(n, 1)), "_0000", "_1111", 1) }
	elsewhere := s3.Event(b.Put(t, "other/"+clitest.LogKey(end, 9), tailText(end, 9, 1)))
	b.S3.SetFaults(func(operation string, n int) wire.Fault {
		if operation == "s3:GetObject" && n <= 3 { // the first object, and what is left of it
			if n == 1 {
				return wire.Fault{Kind: wire.FaultReplyCut}
			}
			return wire.Refuse(403, "AccessDenied")
		}
		return wire.Fault{}
	})
	send(string(event(1, 200)))
	stdout, stderr := new(awstest.Buffer), new(awstest.Buffer)
	ctx, stop := context.WithCancel(t.Context())
	o := options{queue: queue, format: "json", interval: time.Minute, visibility: time.Second}
	ended := make(chan error, 1)
	go func() { ended <- o.run(ctx, []string{"s3://" + clitest.BucketName + "/AWSLogs/"}, stdout, stderr) }()
	printed := func(text string) {
		t.Helper()
		clitest.Until(t, text, func() bool { return strings.Contains(stdout.String(), text) })
	}
	printed("203.0.1.200")
	two := event(2, 1)
	for _, body := range []string{
		string(two), snsBody(two), string(two), snsBody(event(3, 1)), string(elsewhere), gone(4),
		`{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-23T10:00:00.000Z","Bucket":"` + clitest.BucketName + `","RequestId":"1","HostId":"1"}`,
		"what is this?",
	} {
		send(body)
	}
	printed("203.0.2.1")
	printed("203.0.3.1")
	clitest.Until(t, "all but one message are deleted", func() bool {
		left := b.SQS.Messages(queue)
		return len(left) == 1 && left[0].Body == "what is this?"
	})
	clitest.Until(t, "stderr", func() bool { return strings.Contains(stderr.String(), "stays in the queue: ") })
	stop()
	if err := <-ended; err == nil || err.Error() != "interrupted" {
		t.Errorf("ended with %v", err)
	}
	clients := make(map[string]int)
	var summary struct {
		Objects, Failed int
		FailedClients   []report.ClientCount
		Skipped         []report.SkippedCount
	}
	for line := range strings.Lines(stdout.String()) {
		var f failureLine
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if f.Event == "summary" {
			var last summaryLine
			clitest.Decode(t, line, &last)
			if err := json.Unmarshal(last.Report, &summary); err != nil {
				t.Fatal(err)
			}
			continue
		}
		clients[f.Client]++
		if f.Client == "203.0.2.1" {
			if f.Object != "s3://"+clitest.BucketName+"/"+clitest.LogKey(end, 2) || f.Line != 2 || f.LoadBalancer != clitest.LoadBalancer || f.Status != "Failed:UnmappedConnectionError" || len(f.Diagnoses) != 1 || f.Diagnoses[0].Cause == "" {
				t.Errorf("%+v", f)
			}
		}
	}
	for client, n := range clients {
		if n != 1 {
			t.Errorf("%s is printed %d times", client, n)
		}
	}
	if len(clients) != 202 || summary.Objects != 3 || summary.Failed != 202 || len(summary.FailedClients) != console.TableRows || !slices.Contains(summary.Skipped, report.SkippedCount{Reason: pipeline.SkippedGone, Count: 1}) {
		t.Errorf("%d failures, summary %+v", len(clients), summary)
	}
	for _, want := range []string{"gone before it was read", "will retry: "} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q is not said:\n%s", want, stderr)
		}
	}
}

// A writer that fails ends tail, and what could not be printed stays in the queue.
func TestTailBrokenPipe(t *testing.T) {
	b := clitest.NewBucket(t)
	queue := b.SQS.CreateQueue("new-logs", sqs.QueueOptions{})
	end := time.Now().UTC().Truncate(logkey.Period)
	if _, err := b.SQS.Send(queue, string(s3.Event(b.Put(t, clitest.LogKey(end, 1), tailText(end, 1, 1)))), nil); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	err := (&options{queue: queue, format: "table", interval: time.Minute, visibility: time.Minute}).run(t.Context(), nil, brokenWriter{}, &stderr)
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("ended with %v", err)
	}
	if n := len(b.SQS.Messages(queue)); n != 1 {
		t.Errorf("%d messages in the queue", n)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// What is remembered of objects is bounded: by a listing, or by a number.
func TestTailMemory(t *testing.T) {
	object := func(i int, etag string) pipeline.Object {
		return pipeline.Object{Bucket: "b", Key: fmt.Sprint(i), ETag: etag}
	}
	m := newMemory()
	m.listing = 1
	for i := range 10 {
		o := &reading{Object: object(i, "a")}
		if m.add(o); i < 8 {
			m.finish(o)
		}
	}
	m.listing = 2
	for _, test := range []struct {
		n                    int
		etag                 string
		open, done, replaced bool
	}{
		{2, "a", false, true, false},
		{3, "b", false, true, true},
		{4, "", false, true, false},
		{8, "a", true, false, false},
		{11, "a", false, false, false},
	} {
		known, done, replaced := m.find(object(test.n, test.etag))
		if (known != nil) != test.open || done != test.done || replaced != test.replaced {
			t.Errorf("object %d: open %v, done %v, replaced %v", test.n, known != nil, done, replaced)
		}
	}
	if _, _, again := m.find(object(3, "b")); again {
		t.Error("an object is replaced twice")
	}
	if _, _, replaced := m.find(object(4, "b")); !replaced {
		t.Error("an ETag is forgotten when it is not said again")
	}
	if m.listed(); len(m.open) != 1 || len(m.done) != 3 {
		t.Errorf("after the second listing %d open and %d done", len(m.open), len(m.done))
	}
	for i := 20; i < 24; i++ {
		m.add(&reading{Object: object(i, "a")})
	}
	if m.limit(2); len(m.done) != 1 || len(m.open) != 1 {
		t.Errorf("limited to %d done, %d open", len(m.done), len(m.open))
	}
}

// Logs that could not be read are counted all, though not all are listed.
func TestTailManyFail(t *testing.T) {
	var stderr bytes.Buffer
	tail := &tailer{stderr: &stderr, memory: newMemory()}
	const failed = command.MaxListed + 50
	for i := range failed {
		o := &reading{Object: pipeline.Object{Bucket: "b", Key: fmt.Sprint(i)}}
		if tail.memory.add(o); !tail.settle(o, connlog.ErrCorrupt) {
			t.Error("a log that is cut is tried again")
		}
	}
	if n := strings.Count(stderr.String(), "is not read to its end"); n != failed {
		t.Errorf("%d of them are named", n)
	}
	var b bytes.Buffer
	r := report.New(report.Options{}).Result(tail.source, 0)
	if err := view.WriteText(&b, r, text.Screen{}); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("INCOMPLETE: %d logs", failed); !strings.HasPrefix(b.String(), want) || len(r.FailedObjects) != command.MaxListed {
		t.Errorf("%d are listed in\n%s", len(r.FailedObjects), &b)
	}
}

// --policy live judges each listener by the policy that it has, in the lines and
// in the summary.
func TestTailLive(t *testing.T) {
	b := clitest.NewBucket(t)
	b.ELB.SetLoadBalancers(elb.LoadBalancer{Path: clitest.LoadBalancer, Listeners: []elb.Listener{
		{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-TLS13-1-3-2021-06"},
		{Port: 8443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-2016-08"},
	}})
	end := time.Now().UTC().Truncate(logkey.Period)
	b.Put(t, clitest.LogKey(end, 1), tailText(end, 1, 1))
	b.Put(t, clitest.LogKey(end, 2), strings.ReplaceAll(tailText(end, 2, 1), " 443 ", " 8443 "))
	tail := startTail(t, "--policy", "live", "--format", "json", "s3://"+clitest.BucketName)
	tail.prints("203.0.1.1", "203.0.2.1")
	tail.end()
	want := map[uint16]secpolicy.DiagnosisID{443: secpolicy.ProtocolRefused, 8443: secpolicy.OfferAccepted}
	for line := range strings.Lines(tail.stdout.String()) {
		var f failureLine
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		switch {
		case f.Event == "summary":
			for _, id := range want {
				if !strings.Contains(line, string(id)) {
					t.Errorf("%s is not in the summary: %s", id, line)
				}
			}
		case len(f.Diagnoses) == 0 || f.Diagnoses[0].ID != want[f.ListenerPort]:
			t.Errorf("port %d: %+v", f.ListenerPort, f.Diagnoses)
		}
	}
}
