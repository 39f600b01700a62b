package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/functiontest"
	"tlswatch/internal/localaws/lambda"
	"tlswatch/internal/localaws/s3"
	"tlswatch/internal/localaws/sns"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/pipeline"
)

var crashSeed = flag.Uint64("crashseed", 0, "seed of the first round of TestCrash; one by chance if 0")

// Settings of the function in TestCrash.
const (
	stateBucket    = "tlswatch-state"
	alertMinFailed = 10
	alertGrowth    = 3
	clientBudget   = 4
	atOnce         = 8 // processes
)

// steps are the purposes of the function's API calls, and how likely a call kills
// its process: rarer calls are deadlier.
var steps = []crashStep{
	{"read log", 0.06},
	{"claim", 0.05},
	{"read record", 0.03},
	{"read clients", 0.05},
	{"reserve clients", 0.12},
	{"publish metrics", 0.08},
	{"commit", 0.1},
	{"list records", 0.04},
	{"read alert", 0.03},
	{"alert pending", 0.15},
	{"publish alert", 0.25},
	{"alert sent", 0.25},
}

type crashStep struct {
	name   string
	deadly float64
}

// A moment is when during a call the process is killed.
type moment string

const (
	never  moment = ""
	before moment = "before" // the call is not applied
	after  moment = "after"  // it is applied, and there is no reply
	amid   moment = "amid"   // some milliseconds after a part of the reply; only when reading a log
	later  moment = "later"  // some milliseconds after the reply
)

// crashes returns how many processes to kill, and the minimum number of rounds:
// 20 processes, or the number in the environment variable TLSWATCH_CRASHES ('make
// crash': 200) and enough rounds for every kind of call.
func crashes(t *testing.T) (kills int, rounds uint64) {
	text := os.Getenv("TLSWATCH_CRASHES")
	if text == "" {
		return 20, 1
	}
	kills, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("TLSWATCH_CRASHES: %v", err)
	}
	return kills, focusRounds
}

// The function is killed at any point of its work, while eight processes work on
// the same objects. When its dead letters have been redriven, every object was
// published once, or once more for each kill between CloudWatch's acceptance and
// the commit, and there was an alert for every window that crosses the threshold.
//
// Each round has its own log objects and services. Its seed determines the kills:
// whether the nth call of a kind is deadly, whichever process makes it. The order
// of the processes depends on the machine.
func TestCrash(t *testing.T) {
	kills, rounds := crashes(t)
	seed := cmp.Or(*crashSeed, uint64(rand.Uint32()))
	t.Logf("first seed %d", seed)
	start := time.Now()
	var all tally
	all.kills = make(map[string]map[moment]int)
	for round := uint64(0); (all.dead < kills || round < rounds) && !t.Failed(); round++ {
		t.Run(fmt.Sprint("seed ", seed+round), func(t *testing.T) {
			w := newCrashWorld(t, seed+round)
			w.run()
			w.check()
			w.count(&all)
			if t.Failed() {
				t.Logf("what happened:\n%s", strings.Join(w.log, "\n"))
				t.Logf("the same kills: go test ./functions/processor -run Crash -v -crashseed %d", seed+round)
			}
		})
		all.rounds++
	}
	t.Logf("%v after %.1f s", &all, time.Since(start).Seconds())
	for _, s := range steps {
		for _, m := range []moment{before, after} {
			if all.rounds >= focusRounds && all.kills[s.name][m] == 0 && !t.Failed() {
				t.Errorf("no process was killed %s %q", m, s.name)
			}
		}
	}
	if all.atOnce < atOnce && !t.Failed() {
		t.Errorf("at most %d processes at once", all.atOnce)
	}
}

// A tally is what happened in all rounds.
type tally struct {
	rounds, dead, attempts, atOnce, objects, events, deadLetters int
	kills                                                        map[string]map[moment]int
	published, uncertain, alerts, unmarked                       int
	republished                                                  float64
}

func (a *tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rounds: %d objects, %d events, %d invocations, at most %d at once\n", a.rounds, a.objects, a.events, a.attempts, a.atOnce)
	fmt.Fprintf(&b, "%d killed, %d dead letters redriven\n", a.dead, a.deadLetters)
	for _, s := range steps {
		fmt.Fprintf(&b, "  %-16s", s.name)
		for _, m := range []moment{before, amid, after, later} {
			fmt.Fprintf(&b, " %s %2d ", m, a.kills[s.name][m])
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d publications, %d objects' attempts killed between acceptance and commit, %d published again, UncertainRepublishes %v\n",
		a.published, a.uncertain, a.published-a.objects, a.republished)
	fmt.Fprintf(&b, "%d alerts, %d of them by processes killed before they could mark them", a.alerts, a.unmarked)
	return b.String()
}

// A crashLog is one log object. Its cipher identifies it in the metrics.
type crashLog struct {
	connlogtest.Object
	uri         string
	cipher      string
	end         time.Time
	connections int
	failed      int
	created     s3.ObjectCreated
}

// A crashWorld is one round: the function, the services, and a record of the
// calls.
type crashWorld struct {
	*rig
	seed    uint64
	servers []*httptest.Server
	objects []*crashLog
	events  [][]byte
	early   int            // events that are not late
	full    chan struct{}  // closed when the maximum number of processes are working
	late    sync.WaitGroup // kills to come

	mu          sync.Mutex     // held while a call is applied, so that calls have an order
	sizes       map[string]int // objects of an event, by request id
	calls       map[string]int
	log         []string
	attempts    map[string]*attempt // by trace id
	deadLetters int
	published   map[string]int // by URI, as CloudWatch has it
	sent        []*sentAlert
}

// An attempt is what one process did for one event. Objects are identified by
// their URIs.
type attempt struct {
	killed    moment
	step      string          // at which it was killed
	claimed   map[string]bool // by an applied call
	accepted  map[string]bool // by CloudWatch
	committed map[string]bool // by an applied call
}

func newAttempt() *attempt {
	return &attempt{
		claimed: make(map[string]bool), accepted: make(map[string]bool), committed: make(map[string]bool),
	}
}

type sentAlert struct {
	lb      string
	end     time.Time
	failed  int
	by      string // trace id
	certain bool   // the sender's mark was applied
}

func newCrashWorld(t *testing.T, seed uint64) *crashWorld {
	r := rand.New(rand.NewPCG(seed, 0))
	w := &crashWorld{
		seed: seed, full: make(chan struct{}), sizes: make(map[string]int),
		calls: make(map[string]int), attempts: make(map[string]*attempt),
		published: make(map[string]int),
	}
	settings := map[string]string{
		"STATE_BUCKET": stateBucket, "CLIENT_BUDGET": strconv.Itoa(clientBudget), "CLIENT_MIN_FAILED": "2",
		"ALERT_MIN_FAILED": strconv.Itoa(alertMinFailed), "ALERT_GROWTH": strconv.Itoa(alertGrowth),
	}
	for service, variable := range map[string]string{"s3": "AWS_ENDPOINT_URL_S3", "cloudwatch": "AWS_ENDPOINT_URL_CLOUDWATCH", "sns": "AWS_ENDPOINT_URL_SNS"} {
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.serve(service, rw, r) }))
		t.Cleanup(srv.Close)
		w.servers = append(w.servers, srv)
		settings[variable] = srv.URL
	}
	w.rig = startRig(t, settings, lambda.Options{
		Timeout: time.Minute, Concurrency: atOnce, RetryDelays: []time.Duration{2 * time.Millisecond, 10 * time.Millisecond},
	})
	if err := w.stack.S3.CreateBucket(stateBucket); err != nil {
		t.Fatal(err)
	}
	w.makeObjects(r)
	w.makeEvents(r)
	return w
}

// makeObjects makes the objects of some nodes, periods and load balancers. At
// least one window crosses the threshold.
func (w *crashWorld) makeObjects(r *rand.Rand) {
	now := time.Now().UTC().Truncate(logkey.Period)
	periods, nodes := 2+r.IntN(2), 2+r.IntN(2)
	for n := range 1 + r.IntN(2) {
		lb := []string{"app/shop/50dc6c495c0c9188", "app/till/1234567890abcdef"}[n]
		for period := range periods {
			for node := range nodes {
				o := &crashLog{end: now.Add(-time.Duration(period) * logkey.Period), cipher: fmt.Sprintf("C-%d-%d-%d", n, period, node)}
				o.LoadBalancer = lb
				o.failed = r.IntN(alertMinFailed + 2)
				if r.IntN(6) == 0 || len(w.objects) == 0 {
					o.failed = alertMinFailed + r.IntN(4*alertMinFailed)
				}
				o.connections = o.failed + 1 + r.IntN(100)
				for i := range o.connections {
					client, status := 1, "Success"
					if i < o.failed {
						client, status = 2+r.IntN(8), "Failed:UnmappedConnectionError"
					}
					at := o.end.Add(-time.Duration(1+r.IntN(5)) * time.Minute)
					o.Lines = append(o.Lines, fmt.Sprintf("%s 192.0.2.%d 50000 443 TLSv1.2 %s - \"-\" - - %s", at.Format(time.RFC3339), client, o.cipher, status))
				}
				o.Key = connlogtest.ObjectKey("us-east-2", lb, o.end, fmt.Sprint("198.51.100.", node), "crash") + ".gz"
				o.uri = "s3://" + bucket + "/" + o.Key
				o.created = w.put(o.Key, o.Gzip())
				w.objects = append(w.objects, o)
			}
		}
	}
}

// makeEvents announces every object one to three times, few objects more often,
// in any order, some of them together.
func (w *crashWorld) makeEvents(r *rand.Rand) {
	var all []s3.ObjectCreated
	for _, o := range w.objects {
		for range 1 + r.IntN(3) {
			all = append(all, o.created)
		}
	}
	for len(all) < 2*atOnce {
		all = append(all, w.objects[r.IntN(len(w.objects))].created)
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for len(all) > 0 {
		n := 1
		if r.IntN(4) == 0 {
			n = min(2+r.IntN(2), len(all))
		}
		w.events = append(w.events, s3.Event(all[:n]...))
		all = all[n:]
	}
	w.early = min(max(atOnce, len(w.events)*3/4), len(w.events))
}

// announced counts the objects of an event.
func announced(event []byte) int { return bytes.Count(event, []byte(`"eventVersion"`)) }

// run delivers all events, some of them late, and redrives dead letters until
// there are no more.
func (w *crashWorld) run() {
	w.invoke(w.events[:w.early])
	w.wait()
	w.invoke(w.events[w.early:])
	for quiet := false; !quiet; {
		var redrives sync.WaitGroup
		for _, d := range w.lambda.DeadLetters()[w.deadLetters:] {
			w.deadLetters++
			redrives.Go(func() { w.redrive(d) })
		}
		redrives.Wait()
		w.wait()
		quiet = w.deadLetters == len(w.lambda.DeadLetters())
	}
	w.lambda.Close()
	for _, srv := range w.servers {
		srv.Close() // waits for calls whose senders were killed
	}
	w.late.Wait()
}

func (w *crashWorld) invoke(events [][]byte) {
	for _, e := range events {
		id, err := w.lambda.InvokeAsync(e)
		if err != nil {
			w.t.Fatal(err)
		}
		w.mu.Lock()
		w.sizes[id] = announced(e)
		w.mu.Unlock()
	}
}

// redrive sends the record of a failed invocation until the function accepts
// it, as 'tlswatch redrive' does.
func (w *crashWorld) redrive(d lambda.DeadLetter) {
	payload, err := json.Marshal(d)
	if err != nil {
		w.t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for {
		result, err := w.lambda.Invoke(ctx, payload)
		if err != nil {
			w.t.Errorf("redrive of %s: %v", d.RequestContext.RequestID, err)
			return
		}
		w.mu.Lock()
		w.sizes[result.RequestID] = announced(d.RequestPayload)
		w.mu.Unlock()
		if result.Error == nil {
			return
		}
	}
}

// focusRounds is the number of rounds after which a process has been killed before
// and after every kind of call: in each round some first calls are always deadly.
const focusRounds = 8

// deadlyCalls bounds the calls of a kind that can be deadly, so that a round
// ends.
const deadlyCalls = 40

// fate says when during the nth call of a step its process is killed. Other random
// choices depend on x, from 0 to 1.
func (w *crashWorld) fate(step string, n int) (m moment, x float64) {
	h := fnv.New64a()
	fmt.Fprint(h, step, " ", n)
	r := rand.New(rand.NewPCG(w.seed, h.Sum64()))
	x = r.Float64()
	i := slices.IndexFunc(steps, func(s crashStep) bool { return s.name == step })
	switch {
	case i < 0:
		w.t.Errorf("a call of an unknown kind, %q", step)
	case n == 1 && uint64(2*i)%focusRounds == w.seed%focusRounds:
		return before, x
	case n == 1 && uint64(2*i+1)%focusRounds == w.seed%focusRounds:
		return after, x
	case n <= deadlyCalls && r.Float64() < steps[i].deadly:
		moments := []moment{before, before, after, after, later}
		if step == "read log" {
			moments = append(moments, amid, amid, amid)
		}
		return moments[r.IntN(len(moments))], x
	}
	return never, x
}

// serve answers an API call, or kills its sender.
func (w *crashWorld) serve(service string, rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // its sender was killed
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	trace := r.Header.Get("X-Amzn-Trace-Id")
	step, about := stepOf(service, r, body)

	w.mu.Lock()
	w.calls[step]++
	m, x := w.fate(step, w.calls[step])
	if w.attempts[trace] == nil {
		w.attempts[trace] = newAttempt()
		if len(w.attempts) == min(atOnce, w.early) {
			close(w.full)
		}
	}
	w.mu.Unlock()

	select {
	case <-w.full:
	case <-r.Context().Done():
		return
	}
	if m == before && w.kill(trace, step, m) {
		panic(http.ErrAbortHandler)
	}
	reply := httptest.NewRecorder()
	w.apply(service, reply, r, trace, step, about)
	pause := time.Duration(x * float64(4*time.Millisecond))
	switch {
	case m == after && w.kill(trace, step, m):
		panic(http.ErrAbortHandler)
	case m == later:
		w.late.Go(func() {
			time.Sleep(pause)
			w.kill(trace, step, m)
		})
	}
	maps.Copy(rw.Header(), reply.Header())
	rw.Header().Set("Content-Length", strconv.Itoa(reply.Body.Len()))
	rw.WriteHeader(reply.Code)
	if m == amid {
		rw.Write(reply.Body.Next(int(x * float64(reply.Body.Len()))))
		http.NewResponseController(rw).Flush()
		time.Sleep(pause)
		if w.kill(trace, step, m) {
			panic(http.ErrAbortHandler)
		}
	}
	rw.Write(reply.Body.Bytes())
}

// kill kills the process of an attempt, if it is still running.
func (w *crashWorld) kill(trace, step string, m moment) bool {
	if !w.lambda.Kill(trace) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.attempts[trace]
	a.killed, a.step = m, step
	w.note(trace, "killed %s %q", m, step)
	return true
}

func (w *crashWorld) note(trace, format string, args ...any) {
	name := trace
	if i := strings.Index(trace, ";"); i > 4 {
		name = trace[i-4 : i] // of 96 random bits, enough to distinguish some dozens
	}
	text := fmt.Sprintf(format, args...)
	for _, o := range w.objects {
		text = strings.NewReplacer(o.uri, o.cipher, o.Key, o.cipher).Replace(text)
	}
	w.log = append(w.log, fmt.Sprintf("%4d %s %s", len(w.log), name, text))
}

// stepOf returns the step of a request and its subject: the key of an object, or a
// load balancer.
func stepOf(service string, r *http.Request, body []byte) (step, about string) {
	switch service {
	case "cloudwatch":
		return "publish metrics", ""
	case "sns":
		return "publish alert", ""
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var record struct{ State, Object string }
	if r.Method == http.MethodPut {
		json.Unmarshal(body, &record)
	}
	parts := strings.Split(key, "/")
	switch {
	case name == bucket:
		return "read log", key
	case key == "":
		return "list records", r.URL.Query().Get("prefix")
	case len(parts) < 6 || parts[0] != "v1":
	case parts[1] == "periods":
		step, about = map[string]string{"": "read record", "claimed": "claim", "published": "commit"}[record.State], record.Object
	case parts[1] == "alerts":
		step = map[string]string{"": "read alert", "pending": "alert pending", "sent": "alert sent"}[record.State]
		about = strings.Join(parts[2:5], "/")
	case parts[1] == "clients":
		step = map[string]string{http.MethodGet: "read clients", http.MethodPut: "reserve clients"}[r.Method]
	}
	return step, about
}

// apply applies a call and records its effect.
func (w *crashWorld) apply(service string, reply *httptest.ResponseRecorder, r *http.Request, trace, step, about string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	map[string]http.Handler{"s3": w.stack.S3, "cloudwatch": w.stack.CloudWatch, "sns": w.stack.SNS}[service].ServeHTTP(reply, r)
	w.note(trace, "%s %s %d", step, about, reply.Code)
	a := w.attempts[trace]
	if reply.Code != http.StatusOK {
		return
	}
	switch step {
	case "claim":
		a.claimed[about] = true
	case "commit":
		a.committed[about] = true
	case "publish metrics":
		for uri, n := range w.publications() {
			if n > w.published[uri] {
				w.note(trace, "published %s", uri)
				w.published[uri] = n
				a.accepted[uri] = true
			}
		}
	case "publish alert":
		messages := w.stack.SNS.Messages()
		w.sent = append(w.sent, w.readAlert(messages[len(messages)-1], trace))
	case "alert sent":
		for _, s := range w.sent {
			if s.by == trace && s.lb == about {
				s.certain = true
			}
		}
	}
}

// publications counts how often CloudWatch has each object's connections.
func (w *crashWorld) publications() map[string]int {
	sums := functiontest.Sums(w.stack)
	counts := make(map[string]int)
	for _, o := range w.objects {
		sum := sums[metric.Connections+" LoadBalancer="+o.LoadBalancer+" Protocol=TLSv1.2 Cipher="+o.cipher].Sum
		counts[o.uri] = int(sum) / o.connections
		if int(sum)%o.connections != 0 {
			w.t.Errorf("%v connections of %s, which has %d", sum, o.uri, o.connections)
		}
	}
	return counts
}

func (w *crashWorld) readAlert(m sns.Message, trace string) *sentAlert {
	var doc struct {
		Failed int
		Window struct {
			LoadBalancer string
			End          time.Time
		}
	}
	if err := json.Unmarshal([]byte(m.Text("sqs")), &doc); err != nil {
		w.t.Errorf("alert: %v", err)
	}
	w.note(trace, "alert about %s at %s: %d", doc.Window.LoadBalancer, doc.Window.End.Format("15:04"), doc.Failed)
	return &sentAlert{lb: doc.Window.LoadBalancer, end: doc.Window.End, failed: doc.Failed, by: trace}
}

// check checks the guarantees of the ledger.
func (w *crashWorld) check() {
	w.checkInvocations()
	w.checkMetrics()
	w.checkClients()
	w.checkAlerts()
	w.checkProcesses()
}

// checkInvocations checks that attempts failed only because they were killed or
// because another event was working on the object, and that each object of a
// successful event has its log line.
func (w *crashWorld) checkInvocations() {
	seen := 0
	well := make(map[string]bool)
	for _, inv := range w.lambda.Invocations() {
		a := w.attempts[inv.TraceID]
		killed := a != nil && a.killed != never
		waits := inv.Error != nil && strings.Contains(inv.Error.Message, pipeline.ErrInProgress.Error())
		if killed != (inv.Exit == "signal: killed") || inv.Error != nil && !killed && !waits {
			w.t.Errorf("attempt %d at %s: killed %v, exit %q, error %v", inv.Attempt, inv.RequestID, killed, inv.Exit, inv.Error)
		}
		if a != nil {
			seen++
		}
		well[inv.RequestID] = well[inv.RequestID] || inv.Error == nil
	}
	if seen != len(w.attempts) {
		w.t.Errorf("requests by %d attempts, %d of them known", len(w.attempts), seen)
	}
	lines := make(map[string]int)
	for _, l := range append(w.logLines("processed"), w.logLines("duplicate")...) {
		id, _ := l["requestId"].(string)
		lines[id]++
	}
	for id, ok := range well {
		if ok && lines[id] < w.sizes[id] {
			w.t.Errorf("request %s: %d log lines about %d objects", id, lines[id], w.sizes[id])
		}
	}
	if n := len(w.logLines("failed")) + len(w.logLines("skipped")); n > 0 {
		w.t.Errorf("%d objects failed or were skipped", n)
	}
}

// checkMetrics checks that every object was published once, and at most once more
// for each attempt killed between acceptance and commit.
func (w *crashWorld) checkMetrics() {
	uncertain, abandoned := w.uncertain()
	want := make(map[string]connlogtest.Sum)
	published, again := 0, 0
	for _, o := range w.objects {
		n := w.published[o.uri]
		if n < 1 || n > 1+uncertain[o.uri] {
			w.t.Errorf("%s was published %d times, %d attempts were killed between acceptance and commit", o.uri, n, uncertain[o.uri])
		}
		published += n
		again += n - 1
		for name, sum := range connlogtest.Metrics(o.Lines, o.LoadBalancer) {
			s := want[name]
			want[name] = connlogtest.Sum{Sum: s.Sum + float64(n)*sum.Sum, Samples: s.Samples + float64(n)*sum.Samples}
		}
	}
	sums := functiontest.Sums(w.stack)
	for _, name := range append(slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(sums))...) {
		if strings.Contains(name, " Client=") || slices.Contains(metric.AboutProcessor(), name) {
			continue
		}
		got, want := sums[name], want[name]
		// Objects that were sent in one request share a sample, except where
		// each connection is one.
		if got.Sum != want.Sum || strings.HasPrefix(name, metric.FailedNegotiations) && !strings.Contains(name, " Reason=") && got.Samples != want.Samples {
			w.t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if got := sums[metric.ObjectsProcessed].Sum; got != float64(published) {
		w.t.Errorf("ObjectsProcessed is %v after %d publications", got, published)
	}
	if sums[metric.MalformedLines].Sum != 0 || sums[metric.ObjectsSkipped].Sum != 0 {
		w.t.Errorf("%v lines malformed, %v objects skipped", sums[metric.MalformedLines], sums[metric.ObjectsSkipped])
	}
	if got := sums[metric.UncertainRepublishes].Sum; got < float64(again) || got > float64(abandoned) {
		w.t.Errorf("UncertainRepublishes is %v: %d objects' data count again, %d claims were abandoned", got, again, abandoned)
	}
}

// uncertain counts the attempts that were killed between acceptance and commit,
// by object, and all that were killed between claim and commit.
func (w *crashWorld) uncertain() (accepted map[string]int, claimed int) {
	accepted = make(map[string]int)
	for trace, a := range w.attempts {
		for uri := range a.accepted {
			if !a.committed[uri] {
				accepted[uri]++
				if a.killed == never {
					w.t.Errorf("%s published %s and neither committed it nor was killed", trace, uri)
				}
			}
		}
		for uri := range a.claimed {
			if !a.committed[uri] {
				claimed++
			}
		}
	}
	return accepted, claimed
}

// checkClients checks that the metrics have no more clients than the budget, and
// that the sum over the clients has all failures.
func (w *crashWorld) checkClients() {
	type hour struct {
		lb string
		at time.Time
	}
	names := make(map[hour]map[string]bool)
	got, want := make(map[string]float64), make(map[string]float64)
	for _, s := range w.stack.CloudWatch.Metrics() {
		client, lb := s.Dimensions[metric.Client], s.Dimensions[metric.LoadBalancer]
		if client == "" {
			continue
		}
		for _, p := range s.Points {
			got[lb] += p.Sum
			at := hour{lb, p.Timestamp.Truncate(time.Hour)}
			if names[at] == nil {
				names[at] = make(map[string]bool)
			}
			if client != metric.Other {
				names[at][client] = true
			}
		}
	}
	for at, clients := range names {
		if len(clients) > clientBudget {
			w.t.Errorf("%d clients of %s at %s", len(clients), at.lb, at.at)
		}
	}
	for _, o := range w.objects {
		want[o.LoadBalancer] += float64(w.published[o.uri] * o.failed)
	}
	for lb := range want {
		if got[lb] != want[lb] {
			w.t.Errorf("%v failures of all clients of %s, want %v", got[lb], lb, want[lb])
		}
	}
}

// A crashWindow is a period of a load balancer, over all nodes.
type crashWindow struct {
	lb  string
	end time.Time
}

func (c crashWindow) String() string { return c.lb + " at " + c.end.Format("15:04") }

// checkAlerts checks that there is an alert for each window that crosses the
// threshold, or another alert that suppresses it, that there is none for other
// windows, and no two within the cooldown, which is longer than the test.
func (w *crashWorld) checkAlerts() {
	failures := make(map[crashWindow]int)
	for _, o := range w.objects {
		failures[crashWindow{o.LoadBalancer, o.end}] += o.failed
	}
	for i, a := range w.sent {
		window := crashWindow{a.lb, a.end}
		if a.failed < alertMinFailed || a.failed > failures[window] {
			w.t.Errorf("alert about %v reports %d failures of %d", window, a.failed, failures[window])
		}
		if !a.certain && w.attempts[a.by].killed == never {
			w.t.Errorf("the alert about %v was neither marked nor its sender killed", window)
		}
		for j, b := range w.sent[:i] {
			if a.lb == b.lb && a.failed < alertGrowth*b.failed && b.certain && !w.grew(j, i) {
				w.t.Errorf("alert about %v with %d failures, after one at %s with %d", window, a.failed, b.end.Format("15:04"), b.failed)
			}
		}
	}
	for window, failed := range failures {
		if failed >= alertMinFailed && !w.alerted(window, failed) {
			w.t.Errorf("no alert about %v, which has %d failures", window, failed)
		}
	}
}

// grew reports whether between two alerts there was one that the first did not
// suppress, so that the second compares with that one.
func (w *crashWorld) grew(first, second int) bool {
	b := w.sent[first]
	return slices.ContainsFunc(w.sent[first+1:second], func(c *sentAlert) bool {
		return c.lb == b.lb && c.failed >= alertGrowth*b.failed
	})
}

// alerted reports whether there was an alert about a window, or one of the same
// load balancer that suppresses it, which the window has not outgrown.
func (w *crashWorld) alerted(c crashWindow, failed int) bool {
	return slices.ContainsFunc(w.sent, func(a *sentAlert) bool {
		return a.lb == c.lb && (a.end.Equal(c.end) || a.certain) && failed < alertGrowth*a.failed
	})
}

// checkProcesses checks that no process of the function remains. It needs Linux.
func (w *crashWorld) checkProcesses() {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil || len(links) == 0 {
		w.t.Log("SKIPPED: no /proc to look for processes in")
		return
	}
	bootstrap := functiontest.Bootstrap(w.t, "processor")
	for _, link := range links {
		if exe, err := os.Readlink(link); err == nil && strings.TrimSuffix(exe, " (deleted)") == bootstrap {
			w.t.Errorf("%s is still there", filepath.Dir(link))
		}
	}
}

// count adds a round to the tally.
func (w *crashWorld) count(all *tally) {
	all.objects += len(w.objects)
	all.events += len(w.events)
	all.deadLetters += w.deadLetters
	all.alerts += len(w.sent)
	all.republished += functiontest.Sums(w.stack)[metric.UncertainRepublishes].Sum
	uncertain, _ := w.uncertain()
	for _, n := range uncertain {
		all.uncertain += n
	}
	for _, n := range w.published {
		all.published += n
	}
	for _, a := range w.sent {
		if !a.certain {
			all.unmarked++
		}
	}
	for _, a := range w.attempts {
		if a.killed == never {
			continue
		}
		all.dead++
		if all.kills[a.step] == nil {
			all.kills[a.step] = make(map[moment]int)
		}
		all.kills[a.step][a.killed]++
	}
	invocations := w.lambda.Invocations()
	all.attempts += len(invocations)
	for _, inv := range invocations {
		n := 0
		for _, other := range invocations {
			if !other.Started.After(inv.Started) && other.Started.Add(other.Duration).After(inv.Started) {
				n++
			}
		}
		all.atOnce = max(all.atOnce, n)
	}
}
