package pipeline_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/cwsink"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/s3source"
	"tlswatch/pkg/s3store"
	"tlswatch/pkg/snssink"
)

const stateBucket = "amzn-s3-demo-state-bucket"

// period is the end of the period of most objects, and of the object of key.
var period = time.Date(2026, 11, 23, 10, 5, 0, 0, time.UTC)

// A fleet is several functions over one ledger. Its clock moves only when a
// test moves it.
type fleet struct {
	*world
	wire *httpClient // of the function that newFleet makes
	mu   sync.Mutex
	at   time.Time
}

// newFleet makes a fleet of one function, which is that of the world with a
// ledger and an HTTP client that tests can watch and hurt.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{world: newWorld(t), at: now}
	if err := f.S3.CreateBucket(stateBucket); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", "") // which takes none but the SDK's own HTTP client
	f.Pipeline, f.wire = f.function(t)
	f.S3.SetFaults(f.wire.fault)
	f.CloudWatch.SetFaults(f.wire.fault)
	f.SNS.SetFaults(f.wire.fault)
	return f
}

// function returns another function: its clients, connections and ledger are
// its own.
func (f *fleet) function(t *testing.T) (*pipeline.Pipeline, *httpClient) {
	t.Helper()
	w := &httpClient{http: awshttp.NewBuildableClient()}
	c, err := config.LoadDefaultConfig(t.Context(), config.WithHTTPClient(w), config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
	}))
	if err != nil {
		t.Fatal(err)
	}
	bucket := s3.NewFromConfig(c)
	awake := func(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }
	return &pipeline.Pipeline{
		Source:         s3source.Source{Client: bucket},
		Metrics:        cwsink.Sink{Client: cloudwatch.NewFromConfig(c), Namespace: "tlswatch"},
		Alerts:         snssink.Sink{Client: sns.NewFromConfig(c), TopicARN: f.SNS.CreateTopic("alerts")},
		Ledger:         ledger.New(s3store.Store{Client: bucket, Bucket: stateBucket}, ledger.Options{Now: f.now, Sleep: awake}),
		MetricOptions:  metric.Options{ClientMinFailed: 5, ClientTop: 10},
		ClientBudget:   50,
		IPv6Prefix:     64,
		PublishClients: true,
		Rules:          []alert.Rule{f.rule(5)},
		Now:            f.now,
		Sleep:          awake,
	}, w
}

// rule is the default rule but for its threshold.
func (f *fleet) rule(minFailed uint64) alert.Rule {
	return alert.Rule{Name: alert.FailedNegotiations, MinFailed: minFailed, MinFailedPercent: 1,
		Window: 5 * time.Minute, Cooldown: time.Hour, Growth: 3}
}

func (f *fleet) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *fleet) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}

// A load is what a log object holds.
type load struct {
	lb       string    // default lb
	end      time.Time // of the period; default period
	node     int
	part     int // of the node's objects in the period
	ok       int
	failed   int
	reason   string // default UnmappedConnectionError
	client   string // of the failures; default one per node
	hundreds bool   // whether the object has hundreds of metrics of its own
}

func (l load) key() string {
	account := "123456789012_elasticloadbalancing_us-east-2_"
	return fmt.Sprintf("AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/23/conn_log_%s%s_%s_192.0.2.%d_part%04d.log.gz",
		account, strings.ReplaceAll(cmp.Or(l.lb, lb), "/", "."), l.period().Format("20060102T1504Z"), l.node, l.part)
}

func (l load) period() time.Time {
	if l.end.IsZero() {
		return period
	}
	return l.end
}

func (l load) body() []byte {
	var b bytes.Buffer
	for i := range l.ok + l.failed {
		client, cipher, latency, status := "10.0.0.1", "TLS_AES_128_GCM_SHA256", "0.010", "Success"
		if i < l.failed {
			client, latency = cmp.Or(l.client, fmt.Sprintf("203.0.113.%d", l.node)), "-"
			status = "Failed:" + cmp.Or(l.reason, "UnmappedConnectionError")
		}
		at := l.period().Add(-3 * time.Minute)
		if l.hundreds { // as many names as become metrics, in several minutes
			cipher = fmt.Sprintf("CIPHER-%d-%d-%d", l.node, l.part, i%metric.MaxNames)
			at = at.Add(time.Duration(i/metric.MaxNames) * time.Minute)
		}
		fmt.Fprintf(&b, "%s %s 40000 443 TLSv1.2 %s %s \"-\" - - %s TID_1 -\n", at.Format("2006-01-02T15:04:05.000000Z"), client, cipher, latency, status)
	}
	return b.Bytes()
}

// job stores the object and returns the job that its event makes.
func (f *fleet) job(t *testing.T, l load) pipeline.Job {
	t.Helper()
	return pipeline.Job{Object: f.put(t, l.key(), l.body()), Owner: fmt.Sprintf("event of %s", l.key())}
}

// another is a second event about the same object.
func another(j pipeline.Job) pipeline.Job {
	j.Owner += ", again"
	return j
}

// run processes jobs of which none fails.
func (f *fleet) run(t *testing.T, jobs ...pipeline.Job) []pipeline.Report {
	t.Helper()
	reports := f.Run(t.Context(), jobs...)
	for _, r := range reports {
		if r.Err != nil {
			t.Errorf("%s: %v", r.Object.Key, r.Err)
		}
	}
	return reports
}

// connections is what CloudWatch has of a load balancer.
func (f *fleet) connections(lb string) (n int) {
	for _, p := range f.CloudWatch.Points() {
		if p.Name == metric.Connections && len(p.Dimensions) == 1 && p.Dimensions[metric.LoadBalancer] == lb {
			n += int(p.Sum)
		}
	}
	return n
}

// total is a metric about the processor.
func (f *fleet) total(name string) int {
	sum, _ := f.sum(name)
	return int(sum)
}

// sentAlerts returns the machine documents of all alerts.
func (f *fleet) sentAlerts(t *testing.T) (list []document) {
	t.Helper()
	for _, m := range f.SNS.Messages() {
		list = append(list, parse(t, m.Text("sqs")))
	}
	return list
}

// An httpClient is the HTTP client of a function. It knows requests by what they are
// for, counts them, and has the stand-ins hurt those that a test chooses.
type httpClient struct {
	http aws.HTTPClient

	mu   sync.Mutex
	seen []string
	plan func(call string, n int) damage // what to do to the nth request of a kind
	only string                          // in the path or body of those that plan is asked about; PutMetricData is always one
	next damage                          // to the request on its way
}

// A damage is what happens to a request.
type damage struct {
	wire.Fault
	refused bool   // the connection is refused
	hook    func() // called when the request has arrived
}

// Kinds of requests.
const (
	getLog      = "GetObject log"
	putClaim    = "PutObject claim"
	getRecord   = "GetObject record"
	putTakeOver = "PutObject take-over"
	getClients  = "GetObject client budget"
	putClients  = "PutObject client budget"
	putMetrics  = "PutMetricData"
	putCommit   = "PutObject commit"
	list        = "ListObjectsV2"
	getAlert    = "GetObject alert state"
	putPending  = "PutObject pending"
	publish     = "Publish"
	putSent     = "PutObject sent"
	putRelease  = "PutObject release"
)

// kind says what a request is for.
func kind(r *http.Request, body string) string {
	put := r.Method == http.MethodPut
	state, isState := strings.CutPrefix(r.URL.Path, "/"+stateBucket)
	switch {
	case strings.HasSuffix(r.URL.Path, "/PutMetricData"):
		return putMetrics
	case r.URL.Path == "/":
		return publish
	case !isState:
		return getLog
	case r.URL.Query().Has("list-type"):
		return list
	case strings.HasPrefix(state, "/v1/clients/"):
		return map[bool]string{true: putClients, false: getClients}[put]
	case strings.HasPrefix(state, "/v1/alerts/") && !put:
		return getAlert
	case strings.HasPrefix(state, "/v1/alerts/") && strings.Contains(body, `"state":"sent"`):
		return putSent
	case strings.HasPrefix(state, "/v1/alerts/") && strings.Contains(body, `"lease":"0001-`):
		return putRelease
	case strings.HasPrefix(state, "/v1/alerts/"):
		return putPending
	case !put:
		return getRecord
	case strings.Contains(body, `"state":"published"`):
		return putCommit
	case r.Header.Get("If-Match") != "":
		return putTakeOver
	}
	return putClaim
}

// Do implements [aws.HTTPClient].
func (w *httpClient) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	call := kind(r, string(body))
	w.mu.Lock()
	w.seen = append(w.seen, call)
	about := r.URL.Path + r.URL.RawQuery + string(body)
	if w.plan != nil && (call == putMetrics || strings.Contains(about, w.only)) {
		n := 0
		for _, c := range w.seen {
			if c == call {
				n++
			}
		}
		w.next = w.plan(call, n)
	}
	if w.next.refused {
		r.URL.Host = closedPort
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.next = damage{}
	}()
	return w.http.Do(r)
}

// closedPort is an address at which connections are refused.
var closedPort = func() string {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}()

// fault is the wire.FaultFunc that hurts the request on its way.
func (w *httpClient) fault(string, int) wire.Fault {
	w.mu.Lock()
	d := w.next
	w.mu.Unlock()
	if d.hook != nil {
		d.hook()
	}
	return d.Fault
}

// hurt sets what happens to requests from now on, which it counts anew.
func (w *httpClient) hurt(plan func(call string, n int) damage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen, w.plan = nil, plan
}

// calls returns how many requests of each kind were sent since hurt.
func (w *httpClient) calls() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := make(map[string]int)
	for _, call := range w.seen {
		n[call]++
	}
	return n
}

// TestRequests: what an object costs. docs/ledger.md quotes the numbers.
func TestRequests(t *testing.T) {
	const nodes = 10 // that have delivered before
	type calls = map[string]int
	clients := func(p *pipeline.Pipeline) { p.MetricOptions.Breakdowns.Client = true }
	for _, test := range []struct {
		name    string
		failed  int // of every object before
		rule    func(*alert.Rule)
		options func(*pipeline.Pipeline)
		object  load
		before  func(*testing.T, *fleet, pipeline.Job)
		want    calls
	}{
		{name: "normal", failed: 2, object: load{failed: 2},
			want: calls{getLog: 1, putClaim: 1, putMetrics: 1, putCommit: 1, list: 1}},
		{name: "normal, no rules", failed: 9, object: load{failed: 9}, options: func(p *pipeline.Pipeline) { p.Rules = nil },
			want: calls{getLog: 1, putClaim: 1, putMetrics: 1, putCommit: 1}},
		{name: "first object of a window", object: load{failed: 9},
			want: calls{getLog: 1, putClaim: 1, putMetrics: 1, putCommit: 1, list: 1}},
		{name: "clients to be named, the first in the hour", object: load{failed: 9, node: 50}, options: clients,
			want: calls{getLog: 1, putClaim: 1, getClients: 1, putClients: 1, putMetrics: 1, putCommit: 1, list: 1}},
		{name: "clients to be named, known in the hour", failed: 9, object: load{failed: 9, client: "203.0.113.1"}, options: clients,
			want: calls{getLog: 1, putClaim: 1, getClients: 1, putMetrics: 1, putCommit: 1, list: 1}},
		{name: "one below the threshold", failed: 9, object: load{failed: 9},
			want: calls{getLog: 1, putClaim: 1, putMetrics: 1, putCommit: 1, list: 1}},
		{name: "many failures, but a small share", failed: 9, object: load{failed: 10}, rule: func(r *alert.Rule) { r.MinFailedPercent = 99 },
			want: calls{getLog: 1, putClaim: 1, putMetrics: 1, putCommit: 1, list: 1, getAlert: 1, getRecord: nodes + 1}},
		{name: "alert", failed: 9, object: load{failed: 10},
			want: calls{getLog: 1, putClaim: 1, putMetrics: 1, putCommit: 1, list: 1, getAlert: 2, getRecord: nodes + 1, putPending: 1, publish: 1, putSent: 1}},
		{name: "in the cooldown", failed: 10, object: load{failed: 10},
			want: calls{getLog: 1, putClaim: 1, putMetrics: 1, putCommit: 1, list: 1, getAlert: 1}},
		{name: "duplicate", failed: 9, object: load{failed: 9},
			before: func(t *testing.T, f *fleet, j pipeline.Job) { f.run(t, another(j)) },
			want:   calls{getLog: 1, putClaim: 1, getRecord: 1, putMetrics: 1, list: 1}},
		{name: "duplicate in the cooldown", failed: 10, object: load{failed: 10},
			before: func(t *testing.T, f *fleet, j pipeline.Job) { f.run(t, another(j)) },
			want:   calls{getLog: 1, putClaim: 1, getRecord: 1, putMetrics: 1, list: 1, getAlert: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFleet(t)
			rule := f.rule(100)
			if test.rule != nil {
				test.rule(&rule)
			}
			f.Rules = []alert.Rule{rule}
			if test.options != nil {
				test.options(f.Pipeline)
			}
			if test.failed > 0 {
				for node := range nodes {
					f.run(t, f.job(t, load{node: node + 1, ok: 1, failed: test.failed}))
				}
			}
			test.object.part, test.object.ok = 1, 1
			job := f.job(t, test.object)
			if test.before != nil {
				test.before(t, f, job)
			}
			f.wire.hurt(nil)
			f.run(t, job)
			got := f.wire.calls()
			if d := gocmp.Diff(test.want, got); d != "" {
				t.Errorf("requests: -want +got\n%s", d)
			}
			sum := func(kinds ...string) (n int) {
				for _, k := range kinds {
					n += got[k]
				}
				return n
			}
			t.Logf("S3 requests besides the log: %d PUT, %d LIST, %d GET", sum(putClaim, putTakeOver, putCommit, putClients, putPending, putSent), got[list], sum(getRecord, getClients, getAlert))
		})
	}
}

// TestBatch: the objects of one Run go into as few requests as they fit in.
func TestBatch(t *testing.T) {
	for _, test := range []struct {
		name     string
		objects  int
		object   load
		requests int
	}{
		{"one", 1, load{ok: 1}, 1},
		{"small", 50, load{ok: 3, failed: 2}, 1},
		{"large", 10, load{ok: 200, hundreds: true}, 5}, // 400 metrics each, of which a request takes 1,000
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFleet(t)
			f.Rules = nil
			f.MetricOptions.Breakdowns.Cipher = true
			var jobs []pipeline.Job
			for i := range test.objects {
				l := test.object
				l.node, l.part = i%7, i
				jobs = append(jobs, f.job(t, l))
			}
			f.run(t, jobs...)
			each := test.object.ok + test.object.failed
			if got := f.connections(lb); got != test.objects*each {
				t.Errorf("%d connections, want %d", got, test.objects*each)
			}
			want := map[string]int{getLog: test.objects, putClaim: test.objects, putCommit: test.objects, putMetrics: test.requests}
			if d := gocmp.Diff(want, f.wire.calls()); d != "" {
				t.Errorf("requests: -want +got\n%s", d)
			}
			if n := f.total(metric.ObjectsProcessed); n != test.objects {
				t.Errorf("ObjectsProcessed is %d", n)
			}
		})
	}
}

// TestBatchRequestFails: of several requests one fails. Exactly the objects in
// it fail, and only they are published when all come again.
func TestBatchRequestFails(t *testing.T) {
	for _, fails := range []int{1, 2, 3} {
		f := newFleet(t)
		f.Rules = nil
		f.MetricOptions.Breakdowns.Cipher = true
		var jobs []pipeline.Job
		for i := range 6 {
			jobs = append(jobs, f.job(t, load{ok: 200, part: i, hundreds: true})) // two fit a request
		}
		test := f.job(t, load{part: 9})
		test.Object.Key = "AWSLogs/123456789012/ELBConnectionLogTestFile"
		jobs = slices.Insert(jobs, 3, test) // one that is skipped, among those of the second request
		f.wire.hurt(func(call string, n int) damage {
			if call == putMetrics && n == fails {
				return damage{Fault: wire.Refuse(403, "AccessDenied")}
			}
			return damage{}
		})
		var failed []int
		var retry []pipeline.Job
		for i, r := range f.Run(t.Context(), jobs...) {
			if r.Err != nil {
				failed = append(failed, i)
				retry = append(retry, jobs[i])
			}
			if (r.Skipped != "") != (i == 3) {
				t.Errorf("object %d is skipped: %q", i, r.Skipped)
			}
		}
		if d := gocmp.Diff([][]int{{0, 1}, {2, 3, 4}, {5, 6}}[fails-1], failed); d != "" {
			t.Errorf("request %d fails: -want +got\n%s", fails, d)
		}
		f.wire.hurt(nil)
		f.run(t, retry...)
		if d := gocmp.Diff(1, f.wire.calls()[putMetrics]); d != "" {
			t.Errorf("requests to publish the rest: -want +got\n%s", d)
		}
		got := []int{f.connections(lb), f.total(metric.ObjectsProcessed), f.total(metric.ObjectsSkipped), f.total(metric.DuplicateObjects)}
		if d := gocmp.Diff([]int{1200, 6, 1, 0}, got); d != "" {
			t.Errorf("request %d fails: connections, processed, skipped, duplicates: -want +got\n%s", fails, d)
		}
	}
}

// TestBatchSameObject: an object that is in a batch twice counts once, and both
// of its events share the result.
func TestBatchSameObject(t *testing.T) {
	for _, test := range []struct {
		name   string
		second func(pipeline.Job) pipeline.Job
	}{
		{"by one event", func(j pipeline.Job) pipeline.Job { return j }},
		{"by two events", another},
		{"by callers without a name", func(j pipeline.Job) pipeline.Job { j.Owner = ""; return j }},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFleet(t)
			first := f.job(t, load{ok: 20, failed: 5})
			if second := test.second(first); second.Owner == "" {
				first = second
			}
			jobs := []pipeline.Job{f.job(t, load{ok: 1, node: 1}), first, f.job(t, load{ok: 1, node: 2}), test.second(first)}
			f.wire.hurt(func(call string, n int) damage {
				if call == putMetrics {
					return damage{Fault: wire.Refuse(403, "AccessDenied")}
				}
				return damage{}
			})
			for i, r := range f.Run(t.Context(), jobs...) {
				if r.Err == nil {
					t.Errorf("%d did not fail", i)
				}
			}
			f.wire.hurt(nil)
			if jobs[1].Owner == "" { // only the end of the lease frees its claim
				f.pass(ledger.DefaultLease + 2*ledger.Skew)
			}
			var duplicates []string
			for _, r := range f.run(t, jobs...) {
				duplicates = append(duplicates, r.Duplicate)
			}
			if d := gocmp.Diff([]string{"", "", "", "in this batch"}, duplicates); d != "" {
				t.Errorf("duplicates: -want +got\n%s", d)
			}
			got := []int{f.connections(lb), f.total(metric.ObjectsProcessed), f.total(metric.DuplicateObjects), len(f.SNS.Messages())}
			if d := gocmp.Diff([]int{27, 3, 1, 1}, got); d != "" {
				t.Errorf("connections, processed, duplicates, alerts: -want +got\n%s", d)
			}
		})
	}
}

// claimedOnly lets an attempt end after its claim, with its metrics in doubt.
func (f *fleet) claimedOnly(t *testing.T, j pipeline.Job) {
	t.Helper()
	f.wire.hurt(func(call string, n int) damage {
		if call == putMetrics {
			return damage{Fault: wire.Fault{Kind: wire.FaultReset}} // the function cannot know whether it was applied
		}
		return damage{}
	})
	if r := f.Run(t.Context(), j)[0]; r.Err == nil {
		t.Fatal("the attempt should fail after its claim")
	}
	f.wire.hurt(nil)
}

// TestForeignClaim: an event that meets another's claim comes again, since the
// other may never finish: it may be the same message, which was moved out of a
// dead-letter queue under a new name.
func TestForeignClaim(t *testing.T) {
	f := newFleet(t)
	theirs := f.job(t, load{ok: 20, failed: 5})
	mine := another(theirs)
	f.claimedOnly(t, theirs)
	if r := f.Run(t.Context(), mine)[0]; !errors.Is(r.Err, pipeline.ErrInProgress) {
		t.Errorf("while the claim is live: %v", r.Err)
	}
	if n := f.connections(lb); n != 0 {
		t.Errorf("%d connections, which the owner should publish", n)
	}
	if r := f.run(t, theirs)[0]; !r.TakenOver || r.Duplicate != "" {
		t.Errorf("the owner's own retry: %+v", r)
	}
	if r := f.run(t, mine)[0]; r.Duplicate != "published" {
		t.Errorf("at last: duplicate %q", r.Duplicate)
	}
	if d := gocmp.Diff([]int{25, 1, 1}, []int{f.connections(lb), f.total(metric.UncertainRepublishes), len(f.SNS.Messages())}); d != "" {
		t.Errorf("connections, republished, alerts: -want +got\n%s", d)
	}
}

// TestWaitForClaim: an event that meets another's claim waits for it, after it has
// published its own objects.
func TestWaitForClaim(t *testing.T) {
	f := newFleet(t)
	f.Patience = time.Second
	theirs, own := f.job(t, load{ok: 20, failed: 5}), f.job(t, load{node: 1, ok: 10})
	jobs := []pipeline.Job{another(theirs), another(theirs), own}
	f.claimedOnly(t, theirs)

	var waited time.Duration
	during := func() {}
	f.Sleep = func(ctx context.Context, d time.Duration) error {
		if n := f.connections(lb); waited == 0 && n != 10 {
			t.Errorf("%d connections before the wait, want 10 of its own object", n)
		}
		waited += d
		during()
		return nil
	}
	reports := f.Run(t.Context(), jobs...)
	for i, r := range reports[:2] {
		if !errors.Is(r.Err, pipeline.ErrInProgress) {
			t.Errorf("%d, while the claim is live: %v", i, r.Err)
		}
	}
	if reports[2].Err != nil || waited != f.Patience {
		t.Errorf("its own object: %v; waited %v", reports[2].Err, waited)
	}

	owner, _ := f.function(t)
	during = func() {
		during = func() {}
		if r := owner.Run(t.Context(), theirs)[0]; r.Err != nil {
			t.Errorf("the owner: %v", r.Err)
		}
	}
	waited = 0
	for i, r := range f.run(t, jobs...) {
		if r.Duplicate != "published" {
			t.Errorf("%d, when the owner is done: duplicate %q", i, r.Duplicate)
		}
	}
	if waited >= f.Patience {
		t.Errorf("waited %v", waited)
	}
	if n := f.connections(lb); n != 35 {
		t.Errorf("%d connections, want 35", n)
	}
}

// TestWaitUntilReleased: a claim that is given back passes to one of the jobs that
// wait for it.
func TestWaitUntilReleased(t *testing.T) {
	f := newFleet(t)
	f.Patience = time.Second
	theirs := f.job(t, load{ok: 20, failed: 5})
	f.claimedOnly(t, theirs)
	owner, w := f.function(t)
	f.Sleep = func(context.Context, time.Duration) error {
		w.hurt(func(call string, n int) damage { return damage{refused: call == putMetrics} })
		if r := owner.Run(t.Context(), theirs)[0]; r.Err == nil {
			t.Error("the owner should give its claim back")
		}
		return nil
	}
	reports := f.run(t, another(theirs), another(theirs))
	if reports[0].Duplicate != "" || reports[1].Duplicate != "in this batch" {
		t.Errorf("duplicates %q, %q", reports[0].Duplicate, reports[1].Duplicate)
	}
	if n := f.connections(lb); n != 25 {
		t.Errorf("%d connections, want 25", n)
	}
}

// TestClaimOfBatch: the owner of a claim comes again in a batch, behind another
// event about the same object, which need not wait for it.
func TestClaimOfBatch(t *testing.T) {
	f := newFleet(t)
	theirs := f.job(t, load{ok: 20, failed: 5})
	f.claimedOnly(t, theirs)
	reports := f.run(t, another(theirs), theirs)
	if first, second := reports[0], reports[1]; !first.TakenOver || second.Duplicate != "in this batch" {
		t.Errorf("%+v\n%+v", first, second)
	}
	if d := gocmp.Diff([]int{25, 1, 1}, []int{f.connections(lb), f.total(metric.UncertainRepublishes), len(f.SNS.Messages())}); d != "" {
		t.Errorf("connections, republished, alerts: -want +got\n%s", d)
	}
}

// TestNotBegun: without time left, an object is given back as it was.
func TestNotBegun(t *testing.T) {
	f := newFleet(t)
	f.Rules = []alert.Rule{f.rule(1)}
	var jobs []pipeline.Job
	for i := range 5 {
		jobs = append(jobs, f.job(t, load{ok: 1, failed: 1, node: i}))
	}
	near := errors.New("deadline of the invocation is near")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(near)
	for i, r := range f.Run(ctx, jobs...) {
		if r.Err != pipeline.ErrNotBegun {
			t.Errorf("%d: %v", i, r.Err)
		}
	}
	if d := gocmp.Diff(map[string]int{}, f.wire.calls()); d != "" {
		t.Errorf("requests: %s", d)
	}
}

// A slowSource takes its time by the fleet's clock.
type slowSource struct {
	pipeline.Source
	f     *fleet
	takes time.Duration
}

func (s slowSource) Open(ctx context.Context, o pipeline.Object) (pipeline.Object, io.ReadCloser, error) {
	s.f.pass(s.takes)
	return s.Source.Open(ctx, o)
}

// An hourglass is a context with a deadline of the fleet's clock.
type hourglass struct {
	context.Context
	f   *fleet
	end time.Time
}

func (h hourglass) Deadline() (time.Time, bool) { return h.end, true }

func (h hourglass) Err() error {
	if h.f.now().Before(h.end) {
		return nil
	}
	return context.DeadlineExceeded
}

// TestTimeRunsShort: an invocation that cannot do all its objects publishes
// those that it has read, and gives back the others untouched. Else every
// attempt would read the same objects for nothing.
func TestTimeRunsShort(t *testing.T) {
	f := newFleet(t)
	f.Source = slowSource{f.Source, f, 10 * time.Second}
	f.Margin = 100 * 365 * 24 * time.Hour // for the last steps go by another clock
	f.Rules = []alert.Rule{f.rule(1000)}
	var jobs []pipeline.Job
	for i := range 20 {
		jobs = append(jobs, f.job(t, load{ok: 1, node: i}))
	}
	for attempt := 1; len(jobs) > 0 && attempt < 10; attempt++ {
		f.wire.hurt(nil)
		var left []pipeline.Job
		for i, r := range f.Run(hourglass{t.Context(), f, f.now().Add(65 * time.Second)}, jobs...) {
			switch {
			case r.Err == nil:
			case errors.Is(r.Err, pipeline.ErrNotBegun):
				left = append(left, jobs[i])
			default:
				t.Errorf("attempt %d, object %d: %v", attempt, i, r.Err)
			}
		}
		done := len(jobs) - len(left)
		if done == 0 {
			t.Fatalf("attempt %d did nothing", attempt)
		}
		if d := gocmp.Diff(map[string]int{getLog: done, putClaim: done, putMetrics: 1, putCommit: done, list: 1}, f.wire.calls()); d != "" {
			t.Errorf("attempt %d: requests: -want +got\n%s", attempt, d)
		}
		jobs = left
	}
	if d := gocmp.Diff([]int{20, 0}, []int{f.connections(lb), f.total(metric.UncertainRepublishes)}); d != "" {
		t.Errorf("connections, republished: -want +got\n%s", d)
	}
}

// TestClientBudget: however many clients fail, in however many objects and
// functions, the hour has no more values of Client than the budget, and their
// sum is that of all failures.
func TestClientBudget(t *testing.T) {
	const (
		objects   = 200
		perObject = 50
		functions = 16
		budget    = 50
	)
	f := newFleet(t)
	f.pass(time.Hour) // so that all of the hour is past
	var jobs []pipeline.Job
	for i := range objects {
		// One in ten of the lines belongs to the minute after the period, and
		// so, in the last period, to the next hour.
		end := now.Truncate(time.Hour).Add(time.Duration(1+i%12) * 5 * time.Minute)
		var b strings.Builder
		for j := range perObject {
			n := i*perObject + j
			at := end.Add(-2 * time.Minute)
			if j%10 == 0 {
				at = end
			}
			fmt.Fprintf(&b, "%s 198.18.%d.%d 40000 443 TLSv1.2 - - \"-\" - - Failed:X TID_1 -\n", at.Format(time.RFC3339), n>>8, n&255)
		}
		l := load{end: end, node: i / 12, part: i}
		jobs = append(jobs, pipeline.Job{Object: f.put(t, l.key(), []byte(b.String())), Owner: fmt.Sprint("event ", i)})
	}
	f.race(t, rand.New(rand.NewPCG(1, 1)), functions, jobs, func(p *pipeline.Pipeline) {
		p.Rules = nil
		p.ClientBudget = budget
		p.MetricOptions = metric.Options{Breakdowns: metric.Breakdowns{Client: true}, ClientMinFailed: 1, ClientTop: 10}
	})
	values := make(map[time.Time]map[string]bool)
	var sum float64
	for _, p := range f.CloudWatch.Points() {
		client := p.Dimensions[metric.Client]
		if client == "" {
			continue
		}
		sum += p.Sum
		hour := p.Timestamp.Truncate(time.Hour)
		if values[hour] == nil {
			values[hour] = make(map[string]bool)
		}
		values[hour][client] = true
	}
	if sum != objects*perObject {
		t.Errorf("%v failures over all clients, want %d", sum, objects*perObject)
	}
	for hour, names := range values {
		if !names[metric.Other] {
			t.Errorf("%v: the others are missing", hour)
		}
		if n := len(names) - 1; n > budget || n == 0 && hour.Hour() == 10 {
			t.Errorf("%v: %d clients, the budget is %d", hour, n, budget)
		}
	}
	if n := len(values); n != 2 {
		t.Errorf("data of %d hours", n)
	}
	if got, want := f.total(metric.ClientsOverBudget), objects*10-budget; got != want {
		t.Errorf("ClientsOverBudget is %d, want %d", got, want)
	}
}

// race has functions do jobs at once, in random order. Each has its own event,
// and none fails: if an alert is pending, there is time to wait for it.
func (f *fleet) race(t *testing.T, r *rand.Rand, functions int, jobs []pipeline.Job, prepare func(*pipeline.Pipeline)) {
	t.Helper()
	jobs = slices.Clone(jobs)
	r.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	queue := make(chan pipeline.Job, len(jobs))
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	var all sync.WaitGroup
	for range functions {
		p, _ := f.function(t)
		p.Patience, p.Sleep = time.Hour, pipeline.Sleep
		prepare(p)
		all.Go(func() {
			for j := range queue {
				if r := p.Run(t.Context(), j)[0]; r.Err != nil {
					t.Errorf("%s: %v", j.Object.Key, r.Err)
				}
			}
		})
	}
	all.Wait()
}

// TestNamelessHolder: a claim of a caller without a name, which died, holds the
// object back until its lease is over.
func TestNamelessHolder(t *testing.T) {
	f := newFleet(t)
	mine := f.job(t, load{ok: 20, failed: 5})
	f.claimedOnly(t, pipeline.Job{Object: mine.Object})
	if r := f.Run(t.Context(), mine)[0]; !errors.Is(r.Err, pipeline.ErrInProgress) {
		t.Errorf("while the claim is live: %v", r.Err)
	}
	f.pass(time.Hour)
	if r := f.run(t, mine)[0]; !r.TakenOver || r.Duplicate != "" {
		t.Errorf("after it: %+v", r)
	}
	if n := f.connections(lb); n != 25 {
		t.Errorf("%d connections", n)
	}
}
