package deployment

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/functiontest"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/s3"
	"tlswatch/internal/localaws/sqs"
	"tlswatch/internal/template/sam"
	"tlswatch/pkg/logkey"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

// bootstraps returns the real functions by their logical ids.
func bootstraps(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{
		"ProcessorFunction": functiontest.Bootstrap(t, "processor"),
		"WidgetFunction":    functiontest.Bootstrap(t, "widget"),
		"DigestFunction":    functiontest.Bootstrap(t, "digest"),
	}
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

// A run is a running stack with log objects in its bucket.
type run struct {
	*Deployment
	t      *testing.T
	stack  *sam.Stack
	clock  *clock
	output *awstest.Buffer
	bucket string
	logs   []connlogtest.Object
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
	r := &run{t: t, stack: s, clock: new(clock), output: new(awstest.Buffer), bucket: s.Outputs["LogBucket"]}
	o := Options{Stack: s, Bootstraps: bootstraps(t), Output: r.output, now: r.clock.now}
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

func makeLog(t *testing.T, prefix string, seed uint64, lines int, lb string) connlogtest.Object {
	t.Helper()
	o := makeLogAt(t, time.Now().UTC(), seed, lines, lb)
	o.Key = prefix + o.Key
	return o
}

// makeLogAt makes a log of the last period that ended before a time.
func makeLogAt(t *testing.T, now time.Time, seed uint64, lines int, lb string) connlogtest.Object {
	t.Helper()
	o, err := connlogtest.NewObject("us-east-1", now.Truncate(logkey.Period), connlogtest.Options{Seed: seed, Lines: lines, LoadBalancer: lb})
	if err != nil {
		t.Fatal(err)
	}
	return o
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
	r.put(a.Key, a.Gzip())
	r.put(b.Key, b.Gzip())
	r.wait() // otherwise the second event may meet the first one's claim
	r.put(a.Key, a.Gzip())
	r.put(bad.Key, bad.Gzip()[:200])
	r.put(strings.Replace(a.Key, "conn_log_", "", 1), a.Gzip())
	r.announceGone(prefix)
	r.logs = append(r.logs, a, b)
	r.wait()
}

// announceGone sends the event of a log that no longer exists.
func (r *run) announceGone(prefix string) {
	key := makeLog(r.t, prefix, 4, 1, "app/web/1234567890abcdef").Key
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
