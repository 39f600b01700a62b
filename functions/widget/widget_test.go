package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/functiontest"
	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/lambda"
	"tlswatch/internal/localaws/s3"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/pipeline"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

// A rig is the running functions and S3, with processed logs of two load balancers.
type rig struct {
	t      *testing.T
	stack  *localaws.Stack
	widget *lambda.Function
	end    time.Time // of the period of the logs
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, stack: awstest.Stack(t, localaws.Options{}, "logs", "state"), end: time.Now().UTC().Truncate(5 * time.Minute)}
	processor := r.start("processor", nil)
	for i, name := range []string{"shop", "api"} {
		lb := fmt.Sprintf("app/%s/%016x", name, i)
		log, err := connlogtest.NewObject("us-east-1", r.end, connlogtest.Options{Seed: uint64(i), Lines: 1000, LoadBalancer: lb})
		if err != nil {
			t.Fatal(err)
		}
		o, err := r.stack.S3.Put("logs", log.Key, log.Gzip())
		if err != nil {
			t.Fatal(err)
		}
		if result, err := processor.Invoke(t.Context(), s3.Event(o)); err != nil || result.Error != nil {
			t.Fatal(err, result.Error)
		}
	}
	r.widget = r.start("widget", nil)
	return r
}

func (r *rig) start(name string, env map[string]string) *lambda.Function {
	r.t.Helper()
	settings := map[string]string{"STATE_BUCKET": "state"}
	maps.Copy(settings, env)
	return functiontest.Start(r.t, r.stack, name, settings, lambda.Options{Timeout: 10 * time.Second})
}

// event is what a dashboard sends, with parameters of the widget.
func (r *rig) event(params map[string]any) []byte {
	r.t.Helper()
	event := map[string]any{"widgetContext": map[string]any{
		"dashboardName": "tlswatch", "widgetId": "widget-16", "accountId": "123456789012", "locale": "en",
		"timezone":  map[string]any{"label": "Local", "offsetISO": "+02:00", "offsetInMinutes": -120},
		"timeRange": map[string]any{"mode": "relative", "start": r.end.Add(-3 * time.Hour).UnixMilli(), "end": r.end.Add(time.Minute).UnixMilli(), "relativeStart": 10800000},
		"theme":     "light", "title": "Failing clients", "params": params, "width": 588, "height": 369,
	}}
	for k, v := range params {
		event[k] = v
	}
	text, err := json.Marshal(event)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// invoke returns the text that the dashboard gets.
func (r *rig) invoke(l *lambda.Function, event []byte) string {
	r.t.Helper()
	result, err := l.Invoke(r.t.Context(), event)
	if err != nil || result.Error != nil {
		r.t.Fatal(err, result.Error)
	}
	var text string
	if err := json.Unmarshal(result.Payload, &text); err != nil {
		r.t.Fatalf("%s: %v", result.Payload, err)
	}
	return text
}

func (r *rig) show(params map[string]any) string {
	r.t.Helper()
	return r.invoke(r.widget, r.event(params))
}

func (r *rig) want(text string, present, absent []string) {
	r.t.Helper()
	for _, s := range present {
		if !strings.Contains(text, s) {
			r.t.Errorf("%q is missing in\n%s", s, text)
		}
	}
	for _, s := range absent {
		if strings.Contains(text, s) {
			r.t.Errorf("%q is in\n%s", s, text)
		}
	}
}

// From a log object, through the processor and the ledger, to what a viewer sees
// and clicks.
func TestShow(t *testing.T) {
	r := newRig(t)
	shop := fmt.Sprintf("app/shop/%016x", 0)
	zone := time.FixedZone("", 7200)
	r.want(r.show(nil), []string{
		"failed TLS negotiations", ">shop</a>", ">api</a>", ">203.0.113.7</a>", "UnmappedConnectionError", "Renew the certificate on the client.",
		r.end.Add(time.Minute).In(zone).Format("15:04") + " UTC&#43;02:00",
		`<cwdb-action action="call" display="widget" endpoint="arn:aws:lambda:us-east-1:123456789012:function:tlswatch-widget">`,
		"{&#34;loadBalancer&#34;:&#34;" + shop + "&#34;}",
	}, []string{"class=\"note\"", "#2a2e33"})
	r.want(r.show(map[string]any{"loadBalancer": shop}), []string{"<b>shop</b>", ">All load balancers</a>", ">203.0.113.7</a>"}, []string{">api</a>", "<h3>Where"})
	r.want(r.show(map[string]any{"loadBalancer": shop, "client": "203.0.113.7", "policy": "ELBSecurityPolicy-TLS13-1-2-2021-06"}),
		[]string{"<b>203.0.113.7</b>", ">shop</a>", "lacks cipher", "Suggested policy: <code>ELBSecurityPolicy-"}, []string{"<h3>Who", "ClientCertExpired"})
	r.want(r.show(map[string]any{"rows": 1}), []string{"more clients", "and 1 more load balancer"}, nil)
	r.want(r.show(map[string]any{"loadBalancer": "app/other/0"}), []string{"No failed TLS negotiations"}, nil)

	named := r.start("widget", map[string]string{"LISTENER_POLICIES": "443=ELBSecurityPolicy-TLS13-1-2-2021-06"})
	r.want(r.invoke(named, r.event(nil)), []string{"ELBSecurityPolicy-TLS13-1-2-2021-06 lacks cipher"}, nil)

	dark := strings.Replace(string(r.event(nil)), `"theme":"light"`, `"theme":"dark"`, 1)
	r.want(r.invoke(r.widget, []byte(dark)), []string{"#2a2e33"}, nil)

	zoom := fmt.Sprintf(`"timeRange":{"zoom":{"start":%d,"end":%d},`, r.end.Add(-3*time.Hour).UnixMilli(), r.end.Add(-2*time.Hour).UnixMilli())
	r.want(r.invoke(r.widget, []byte(strings.Replace(string(r.event(nil)), `"timeRange":{`, zoom, 1))), []string{"No failed TLS negotiations"}, nil)

}

// The widget writes nothing.
func TestReadsOnly(t *testing.T) {
	r := newRig(t)
	before := r.stack.Calls.Counts()
	r.show(nil)
	for call, n := range r.stack.Calls.Counts() {
		if n > before[call] && call != "s3:GetObject" && call != "s3:ListObjectsV2" {
			t.Errorf("%s: %d calls", call, n-before[call])
		}
	}
}

func TestDescribe(t *testing.T) {
	r := newRig(t)
	before := r.stack.Calls.Counts()["s3:ListObjectsV2"]
	text := r.invoke(r.widget, []byte(`{"describe":true}`))
	for _, param := range []string{"**loadBalancer**", "**client**", "**policy**", "**rows**", "``` yaml"} {
		if !strings.Contains(text, param) {
			t.Errorf("%s is not described", param)
		}
	}
	if after := r.stack.Calls.Counts()["s3:ListObjectsV2"]; after != before {
		t.Error("describe reads the ledger")
	}
}

// The widget shows errors that a viewer can correct or report.
func TestProblems(t *testing.T) {
	r := newRig(t)
	r.want(r.invoke(r.widget, []byte(`{}`)), []string{"no widgetContext"}, nil)
	r.want(r.show(map[string]any{"policy": "<b>"}), []string{"&lt;b&gt;"}, []string{"<b>\""})
	r.want(r.show(map[string]any{"rows": "many"}), []string{"Invalid widget parameters"}, nil)
	r.want(r.invoke(r.widget, []byte(`{"widgetContext":{"timeRange":{"start":2000,"end":1000}}}`)), []string{"ends before it begins"}, nil)

	nowhere := r.start("widget", map[string]string{"STATE_BUCKET": "nowhere"})
	r.want(r.invoke(nowhere, r.event(nil)), []string{"cannot show this", "no state bucket &#34;nowhere&#34;"}, nil)

	long := fmt.Sprintf(`{"widgetContext":{"timeRange":{"start":1000,"end":%d}}}`, r.end.UnixMilli())
	r.want(r.invoke(r.widget, []byte(long)), []string{"Only the last 31 days", ">shop</a>"}, nil)

	if _, err := r.stack.S3.Put("state", fmt.Sprintf("v1/periods/app/shop/%016x/%s/foreign", 0, r.end.Format("20060102T1504Z")), []byte("not JSON, with 1 failure")); err != nil {
		t.Fatal(err)
	}
	r.want(r.show(nil), []string{"1 records are invalid", ">shop</a>"}, nil)

	none := r.start("widget", map[string]string{"STATE_BUCKET": ""})
	if result, err := none.Invoke(t.Context(), r.event(nil)); err != nil || result.Error == nil {
		t.Errorf("without a state bucket: %s %v", result.Payload, err)
	}
}

// A slowLedger is a source that takes time for each window.
type slowLedger struct {
	records int
	pause   time.Duration
}

func (s slowLedger) LoadBalancers(context.Context) ([]string, error) {
	return []string{"app/a/1", "app/b/1"}, nil
}

func (s slowLedger) Records(_ context.Context, lb string, from, until time.Time) ([]ledger.Record, error) {
	var list []ledger.Record
	for i := range s.records {
		list = append(list, ledger.Record{Key: fmt.Sprint(lb, i), PeriodEnd: until, FailedAtMost: uint64(i)})
	}
	return list, nil
}

func (s slowLedger) Window(ctx context.Context, key string) (alert.Window, error) {
	if err := pipeline.Sleep(ctx, s.pause); err != nil {
		return alert.Window{}, err
	}
	return alert.Window{LoadBalancer: key[:len("app/a/1")], Failed: 1, End: time.Date(2026, 11, 23, 10, 5, 0, 0, time.UTC)}, nil
}

// Time and the number of records are bounded, and the widget says what it left
// out.
func TestBounds(t *testing.T) {
	event := []byte(`{"widgetContext":{"timeRange":{"start":1763892000000,"end":1763902800000}}}`)
	for _, test := range []struct {
		ledger slowLedger
		want   string
	}{
		{slowLedger{2000, 0}, "Only the 2000 log objects with the most failures were read. The other 1998, with at most 999000 failures in total, are not counted here."},
		{slowLedger{2000, time.Hour}, "Only the 0 log objects with the most failures were read. The other 3998, with"},
		{slowLedger{100, 0}, "198</span> failed"},
	} {
		h := handler{ledger: test.ledger, log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithTimeout(t.Context(), margin+200*time.Millisecond)
		if test.ledger.pause == 0 {
			ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		}
		text, err := h.handle(ctx, event)
		cancel()
		if err != nil || !strings.Contains(text, test.want) {
			t.Errorf("%+v: %q is missing in %s, %v", test.ledger, test.want, text, err)
		}
	}
}

type brokenLedger struct{ slowLedger }

func (brokenLedger) Window(context.Context, string) (alert.Window, error) {
	return alert.Window{}, errors.New("access <denied>")
}

func TestBrokenLedger(t *testing.T) {
	var logged bytes.Buffer
	h := handler{ledger: brokenLedger{slowLedger{10, 0}}, log: slog.New(slog.NewTextHandler(&logged, nil))}
	text, err := h.handle(t.Context(), []byte(`{"widgetContext":{"timeRange":{"start":1763892000000,"end":1763902800000}}}`))
	if err != nil || !strings.Contains(text, "access &lt;denied&gt;") || !strings.Contains(logged.String(), "access <denied>") {
		t.Errorf("%s %v, log %s", text, err, &logged)
	}
}
