package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tlswatch/pkg/localaws"
	"tlswatch/pkg/metric"
)

// Settings of TestCrash from the environment: how many kills ('make crash': 200)
// and the seed that chooses them, to repeat a run as far as the scheduling of
// eight processes allows.
const (
	crashesVariable   = "TLSWATCH_CRASHES"
	crashSeedVariable = "TLSWATCH_CRASH_SEED"
)

const (
	stateBucket    = "tlswatch-state"
	crashThreshold = 40
)

// The real binary is killed by SIGKILL before or after API calls of every kind,
// eight processes at once, with duplicate and reordered events. Lambda's
// retries and redriven dead letters finish the work. Then every object counts
// exactly once, but for those whose process died between CloudWatch's
// acceptance and the commit, which the test knows; and every load balancer
// whose failures reach the threshold in a period was alerted once, but for
// deaths between SNS's acceptance and its mark.
func TestCrash(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(crashSeedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	kills := 60
	if text := os.Getenv(crashesVariable); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", crashSeedVariable, seed)
	total := make(map[string]int)
	extra, alerts := 0, 0
	for round := uint64(0); sum(total) < kills && !t.Failed(); round++ {
		c := newCrash(t, rand.New(rand.NewPCG(seed, round)))
		c.run()
		e, a := c.check()
		extra, alerts = extra+e, alerts+a
		for what, n := range c.kills {
			total[what] += n
		}
		if round > uint64(kills) {
			t.Fatal("hardly anything is killed")
		}
	}
	var list []string
	for what, n := range total {
		list = append(list, fmt.Sprintf("%4d %s", n, what))
	}
	slices.Sort(list)
	t.Logf("%d kills, %d objects counted again, %d alerts:\n%s", sum(total), extra, alerts, strings.Join(list, "\n"))
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// A crash is one round: the services, eight functions, and objects.
type crash struct {
	t         *testing.T
	r         *rand.Rand
	stack     *localaws.Stack
	topic     string
	functions []*victim
	objects   []crashObject

	mu        sync.Mutex
	calm      bool
	kills     map[string]int // by call and moment
	uncertain map[string]int // by cipher: deaths between acceptance and commit
	unmarked  map[string]int // by load balancer: deaths between SNS's acceptance and its mark
}

type crashObject struct {
	key, lb, cipher     string
	end                 time.Time
	connections, failed int
}

// A victim is a function with one process at a time, which reaches the services
// through endpoints of its own, so that they know who calls.
type victim struct {
	c       *crash
	name    string
	pidFile string
	lambda  *localaws.Lambda

	// What its process is at, as its calls tell.
	object   crashObject
	accepted bool // CloudWatch has the object's data, and no commit was written
	alerted  bool // SNS has an alert, and no mark was written
}

func newCrash(t *testing.T, r *rand.Rand) *crash {
	t.Helper()
	c := &crash{t: t, r: r, kills: make(map[string]int), uncertain: make(map[string]int), unmarked: make(map[string]int)}
	var err error
	if c.stack, err = localaws.Start(t.Context(), localaws.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.stack.Close() })
	for _, name := range []string{bucket, stateBucket} {
		if err := c.stack.S3.CreateBucket(name); err != nil {
			t.Fatal(err)
		}
	}
	c.topic = c.stack.SNS.CreateTopic("alerts")
	for i := range 8 {
		c.functions = append(c.functions, c.newVictim(fmt.Sprint("function-", i)))
	}
	last := time.Now().UTC().Truncate(5 * time.Minute)
	for i, lb := range []string{"app/a/1", "app/b/2"} {
		for period := range 2 {
			for node := range 3 {
				c.objects = append(c.objects, c.newObject(lb, fmt.Sprintf("C-%d-%d-%d", i, period, node), last.Add(-time.Duration(period)*5*time.Minute), node))
			}
		}
	}
	return c
}

func (c *crash) newObject(lb, cipher string, end time.Time, node int) crashObject {
	o := crashObject{lb: lb, cipher: cipher, end: end, failed: 5 + c.r.IntN(20)}
	o.connections = o.failed + 3
	o.key = fmt.Sprintf("AWSLogs/123456789012/elasticloadbalancing/us-east-2/%s/conn_log_123456789012_elasticloadbalancing_us-east-2_%s_%s_192.0.2.%d_a.log",
		end.Format("2006/01/02"), strings.ReplaceAll(lb, "/", "."), end.Format("20060102T1504Z"), node)
	var b bytes.Buffer
	for i := range o.connections {
		status := "Success"
		if i < o.failed {
			status = "Failed:X"
		}
		fmt.Fprintf(&b, "%s 192.0.2.%d 1 443 TLSv1.2 %s - \"-\" - - %s\n", end.Add(-time.Minute).Format(time.RFC3339), 100+node, cipher, status)
	}
	if _, err := c.stack.S3.Put(bucket, o.key, b.Bytes()); err != nil {
		c.t.Fatal(err)
	}
	return o
}

// launcher is the function's executable: it leaves its process id, which stays
// that of the real one.
const launcher = "#!/bin/sh\necho $$ >\"$PID_FILE\"\nexec \"$REAL\"\n"

func (c *crash) newVictim(name string) *victim {
	dir := c.t.TempDir()
	v := &victim{c: c, name: name, pidFile: filepath.Join(dir, "pid")}
	start := filepath.Join(dir, "bootstrap")
	if err := os.WriteFile(start, []byte(launcher), 0o777); err != nil {
		c.t.Fatal(err)
	}
	env := c.stack.Env()
	for variable, service := range map[string]http.Handler{"AWS_ENDPOINT_URL_S3": c.stack.S3, "AWS_ENDPOINT_URL_CLOUDWATCH": c.stack.CloudWatch, "AWS_ENDPOINT_URL_SNS": c.stack.SNS} {
		server := httptest.NewServer(v.watch(service))
		c.t.Cleanup(server.Close)
		env[variable] = server.URL
	}
	env["PID_FILE"], env["REAL"] = v.pidFile, bootstrap
	env["ALERT_TOPIC_ARN"], env["STATE_BUCKET"] = c.topic, stateBucket
	env["ALERT_MIN_FAILED"], env["CLIENT_MIN_FAILED"] = strconv.Itoa(crashThreshold), "1"
	var err error
	v.lambda, err = localaws.StartLambda(c.t.Context(), localaws.LambdaOptions{
		Bootstrap: start, Env: env, Timeout: 20 * time.Second, RetryDelays: []time.Duration{time.Millisecond, time.Millisecond},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { v.lambda.Close() })
	return v
}

// watch lets a victim's calls through, and kills it at some of them.
func (v *victim) watch(service http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // it is dead already
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		call := describeCall(req, body)
		moment := v.c.choose(call)
		if moment == before {
			v.kill(call)
			panic(http.ErrAbortHandler)
		}
		reply := httptest.NewRecorder()
		service.ServeHTTP(reply, req)
		v.note(call, req, reply.Code)
		if moment == after {
			v.kill(call)
			panic(http.ErrAbortHandler)
		}
		for name, values := range reply.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(reply.Code)
		w.Write(reply.Body.Bytes())
	})
}

// describeCall names an API call of the function.
func describeCall(req *http.Request, body []byte) string {
	path, state := strings.TrimPrefix(req.URL.Path, "/"), struct{ State string }{}
	switch {
	case strings.HasSuffix(path, "/PutMetricData"):
		return "PutMetricData"
	case path == "":
		return "Publish"
	case strings.HasPrefix(path, bucket+"/"):
		return "GetObject log"
	case req.Method == http.MethodPut && json.Unmarshal(body, &state) == nil && state.State != "":
		return "PutObject " + state.State
	case req.Method == http.MethodPut:
		return "PutObject clients"
	case req.URL.Query().Has("list-type"):
		return "ListObjectsV2"
	}
	return "GetObject " + strings.Split(path, "/")[2] // periods, alerts or clients
}

type moment int

const (
	never moment = iota
	before
	after
)

// choose decides whether a call is a victim's last one. Calls that are rare are
// chosen more often.
func (c *crash) choose(call string) moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	odds := 12
	if call == "Publish" || call == "PutObject pending" || call == "PutObject sent" || call == "PutObject published" || call == "PutMetricData" {
		odds = 4
	}
	if c.calm || c.r.IntN(odds) > 0 {
		return never
	}
	m := before + moment(c.r.IntN(2))
	c.kills[call+map[moment]string{before: ", before", after: ", after"}[m]]++
	return m
}

// note follows what a victim has done.
func (v *victim) note(call string, req *http.Request, status int) {
	v.c.mu.Lock()
	defer v.c.mu.Unlock()
	switch ok := status == http.StatusOK; {
	case call == "GetObject log" && ok:
		i := slices.IndexFunc(v.c.objects, func(o crashObject) bool { return strings.HasSuffix(req.URL.Path, o.key) })
		v.object, v.accepted, v.alerted = v.c.objects[i], false, false
	case call == "PutMetricData" && ok:
		v.accepted = true
	case call == "PutObject published" && ok:
		v.accepted = false
	case call == "Publish" && ok:
		v.alerted = true
	case call == "PutObject sent" && ok:
		v.alerted = false
	}
}

func (v *victim) kill(call string) {
	text, err := os.ReadFile(v.pidFile)
	if err != nil {
		v.c.t.Error(err)
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		v.c.t.Error(err)
		return
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		v.c.t.Errorf("%s at %s: %v", v.name, call, err)
	}
	v.c.mu.Lock()
	defer v.c.mu.Unlock()
	if v.accepted {
		v.c.uncertain[v.object.cipher]++
	}
	if v.alerted {
		v.c.unmarked[v.object.lb]++
	}
	v.accepted, v.alerted = false, false
}

// run sends every event, some of them more than once and in any order, and
// redrives what Lambda gives up, until nothing is left.
func (c *crash) run() {
	c.t.Helper()
	var events [][]byte
	for _, o := range c.objects {
		for range 1 + c.r.IntN(3) {
			events = append(events, localaws.S3Event(localaws.ObjectCreated{EventName: "ObjectCreated:Put", Bucket: bucket, Key: o.key, Sequencer: "0055AED6DCD90281E5", Time: time.Now()}))
		}
	}
	c.r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	redriven := make(map[string]int) // by function: dead letters that were sent again
	for round := 0; len(events) > 0; round++ {
		if round == 3 {
			c.mu.Lock()
			c.calm = true
			c.mu.Unlock()
		}
		for _, e := range events {
			c.mu.Lock()
			v := c.functions[c.r.IntN(len(c.functions))]
			c.mu.Unlock()
			if _, err := v.lambda.InvokeAsync(e); err != nil {
				c.t.Fatal(err)
			}
		}
		events = nil
		for _, v := range c.functions {
			if err := v.lambda.Wait(c.t.Context()); err != nil {
				c.t.Fatal(err)
			}
			dead := v.lambda.DeadLetters()
			for _, letter := range dead[redriven[v.name]:] {
				record, err := json.Marshal(letter)
				if err != nil {
					c.t.Fatal(err)
				}
				events = append(events, record)
			}
			redriven[v.name] = len(dead)
		}
	}
}

// check compares what the services have with what should be.
func (c *crash) check() (extra, alerts int) {
	t := c.t
	t.Helper()
	published, republished := make(map[string]float64), 0.0
	for _, s := range c.stack.CloudWatch.Metrics() {
		for _, p := range s.Points {
			switch {
			case s.Name == metric.UncertainRepublishes:
				republished += p.Sum
			case s.Name == metric.Connections && s.Dimensions[metric.Cipher] != "":
				published[s.Dimensions[metric.Cipher]] += p.Sum
			}
		}
	}
	failed := make(map[string]map[time.Time]int)
	for _, o := range c.objects {
		times := int(published[o.cipher]) / o.connections
		switch {
		case times*o.connections != int(published[o.cipher]):
			t.Errorf("%s: %v connections published, which is no multiple of its %d", o.cipher, published[o.cipher], o.connections)
		case times == 0:
			t.Errorf("%s was never published", o.cipher)
		case times > 1+c.uncertain[o.cipher]:
			t.Errorf("%s was published %d times, with %d deaths between acceptance and commit", o.cipher, times, c.uncertain[o.cipher])
		}
		extra += times - 1
		if failed[o.lb] == nil {
			failed[o.lb] = make(map[time.Time]int)
		}
		failed[o.lb][o.end] += o.failed
	}
	if float64(extra) > republished {
		t.Errorf("%d objects count again, UncertainRepublishes says %v", extra, republished)
	}
	for lb, periods := range failed {
		crossed := false
		for _, n := range periods {
			crossed = crossed || n >= crashThreshold
		}
		n := 0
		for _, m := range c.stack.SNS.Messages() {
			if m.Attributes["loadBalancer"] != lb {
				continue
			}
			n++
			var doc struct{ Window struct{ End time.Time } }
			if err := json.Unmarshal([]byte(m.Text("sqs")), &doc); err != nil {
				t.Fatal(err)
			}
			if periods[doc.Window.End] < crashThreshold {
				t.Errorf("%s was alerted about %s, which has %d failures", lb, doc.Window.End, periods[doc.Window.End])
			}
		}
		// All of this happens within the cooldown, and no period has three
		// times the failures of another that crosses.
		if most := 1 + c.unmarked[lb]; crossed && n == 0 || n > most || !crossed && n > 0 {
			t.Errorf("%s: %d alerts for failures %v, with %d deaths between SNS's acceptance and its mark", lb, n, periods, c.unmarked[lb])
		}
		alerts += n
	}
	return extra, alerts
}
