package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
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
	"tlswatch/pkg/metric"
)

// loadBatch is the number of messages in a batch, like the template's parameter
// QueueBatchSize.
const loadBatch = 25

// A body is the content that some log objects have.
type body struct {
	packed []byte
	sums   map[string]connlogtest.Sum // of the load balancer named LB
	lines  int
}

// A load is events about log objects of mixed sizes, some announced twice and
// some broken.
type load struct {
	events  []s3.ObjectCreated
	objects int // that can be read
	broken  int // events about objects that cannot
	lines   int
	bytes   int // as stored
	want    map[string]connlogtest.Sum
}

// makeLoad puts objects into the bucket: of a hundred, 70 have 20 lines, 25 have
// 200 and 5 have 3,000; three more are announced again, and one is broken.
func makeLoad(t *testing.T, r *rig, events int) *load {
	t.Helper()
	const loadBalancers, periods, variants = 40, 4, 10
	last := time.Now().UTC().Truncate(5 * time.Minute)
	bodies := make(map[string]*body)
	l := &load{want: make(map[string]connlogtest.Sum)}
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; len(l.events) < events; i++ {
		lines := 20
		switch n := i % 100; {
		case n < 5:
			lines = 3000
		case n < 30:
			lines = 200
		}
		end := last.Add(-time.Duration(i%periods) * 5 * time.Minute)
		id := fmt.Sprint(lines, i%periods, i/100%variants)
		b := bodies[id]
		if b == nil {
			b = makeBody(t, uint64(len(bodies)), lines, end)
			bodies[id] = b
		}
		lb := fmt.Sprintf("app/lb-%02d/%016x", i%loadBalancers, i%loadBalancers)
		key := connlogtest.ObjectKey("us-east-1", lb, end, "192.0.2.10", fmt.Sprintf("%08x", i)) + ".gz"
		packed := b.packed
		if broken := i%100 == 99; broken {
			packed = packed[:len(packed)/2]
			l.broken++
		} else {
			l.objects++
			l.lines += b.lines
			for name, sum := range b.sums {
				name = strings.Replace(name, "LoadBalancer=LB", "LoadBalancer="+lb, 1)
				all := l.want[name]
				l.want[name] = connlogtest.Sum{Sum: all.Sum + sum.Sum, Samples: all.Samples + sum.Samples}
			}
		}
		l.bytes += len(packed)
		l.events = append(l.events, r.put(key, packed))
		if i%33 == 0 && i%100 != 99 {
			l.events = append(l.events, l.events[len(l.events)-1])
		}
	}
	random.Shuffle(len(l.events), func(i, j int) { l.events[i], l.events[j] = l.events[j], l.events[i] })
	return l
}

func makeBody(t *testing.T, seed uint64, lines int, end time.Time) *body {
	t.Helper()
	o, err := connlogtest.NewObject("us-east-1", end, connlogtest.Options{Seed: seed, Lines: lines, LoadBalancer: "LB", Fields: 13})
	if err != nil {
		t.Fatal(err)
	}
	return &body{o.Gzip(), functiontest.Reference(o), lines}
}

// direct invokes the function once for each event, as S3 does.
func (l *load) direct(t *testing.T, r *rig) {
	t.Helper()
	for _, o := range l.events {
		if _, err := r.lambda.InvokeAsync(s3.Event(o)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.lambda.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(r.lambda.DeadLetters()); n != l.broken {
		t.Errorf("%d dead letters, want %d", n, l.broken)
	}
}

// queue invokes the function for batches of messages and sends failed messages
// again, three times in all, as a queue does.
func (l *load) queue(t *testing.T, r *rig) {
	t.Helper()
	type message struct {
		MessageID   string            `json:"messageId"`
		Receipt     string            `json:"receiptHandle"`
		Body        string            `json:"body"`
		Attributes  map[string]string `json:"attributes"`
		EventSource string            `json:"eventSource"`
		ARN         string            `json:"eventSourceARN"`
	}
	var messages []message
	for i, o := range l.events {
		messages = append(messages, message{fmt.Sprintf("message-%d", i), "receipt", string(s3.Event(o)), map[string]string{"ApproximateReceiveCount": "1"}, "aws:sqs", "arn:aws:sqs:us-east-1:123456789012:logs"})
	}
	for attempt := 1; attempt <= 3; attempt++ {
		var mu sync.Mutex
		failed := make(map[string]bool)
		var pollers sync.WaitGroup
		turn := make(chan struct{}, loadConcurrency)
		for batch := range slices.Chunk(messages, loadBatch) {
			turn <- struct{}{}
			pollers.Go(func() {
				defer func() { <-turn }()
				event, err := json.Marshal(map[string]any{"Records": batch})
				if err != nil {
					t.Error(err)
					return
				}
				result, err := r.lambda.Invoke(t.Context(), event)
				if err != nil {
					t.Error(err)
					return
				}
				if result.Error != nil { // the whole batch is sent again
					t.Log(result.Error)
					mu.Lock()
					defer mu.Unlock()
					for _, m := range batch {
						failed[m.MessageID] = true
					}
					return
				}
				var reply struct {
					BatchItemFailures []struct{ ItemIdentifier string }
				}
				if err := json.Unmarshal(result.Payload, &reply); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, f := range reply.BatchItemFailures {
					failed[f.ItemIdentifier] = true
				}
			})
		}
		pollers.Wait()
		messages = slices.DeleteFunc(messages, func(m message) bool { return !failed[m.MessageID] })
	}
	if len(messages) != l.broken {
		t.Errorf("%d messages for the failure queue, want %d", len(messages), l.broken)
	}
}

var loadConcurrency = 2 * runtime.GOMAXPROCS(0)

// TestLoad runs many events through the real binary. TLSWATCH_LOAD says how
// many; `make load` runs 20,000 each way.
func TestLoad(t *testing.T) {
	events := 200
	if s := os.Getenv("TLSWATCH_LOAD"); s != "" {
		var err error
		if events, err = strconv.Atoi(s); err != nil || events < 1 {
			t.Fatalf("TLSWATCH_LOAD=%q: want a number of events", s)
		}
	}
	for _, way := range []struct {
		name string
		run  func(*load, *testing.T, *rig)
	}{{"direct", (*load).direct}, {"queue", (*load).queue}} {
		t.Run(way.name, func(t *testing.T) {
			r := startRig(t, map[string]string{"STATE_BUCKET": "state", "CLIENT_BUDGET": "1000"}, lambda.Options{Timeout: 5 * time.Minute, Concurrency: loadConcurrency})
			if err := r.stack.S3.CreateBucket("state"); err != nil {
				t.Fatal(err)
			}
			l := makeLoad(t, r, events)
			before := r.stack.Calls.Counts()
			start := time.Now()
			way.run(l, t, r)
			elapsed := time.Since(start)
			l.check(t, r)
			l.report(t, r, before, elapsed)
		})
	}
}

// check compares what CloudWatch has with the reference.
func (l *load) check(t *testing.T, r *rig) {
	t.Helper()
	got := functiontest.Sums(r.stack)
	if n := got[metric.ObjectsProcessed].Sum; n != float64(l.objects) {
		t.Errorf("%v objects processed, want %d", n, l.objects)
	}
	if n, want := got[metric.DuplicateObjects].Sum, float64(len(l.events)-l.objects-l.broken); n != want {
		t.Errorf("%v duplicates, want %v", n, want)
	}
	if n := got[metric.UncertainRepublishes].Sum; n != 0 {
		t.Errorf("%v uncertain republishes", n)
	}
	functiontest.WantSums(t, l.want, got)
}

// report logs the time and calls that the load took.
func (l *load) report(t *testing.T, r *rig, before map[string]int, elapsed time.Duration) {
	t.Helper()
	n := len(l.events)
	t.Logf("%d events, %d objects of %d lines and %.1f MB as stored, %d broken", n, l.objects, l.lines, float64(l.bytes)/1e6, l.broken)
	t.Logf("%.1f s with %d processes on %d cores: %.0f objects/s", elapsed.Seconds(), loadConcurrency, runtime.GOMAXPROCS(0), float64(n)/elapsed.Seconds())
	var all []float64
	for _, i := range r.lambda.Invocations() {
		var event struct{ Records []json.RawMessage }
		if err := json.Unmarshal(i.Payload, &event); err != nil || len(event.Records) == 0 {
			t.Fatalf("%s: %v", i.Payload, err)
		}
		if i.Error == nil {
			all = append(all, i.Duration.Seconds()*1000/float64(len(event.Records)))
		}
	}
	slices.Sort(all)
	if len(all) > 0 {
		t.Logf("for an object: p50 %.1f ms, p99 %.1f ms (of %d invocations)", all[len(all)/2], all[len(all)*99/100], len(all))
	}
	calls := r.stack.Calls.Counts()
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		if d := calls[name] - before[name]; d > 0 && strings.Contains(name, ":") {
			t.Logf("%-32s %8d %6.2f for an object", name, d, float64(d)/float64(n))
		}
	}
	if peak := peakMemory(functiontest.Bootstrap(t, "processor")); len(peak) > 0 {
		t.Logf("peak memory of a process: %.1f MB of %d processes", slices.Max(peak), len(peak))
	}
}

// peakMemory returns the peak resident set of each running process of the
// function, in MB; none where the system has no /proc.
func peakMemory(bootstrap string) []float64 {
	var list []float64
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		if exe, err := os.Readlink(dir + "/exe"); err != nil || exe != bootstrap {
			continue
		}
		status, err := os.Open(dir + "/status")
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(status); lines.Scan(); {
			if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
				if kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64); err == nil {
					list = append(list, kb/1024)
				}
			}
		}
		status.Close()
	}
	return list
}
