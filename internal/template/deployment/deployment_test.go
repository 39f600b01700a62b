package deployment

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/gobuild"
	"tlswatch/internal/localaws"
	"tlswatch/internal/template/sam"
	"tlswatch/pkg/metric"
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
		if bootstraps[id], err = gobuild.OtherFunction(folder, name); err != nil {
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

// A clock runs, and can be set forward.
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

// A run is a deployed stack, with log objects in its bucket.
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

// makeLogAt makes up a log of the last period that had ended at a time.
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

// put stores an object, as a load balancer does.
func (r *run) put(key string, body []byte) {
	r.t.Helper()
	if _, err := r.AWS.S3.Put(r.bucket, key, body); err != nil {
		r.t.Fatal(err)
	}
}

// deliver has load balancers write logs under a prefix: two good ones, one of
// them announced twice, one that is cut off, one that is gone, and another kind of
// log.
func (r *run) deliver(prefix string) {
	r.t.Helper()
	a := makeLog(r.t, prefix, 1, 2500, "app/shop/50dc6c495c0c9188")
	b := makeLog(r.t, prefix, 2, 400, "app/web/1234567890abcdef")
	bad := makeLog(r.t, prefix, 3, 100, "app/web/1234567890abcdef")
	r.put(a.key, packed(a.lines))
	r.put(b.key, packed(b.lines))
	r.wait() // else the second event may meet the first at work
	r.put(a.key, packed(a.lines))
	r.put(bad.key, packed(bad.lines)[:200])
	r.put(strings.Replace(a.key, "conn_log_", "", 1), packed(a.lines))
	r.announceGone(prefix)
	r.logs = append(r.logs, a, b)
	r.wait()
}

// announceGone has S3 tell of a log that has expired since.
func (r *run) announceGone(prefix string) {
	key := makeLog(r.t, prefix, 4, 1, "app/web/1234567890abcdef").key
	r.Deployment.deliver(localaws.ObjectCreated{EventName: "ObjectCreated:Put", Region: sam.Region, Bucket: r.bucket, Key: key, ETag: "0a", Sequencer: "00", Time: time.Now()}, []string{existing})
}

func (r *run) url(id string) string {
	url, err := r.stack.Ref(r.stack.Resources[id])
	if err != nil {
		r.t.Fatal(err)
	}
	return url
}

// wait lets everything come to its end: events, retries, and messages that come
// back, for which the clock is set forward.
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
		if !slices.ContainsFunc(waiting, func(m localaws.QueueMessage) bool { return m.Visible }) {
			if err := r.Deployment.wait(ctx); err != nil { // for what was taken; nothing more can be
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
			r.t.Fatalf("%d messages wait for ever", len(waiting))
		}
	}
}

// sums returns what CloudWatch has, as connlogtest.Metrics writes it, without
// the metrics about the processor itself.
func (r *run) sums() map[string]connlogtest.Sum {
	sums := make(map[string]connlogtest.Sum)
	for _, s := range r.AWS.CloudWatch.Metrics() {
		if slices.Contains(metric.AboutProcessor(), s.Name) {
			continue
		}
		name := s.Name
		for _, d := range []string{metric.LoadBalancer, metric.ListenerPort, metric.Protocol, metric.Cipher, metric.KeyExchange, metric.Reason, metric.Client} {
			if value, ok := s.Dimensions[d]; ok {
				name += " " + d + "=" + value
			}
		}
		sum := sums[name]
		for _, p := range s.Points {
			sum.Samples += p.Samples
			if s.Name != metric.HandshakeLatency {
				sum.Sum += p.Sum
			}
		}
		sums[name] = sum
	}
	return sums
}

func (r *run) wantSums() map[string]connlogtest.Sum {
	want := make(map[string]connlogtest.Sum)
	for _, f := range r.logs {
		for name, sum := range connlogtest.Metrics(f.lines, f.lb) {
			if !slices.Contains(metric.AboutProcessor(), name) {
				want[name] = connlogtest.Sum{Sum: want[name].Sum + sum.Sum, Samples: want[name].Samples + sum.Samples}
			}
		}
	}
	return want
}

// Each way to deploy the template, with the defaults of its parameters, from a
// log object to metrics, alert, Contributor Insights and dashboard.
func TestVariants(t *testing.T) {
	source := readTemplate(t)
	for name, v := range map[string]struct {
		parameters map[string]string
		prefix     string
	}{
		"new bucket, direct":      {nil, ""},
		"new bucket, queue":       {map[string]string{"Ingest": "Queue"}, ""},
		"existing bucket, direct": {map[string]string{"ExistingLogBucket": existing}, "some/prefix/"},
		"existing bucket, queue":  {map[string]string{"ExistingLogBucket": existing, "Ingest": "Queue"}, ""},
		"prefix and own topic, key": {map[string]string{"LogPrefix": "web", "AlertTopicArn": "arn:aws:sns:us-east-1:123456789012:pager",
			"AlertTopicKey": "arn:aws:kms:us-east-1:123456789012:key/0a1b"}, "web/"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := deploy(t, source, v.parameters)
			if err != nil {
				t.Fatal(err)
			}
			r.deliver(v.prefix)
			r.check()
			r.checkInsights()
			r.checkDashboard()
			r.checkWidget()
			r.checkDigest()
			if denied, failures := r.Denied(), r.Failures(); len(denied)+len(failures) > 0 {
				t.Errorf("denied %q, not delivered %q", denied, failures)
			}
		})
	}
}

// check holds what was published to the reference.
func (r *run) check() {
	r.t.Helper()
	if d := cmp.Diff(r.wantSums(), r.sums()); d != "" {
		r.t.Errorf("metrics: -reference +published\n%s", d)
	}
	messages := r.AWS.SNS.Messages()
	if len(messages) != 1 || messages[0].TopicARN != r.stack.Outputs["AlertTopic"] || messages[0].Attributes["loadBalancer"] != r.logs[0].lb {
		r.t.Errorf("alerts: %+v", messages)
	}
	failed := r.AWS.SQS.Messages(r.url("FailureQueue"))
	if len(failed) != 1 || !strings.Contains(failed[0].Body, "_00000003.log.gz") {
		r.t.Errorf("%d messages in the failure queue, want the one that is cut off: %+v", len(failed), failed)
	}
	for _, id := range slices.Sorted(maps.Keys(r.Functions)) {
		for _, i := range r.Functions[id].Invocations() {
			if strings.Contains(string(i.Payload), "/123456789012_elasticloadbalancing") {
				r.t.Errorf("%s was invoked about an access log", id)
			}
		}
	}
}

// checkInsights has the rules count the function's log.
func (r *run) checkInsights() {
	r.t.Helper()
	want := map[string]float64{}
	for _, f := range r.logs {
		for _, line := range f.lines {
			if fields := connlogtest.Reference(line); strings.HasPrefix(fields[10], "Failed:") {
				want[f.lb]++
			}
		}
	}
	rules := r.stack.OfType("AWS::CloudWatch::InsightRule")
	if len(rules) == 0 {
		r.t.Error("there are no rules")
	}
	for _, id := range slices.Sorted(maps.Keys(r.Functions)) { // whose log is complete only when they have ended
		if id == "ProcessorFunction" {
			r.Functions[id].Close()
		}
	}
	for _, rule := range rules {
		var body struct {
			Contribution struct {
				Keys    []string
				ValueOf string
				Filters []struct {
					Match string
					In    []string
				}
			}
		}
		if err := json.Unmarshal([]byte(rule.Text("RuleBody")), &body); err != nil {
			r.t.Fatal(err)
		}
		field := func(line map[string]any, path string) string { return fmt.Sprint(line[strings.TrimPrefix(path, "$.")]) }
		sum := 0.0
		contributors := map[string]float64{}
		for line := range strings.Lines(r.output.String()) {
			var l map[string]any
			if json.Unmarshal([]byte(line), &l) != nil || slices.ContainsFunc(body.Contribution.Filters, func(f struct {
				Match string
				In    []string
			}) bool {
				return !slices.Contains(f.In, field(l, f.Match))
			}) {
				continue
			}
			var key []string
			for _, k := range body.Contribution.Keys {
				key = append(key, field(l, k))
			}
			n, _ := l[strings.TrimPrefix(body.Contribution.ValueOf, "$.")].(float64)
			sum += n
			contributors[strings.Join(key, " ")] += n
		}
		total := 0.0
		for _, n := range want {
			total += n
		}
		if sum != total || len(contributors) < 10 {
			r.t.Errorf("%s counts %v failures of %d contributors, the logs have %v", rule.ID, sum, len(contributors), total)
		}
	}
}

var search = regexp.MustCompile(`SEARCH\('\{"?([^",}]+)"?((?:,\w+)+)\} MetricName="(\w+)"`)

// checkDashboard finds data for every graph about the logs.
func (r *run) checkDashboard() {
	r.t.Helper()
	published := map[string]bool{}
	for _, s := range r.AWS.CloudWatch.Metrics() {
		published[s.Namespace+" "+s.Name+" "+strings.Join(slices.Sorted(maps.Keys(s.Dimensions)), ",")] = true
	}
	var body struct {
		Widgets []struct {
			Properties struct {
				Title   string
				Metrics [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(r.stack.Resources["TLSDashboard"].Text("DashboardBody")), &body); err != nil {
		r.t.Fatal(err)
	}
	looked := 0
	for _, w := range body.Widgets {
		for _, m := range w.Properties.Metrics {
			options, _ := m[len(m)-1].(map[string]any)
			var keys []string
			if expression, ok := options["expression"].(string); ok {
				for _, match := range search.FindAllStringSubmatch(expression, -1) {
					dimensions := strings.Split(strings.TrimPrefix(match[2], ","), ",")
					slices.Sort(dimensions)
					keys = append(keys, match[1]+" "+match[3]+" "+strings.Join(dimensions, ","))
				}
			} else {
				keys = []string{fmt.Sprint(m[0], " ", m[1], " ")}
			}
			for _, key := range keys {
				if strings.HasPrefix(key, "AWS/") || strings.Contains(key, metric.ClientsOverBudget) {
					continue
				}
				looked++
				if !published[key] {
					r.t.Errorf("%q is empty: nothing is published as %q", w.Properties.Title, key)
				}
			}
		}
	}
	if looked < 20 {
		r.t.Errorf("only %d graphs looked at", looked)
	}
}

// drawWidget has the dashboard's widget drawn, as HTML.
func (r *run) drawWidget() string {
	r.t.Helper()
	now := time.Now()
	event := fmt.Sprintf(`{"rows":20,"widgetContext":{"dashboardName":"tlswatch","theme":"light","timezone":{"offsetISO":"+00:00"},
		"timeRange":{"mode":"relative","start":%d,"end":%d},"width":1200,"height":500}}`, now.Add(-time.Hour).UnixMilli(), now.UnixMilli())
	result, err := r.Functions["WidgetFunction"].Invoke(r.t.Context(), []byte(event))
	if err != nil || result.Error != nil {
		r.t.Fatal(err, result.Error)
	}
	var html string
	if err := json.Unmarshal(result.Payload, &html); err != nil {
		r.t.Fatal(err)
	}
	return html
}

func (r *run) checkWidget() {
	r.t.Helper()
	html := r.drawWidget()
	for _, f := range r.logs {
		if !strings.Contains(html, f.lb) {
			r.t.Errorf("the widget does not show %s:\n%s", f.lb, html)
		}
	}
}

// checkDigest has the digest sent, as its schedule does.
func (r *run) checkDigest() {
	r.t.Helper()
	before := len(r.AWS.SNS.Messages())
	result, err := r.Functions["DigestFunction"].Invoke(r.t.Context(), []byte(`{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}`))
	if err != nil || result.Error != nil {
		r.t.Fatal(err, result.Error)
	}
	messages := r.AWS.SNS.Messages()
	if len(messages) != before+1 {
		r.t.Fatalf("%d digests", len(messages)-before)
	}
	digest := messages[before]
	for _, f := range r.logs {
		if name := strings.Split(f.lb, "/")[1]; digest.TopicARN != r.stack.Outputs["AlertTopic"] || !strings.Contains(digest.Text("email"), name) {
			r.t.Errorf("the digest to %s does not tell of %s:\n%s", digest.TopicARN, name, digest.Text("email"))
		}
	}
}

// Each permission is needed: without it, a deployment fails, denies a request,
// loses something, or publishes something else.
func TestEachPermissionIsNeeded(t *testing.T) {
	source := readTemplate(t)
	for sid, parameters := range map[string]map[string]string{
		"ReadLogs": nil, "Remember": nil, "ListState": nil, "PublishMetrics": nil, "PublishAlerts": nil, "KeepFailures": nil,
		"ReadPeriods": nil, "ListPeriods": nil, "TellMissingFromForbidden": nil, "DigestReadsPeriods": nil, "DigestListsPeriods": nil, "PublishDigest": nil,
		"TakeFromQueue": {"Ingest": "Queue"},
	} {
		t.Run(sid, func(t *testing.T) {
			statement := regexp.MustCompile(`(?m)^( +)- Sid: ` + sid + `\n +Effect: Allow\n +Action: .*\n`)
			broken := statement.ReplaceAllStringFunc(source, func(s string) string {
				return regexp.MustCompile(`Action: .*`).ReplaceAllString(s, "Action: none:None")
			})
			if broken == source {
				t.Fatalf("the template has no statement %s", sid)
			}
			r, err := deploy(t, broken, parameters)
			if err != nil {
				return
			}
			a := makeLog(t, "", 1, 2500, "app/shop/50dc6c495c0c9188")
			r.put(a.key, packed(a.lines))
			bad := makeLog(t, "", 3, 100, "app/web/1234567890abcdef")
			r.put(bad.key, packed(bad.lines)[:200])
			r.announceGone("")
			r.wait()
			r.drawWidget()
			r.Functions["DigestFunction"].Invoke(t.Context(), []byte(`{}`))
			if len(r.Denied())+len(r.Failures()) == 0 {
				t.Error("nothing is missing without it")
			}
		})
	}
}
