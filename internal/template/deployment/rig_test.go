package deployment

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/gobuild"
	"tlswatch/internal/localaws/s3"
	"tlswatch/internal/localaws/sqs"
	"tlswatch/internal/template/sam"
)

// bootstraps are the real functions, by their logical ids.
var bootstraps = map[string]string{}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tlswatch")
	if err != nil {
		log.Fatal(err)
	}
	for id, name := range map[string]string{"ProcessorFunction": "processor", "WidgetFunction": "widget", "DigestFunction": "digest"} {
		folder := filepath.Join(dir, name)
		if err := os.Mkdir(folder, 0o777); err != nil {
			log.Fatal(err)
		}
		if bootstraps[id], err = gobuild.Function(folder, name); err != nil {
			log.Fatal(err)
		}
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

func readTemplate(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// A clock runs and can be set forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// A run is a running stack with log objects in its bucket.
type run struct {
	*Deployment
	t      *testing.T
	stack  *sam.Stack
	clock  *clock
	output *output
	bucket string
	logs   []logFile
}

const existing = "amzn-s3-demo-logging-bucket"

func deploy(t *testing.T, source string, parameters map[string]string) (*run, error) {
	t.Helper()
	template, err := sam.Parse([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	s, err := template.Expand("tlswatch", parameters)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{t: t, stack: s, clock: new(clock), output: new(output), bucket: s.Outputs["LogBucket"]}
	o := Options{Stack: s, Bootstraps: bootstraps, Output: r.output, now: r.clock.now}
	if r.bucket == existing {
		o.Buckets = []string{existing}
	}
	if r.Deployment, err = Start(t.Context(), o); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		r.Close()
		if t.Failed() {
			for line := range strings.Lines(r.output.String()) {
				if !strings.Contains(line, `"failing client"`) {
					t.Log(line)
				}
			}
		}
	})
	return r, nil
}

type logFile struct {
	key, lb string
	lines   []string
}

func makeLog(t *testing.T, prefix string, seed uint64, lines int, lb string) logFile {
	t.Helper()
	return makeLogAt(t, time.Now().UTC(), prefix, seed, lines, lb)
}

// makeLogAt makes a log of the last period that ended before a time.
func makeLogAt(t *testing.T, now time.Time, prefix string, seed uint64, lines int, lb string) logFile {
	t.Helper()
	end := now.Truncate(5 * time.Minute)
	var b strings.Builder
	if err := connlogtest.Write(&b, connlogtest.Options{Seed: seed, Lines: lines, Start: end.Add(-5 * time.Minute), LoadBalancer: lb}); err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprintf("%sAWSLogs/123456789012/elasticloadbalancing/us-east-1/%s/conn_log_123456789012_elasticloadbalancing_us-east-1_%s_%s_192.0.2.10_%08x.log.gz",
		prefix, end.Format("2006/01/02"), strings.ReplaceAll(lb, "/", "."), end.Format("20060102T1504Z"), seed)
	return logFile{key, lb, strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")}
}

func packed(lines []string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for _, line := range lines {
		fmt.Fprintln(z, line)
	}
	z.Close()
	return b.Bytes()
}

// put stores an object in the log bucket.
func (r *run) put(key string, body []byte) {
	r.t.Helper()
	if _, err := r.AWS.S3.Put(r.bucket, key, body); err != nil {
		r.t.Fatal(err)
	}
}

// deliver writes logs under a prefix, as load balancers do: two good ones, of which
// one is announced twice, a truncated one, one that is gone, and an access log.
func (r *run) deliver(prefix string) {
	r.t.Helper()
	a := makeLog(r.t, prefix, 1, 2500, "app/shop/50dc6c495c0c9188")
	b := makeLog(r.t, prefix, 2, 400, "app/web/1234567890abcdef")
	bad := makeLog(r.t, prefix, 3, 100, "app/web/1234567890abcdef")
	r.put(a.key, packed(a.lines))
	r.put(b.key, packed(b.lines))
	r.wait() // otherwise the second event may meet the first one's claim
	r.put(a.key, packed(a.lines))
	r.put(bad.key, packed(bad.lines)[:200])
	r.put(strings.Replace(a.key, "conn_log_", "", 1), packed(a.lines))
	r.announceGone(prefix)
	r.logs = append(r.logs, a, b)
	r.wait()
}

// announceGone sends the event of a log that no longer exists.
func (r *run) announceGone(prefix string) {
	key := makeLog(r.t, prefix, 4, 1, "app/web/1234567890abcdef").key
	r.Deployment.deliver(s3.ObjectCreated{EventName: "ObjectCreated:Put", Region: sam.Region, Bucket: r.bucket, Key: key, ETag: "0a", Sequencer: "00", Time: time.Now()}, []string{existing})
}

func (r *run) url(id string) string {
	url, err := r.stack.Ref(r.stack.Resources[id])
	if err != nil {
		r.t.Fatal(err)
	}
	return url
}

// wait returns when all events, retries and messages are done. It sets the clock
// forward so that failed messages become visible again.
func (r *run) wait() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	for {
		if err := r.Deployment.wait(ctx); err != nil {
			r.t.Fatal(err)
		}
		if r.stack.Resources["LogQueue"] == nil {
			return
		}
		waiting := r.AWS.SQS.Messages(r.url("LogQueue"))
		if len(waiting) == 0 {
			return
		}
		if !slices.ContainsFunc(waiting, func(m sqs.Message) bool { return m.Visible }) {
			if err := r.Deployment.wait(ctx); err != nil { // for what was received; nothing else is visible
				r.t.Fatal(err)
			}
			seconds, err := r.stack.Resources["LogQueue"].Int("VisibilityTimeout")
			if err != nil {
				r.t.Fatal(err)
			}
			if len(r.AWS.SQS.Messages(r.url("LogQueue"))) > 0 {
				r.clock.advance(time.Duration(seconds) * time.Second)
			}
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			r.t.Fatalf("%d messages are left in the queue", len(waiting))
		}
	}
}
