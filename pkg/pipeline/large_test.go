package pipeline_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/pipeline"
)

// TestMemoryLargeWindow: an event evaluates a window of 60 minutes, in which each
// record names 100 clients that no other record names. That takes time in
// proportion to the records. "make large" has 1,200 of them, and allows one second
// of CPU.
func TestMemoryLargeWindow(t *testing.T) {
	records, limit := 240, time.Second
	if os.Getenv("TLSWATCH_LARGE") != "" {
		records = 1200
	}
	const periods = 12
	store := memory{}
	sink := &discard{}
	p := &pipeline.Pipeline{
		Source: store, Metrics: sink, Ledger: ledger.New(store, ledger.Options{Now: func() time.Time { return now }, Sleep: pipeline.Sleep}),
		PublishClients: true, Now: func() time.Time { return now }, Sleep: pipeline.Sleep,
	}
	job := func(i int) pipeline.Job {
		l := load{end: now.Truncate(logkey.Period).Add(-time.Duration(i%periods) * logkey.Period), node: i / periods}
		var b bytes.Buffer
		for c := range 100 {
			fmt.Fprintf(&b, "%s 10.%d.%d.%d 1 443 TLSv1.2 - - \"-\" - - Failed:X\n", l.end.Add(-time.Minute).Format(time.RFC3339), i>>8, i&255, c)
		}
		key := strings.TrimSuffix(l.key(), ".gz")
		store["logs/"+key] = b.Bytes()
		return pipeline.Job{Object: pipeline.Object{Bucket: "logs", Key: key}, Owner: fmt.Sprint("event ", i)}
	}
	for i := range records {
		if r := p.Run(t.Context(), job(i))[0]; r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	all := alert.Rule{Name: alert.FailedNegotiations, MinFailed: uint64(records) * 100, Window: periods * logkey.Period, Growth: 3}
	client := all
	client.Name, client.PerClient, client.MinFailed = alert.ClientFailures, true, 2
	p.Rules = []alert.Rule{all, client}

	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpu(t)
	r := p.Run(t.Context(), job(0))[0]
	took := cpu(t) - began
	runtime.ReadMemStats(&after)
	if r.Err != nil || r.Alerts != 1 {
		t.Errorf("%d alerts, error %v", r.Alerts, r.Err)
	}
	t.Logf("%d records: %v of CPU, %d MB allocated", records, took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20)
	if took > limit {
		t.Errorf("took %v of CPU, more than %v", took, limit)
	}
}

// cpu is the CPU time of this process so far.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// discard is a MetricSink that keeps nothing.
type discard struct{}

func (discard) Put(context.Context, []metric.Datum) error { return nil }

// memory is a Source and a ledger's Store.
type memory map[string][]byte

func (m memory) Open(_ context.Context, o pipeline.Object) (pipeline.Object, io.ReadCloser, error) {
	return o, io.NopCloser(bytes.NewReader(m[o.Bucket+"/"+o.Key])), nil
}

func (m memory) Get(_ context.Context, key string) ([]byte, string, error) {
	body, ok := m[key]
	if !ok {
		return nil, "", ledger.ErrNotFound
	}
	return body, "etag", nil
}

func (m memory) Create(_ context.Context, key string, body []byte) (string, error) {
	if _, ok := m[key]; ok {
		return "", ledger.ErrExists
	}
	m[key] = body
	return "etag", nil
}

func (m memory) Replace(_ context.Context, key string, body []byte, _ string) (string, error) {
	m[key] = body
	return "etag", nil
}

func (m memory) List(_ context.Context, prefix, after string, yield func(string, int64) bool) error {
	var keys []string
	for key := range m {
		if strings.HasPrefix(key, prefix) && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		if !yield(key, int64(len(m[key]))) {
			break
		}
	}
	return nil
}
