package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/pipeline"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// A fault is one way for any API call to go wrong.
type fault struct {
	name string
	damage
	timeOut bool
	codes   [3]wire.Fault // of S3, CloudWatch and SNS, if they differ
}

// errors3 are refusals of S3, CloudWatch and SNS.
func errors3(status int, s3, cloudWatch, sns string) [3]wire.Fault {
	return [3]wire.Fault{wire.Refuse(status, s3), wire.Refuse(status, cloudWatch), wire.Refuse(status, sns)}
}

func of(kind wire.FaultKind) damage { return damage{Fault: wire.Fault{Kind: kind}} }

var faults = []fault{
	{name: "connection refused", damage: damage{refused: true}},
	{name: "connection closed", damage: of(wire.FaultClose)},
	{name: "reset before it was read", damage: of(wire.FaultReset)},
	{name: "reset after it was applied", damage: of(wire.FaultReplyLost)},
	{name: "500", codes: errors3(500, "InternalError", "InternalServiceFault", "InternalError")},
	{name: "500 after it was applied", codes: [3]wire.Fault{wire.Replace(500, "InternalError"), wire.Replace(500, "InternalServiceFault"), wire.Replace(500, "InternalError")}},
	{name: "503", codes: errors3(503, "SlowDown", "ServiceUnavailable", "ServiceUnavailable")},
	{name: "throttle", codes: errors3(400, "RequestLimitExceeded", "Throttling", "Throttled")},
	{name: "403", codes: errors3(403, "AccessDenied", "AccessDenied", "AuthorizationError")},
	{name: "409", codes: errors3(409, "ConditionalRequestConflict", "ConflictException", "ConflictException")},
	{name: "412", codes: errors3(412, "PreconditionFailed", "PreconditionFailed", "PreconditionFailed")},
	{name: "slow body", damage: damage{Fault: wire.Fault{Drip: 20 * time.Millisecond}}},
	{name: "truncated body", damage: of(wire.FaultReplyCut)},
	{name: "time-out", damage: damage{Fault: wire.Fault{Delay: time.Hour}}, timeOut: true},
}

// to is what the fault does to a call.
func (f fault) to(call string) damage {
	d := f.damage
	if f.codes != [3]wire.Fault{} {
		d.Fault = f.codes[map[string]int{putMetrics: 1, publish: 2}[call]]
	}
	return d
}

// An invocation is a context whose deadline comes when the test wants: at once
// with cancel, and for the last steps, which have time of their own, soon.
type invocation struct {
	context.Context
	left time.Duration
}

func (c invocation) Deadline() (time.Time, bool) { return time.Now().Add(c.left), true }

// attempt runs jobs. The first request for a call, or every one, is hurt, and
// every one for the calls besides.
func (f *fleet) attempt(t *testing.T, jobs []pipeline.Job, call string, hurt fault, every bool, besides map[string]damage) []pipeline.Report {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	left := time.Minute
	if hurt.timeOut {
		hurt.hook = cancel
		if call == putCommit || call == putSent || call == putRelease {
			left = 200 * time.Millisecond
		}
	}
	f.wire.hurt(func(c string, n int) damage {
		if c == call && (every || n == 1) {
			return hurt.to(call)
		}
		return besides[c]
	})
	defer f.wire.hurt(nil)
	return f.Run(invocation{ctx, left}, jobs...)
}

// step says where an error comes from.
func step(err error) string {
	switch {
	case errors.Is(err, pipeline.ErrNotBegun):
		return "not begun"
	case errors.Is(err, pipeline.ErrInProgress):
		return "in progress"
	}
	for _, s := range []string{"claim", "client budget", "publishing metrics", "commit", "listing records", "reading a record", "alert state", "publishing alert"} {
		if strings.Contains(err.Error(), s) {
			return s
		}
	}
	return "reading"
}

// A cell is what became of an object.
type cell struct {
	first    pipeline.Report
	attempts int
	err      error // of the last
	copies   int   // of its data in CloudWatch
	alerts   int
	told     bool // whether a report says that an alert may have been sent before

	republishes int // what UncertainRepublishes says
}

func (c cell) String() string {
	switch {
	case c.first.Skipped != "":
		return "skipped: " + c.first.Skipped
	}
	text := "mended within the invocation"
	if c.attempts > 1 {
		text = "retried: " + step(c.first.Err)
	}
	switch {
	case c.copies > 1:
		text += "; counted again (uncertain)"
	case c.republishes > 0:
		text += "; in UncertainRepublishes, though not counted again"
	}
	if c.alerts > 1 {
		text += "; alerted again (uncertain)"
	}
	return text
}

// A row is a call on the way of an object, and how to get there.
type row struct {
	call   string
	name   string // of the row, where the call alone does not say enough
	before func(*testing.T, *fleet, pipeline.Job)
	// besides are other faults of the first attempt, without which the call
	// does not come.
	besides map[string]damage
}

var refused = damage{Fault: wire.Refuse(403, "AccessDenied")}

var rows = []row{
	{call: getLog},
	{call: putClaim},
	{call: getClients},
	{call: putClients},
	{call: putMetrics},
	{call: putCommit},
	{call: list},
	{call: getAlert},
	{call: getRecord},
	{call: putPending},
	{call: publish},
	{call: putSent},
	{call: putRelease, besides: map[string]damage{publish: refused}},
	{call: putClaim, name: "PutObject claim, again", before: claimed},
	{call: getRecord, name: "GetObject claim, again", before: claimed},
	{call: putTakeOver, before: claimed},
	{call: getRecord, name: "GetObject record, duplicate", before: done},
	{call: putMetrics, name: "PutMetricData, duplicate", before: done},
	{call: list, name: "ListObjectsV2, duplicate", before: done},
}

// claimed lets an attempt end after its claim.
func claimed(t *testing.T, f *fleet, j pipeline.Job) {
	if r := f.attempt(t, []pipeline.Job{j}, "", fault{}, false, map[string]damage{getClients: refused})[0]; step(r.Err) != "client budget" {
		t.Fatalf("error %v", r.Err)
	}
}

// done lets another event do the work, except for the alert.
func done(t *testing.T, f *fleet, j pipeline.Job) {
	if r := f.attempt(t, []pipeline.Job{another(j)}, "", fault{}, false, map[string]damage{list: refused})[0]; step(r.Err) != "listing records" {
		t.Fatalf("error %v", r.Err)
	}
}

// settle has jobs attempted until none fails, as Lambda does it: at most twice
// more, and only those that failed.
func (f *fleet) settle(t *testing.T, jobs []pipeline.Job, first []pipeline.Report) (attempts []int, last []error, told []bool) {
	attempts, last, told = make([]int, len(jobs)), make([]error, len(jobs)), make([]bool, len(jobs))
	for i, r := range first {
		attempts[i], last[i], told[i] = 1, r.Err, r.AlertTakenOver
	}
	for range 2 {
		var retry []pipeline.Job
		var which []int
		for i := range jobs {
			if last[i] != nil {
				retry, which = append(retry, jobs[i]), append(which, i)
			}
		}
		if len(retry) == 0 {
			break
		}
		for n, r := range f.Run(t.Context(), retry...) {
			attempts[which[n]]++
			last[which[n]] = r.Err
			told[which[n]] = told[which[n]] || r.AlertTakenOver
		}
	}
	return attempts, last, told
}

// check asserts what holds for every cell, whatever the golden file says:
// nothing is lost, and what is double had a reason to be.
func (c cell) check(t *testing.T, call string, hurt fault) {
	t.Helper()
	switch {
	case c.first.Skipped != "":
		if call != getLog || hurt.name != "412" || c.copies != 0 || c.alerts != 0 {
			t.Errorf("skipped: %+v", c)
		}
		return
	case c.err != nil:
		t.Errorf("fails for good after %d attempts: %v", c.attempts, c.err)
	case c.copies == 0:
		t.Error("its data are lost")
	case c.alerts == 0:
		t.Error("its alert is lost")
	}
	if c.copies > 1 && (call != putMetrics && call != putCommit || c.republishes < c.copies-1) {
		t.Errorf("%d times in CloudWatch, UncertainRepublishes is %d", c.copies, c.republishes)
	}
	if c.alerts > 1 && (call != publish && call != putSent || !c.told) {
		t.Errorf("%d alerts, told %v", c.alerts, c.told)
	}
}

// TestFaultMatrix: what becomes of an object if a call on its way goes wrong,
// the first such request only or every one of the first attempt.
func TestFaultMatrix(t *testing.T) {
	var golden bytes.Buffer
	for _, every := range []bool{false, true} {
		fmt.Fprintf(&golden, "%s\n\n", map[bool]string{false: "# The first such request", true: "# Every such request of the first attempt"}[every])
		for _, row := range rows {
			name := row.name
			if name == "" {
				name = row.call
			}
			for _, hurt := range faults {
				var c cell
				ok := t.Run(fmt.Sprintf("%s, %s, every %v", name, hurt.name, every), func(t *testing.T) {
					f := newFleet(t)
					f.MetricOptions.Breakdowns.Client = true
					l := load{ok: 20, failed: 5}
					job := f.job(t, l)
					spare := 0 // republishes that come of what was before
					if row.before != nil {
						row.before(t, f, job)
						if row.call == putClaim || row.call == getRecord && f.connections(lb) == 0 || row.call == putTakeOver {
							spare = 1
						}
					}
					c.first = f.attempt(t, []pipeline.Job{job}, row.call, hurt, every, row.besides)[0]
					attempts, last, told := f.settle(t, []pipeline.Job{job}, []pipeline.Report{c.first})
					c.attempts, c.err, c.told = attempts[0], last[0], told[0]
					c.copies, c.alerts = f.connections(lb)/25, len(f.SNS.Messages())
					c.republishes = max(0, f.total(metric.UncertainRepublishes)-spare)
					if n := f.connections(lb) % 25; n != 0 {
						t.Errorf("%d connections too many", n)
					}
					c.check(t, row.call, hurt)
				})
				if !ok {
					t.Logf("%s, %s: %v", name, hurt.name, c)
				}
				fmt.Fprintf(&golden, "%-28s %-27s %v\n", name, hurt.name, c)
			}
			golden.WriteByte('\n')
		}
	}
	compare(t, "faults.golden", golden.Bytes())
}

// TestFaultMatrixOfBatch: the same for one of three objects in a batch, each of
// a load balancer of its own. Its neighbours are unharmed, except that those
// whose data go into one request share its outcome.
func TestFaultMatrixOfBatch(t *testing.T) {
	const hit = 1 // of the objects
	var golden bytes.Buffer
	golden.WriteString("# Every request for the second of three objects\n\n")
	for _, row := range rows {
		if row.before != nil || row.besides != nil {
			continue
		}
		for _, hurt := range faults {
			if hurt.timeOut {
				continue // it is the time of all of them: see the other matrix
			}
			var text string
			t.Run(fmt.Sprintf("%s, %s", row.call, hurt.name), func(t *testing.T) {
				f := newFleet(t)
				f.MetricOptions.Breakdowns.Client = true
				f.Rules = []alert.Rule{f.rule(5)}
				var jobs []pipeline.Job
				for i := range 3 {
					jobs = append(jobs, f.job(t, load{lb: fmt.Sprintf("app/lb-%d/1234567890abcdef", i), ok: 20, failed: 5}))
				}
				f.wire.only = "lb-1"
				first := f.attempt(t, jobs, row.call, hurt, true, nil)
				f.wire.only = ""
				attempts, last, told := f.settle(t, jobs, first)
				alerts := make([]int, 3)
				for _, m := range f.SNS.Messages() {
					for i := range alerts {
						if strings.Contains(m.Text("sqs"), fmt.Sprintf("app/lb-%d/", i)) {
							alerts[i]++
						}
					}
				}
				for i := range jobs {
					c := cell{first: first[i], attempts: attempts[i], err: last[i], copies: f.connections(fmt.Sprintf("app/lb-%d/1234567890abcdef", i)) / 25,
						alerts: alerts[i], told: told[i], republishes: f.total(metric.UncertainRepublishes)}
					c.check(t, row.call, hurt)
					switch {
					case i == hit:
						text = c.String()
						if row.call == putMetrics && c.attempts > 1 {
							text += "; and so are its neighbours"
						}
					case row.call != putMetrics && (c.attempts != 1 || c.copies != 1 || c.alerts != 1):
						t.Errorf("neighbour %d: %v, %+v", i, c, c)
					case row.call == putMetrics && (c.attempts > 1) != (attempts[hit] > 1):
						t.Errorf("neighbour %d does not share the outcome of the request: %v", i, c)
					}
				}
			})
			fmt.Fprintf(&golden, "%-28s %-27s %s\n", row.call, hurt.name, text)
		}
		golden.WriteByte('\n')
	}
	compare(t, "faults-batch.golden", golden.Bytes())
}

// compare compares with a file in testdata, or rewrites it.
func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); d != "" {
		t.Errorf("%s: -want +got\n%s\n'go test ./pkg/pipeline -update' rewrites it", name, d)
	}
}
