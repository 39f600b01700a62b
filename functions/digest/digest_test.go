package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/functiontest"
	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/lambda"
	"tlswatch/internal/localaws/s3"
	"tlswatch/pkg/digest"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/notice"
	"tlswatch/pkg/posture"
	"tlswatch/pkg/secpolicy"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

func start(t *testing.T, stack *localaws.Stack, name string, env map[string]string) *lambda.Function {
	t.Helper()
	settings := map[string]string{"STATE_BUCKET": "state"}
	maps.Copy(settings, env)
	return functiontest.Start(t, stack, name, settings, lambda.Options{Timeout: time.Minute})
}

// From the log objects of two weeks, through the processor and the ledger, to the
// message.
func TestDigest(t *testing.T) {
	stack := awstest.Stack(t, localaws.Options{}, "logs", "state")
	topic := stack.SNS.CreateTopic("alerts")
	processor := start(t, stack, "processor", nil)
	end := time.Now().UTC().Truncate(5 * time.Minute)
	var weak [2]int // of each week
	for i, name := range []string{"shop", "shop", "api"} {
		at := end.Add(-time.Duration(i) * 4 * 24 * time.Hour)
		lb := fmt.Sprintf("app/%s/%016x", name, len(name))
		log, err := connlogtest.NewObject("us-east-1", at, connlogtest.Options{Seed: uint64(i), Lines: 1000, LoadBalancer: lb})
		if err != nil {
			t.Fatal(err)
		}
		// A client that succeeds with a suite that is weak.
		n := 10 * (i + 1)
		if name == "shop" {
			weak[0] += n
		}
		weakLine := fmt.Sprintf("%s 192.0.2.77 40000 443 TLSv1.2 ECDHE-RSA-AES256-SHA 0.010 \"-\" - - Success TID_0123456789abcdef0123456789abcdef secp256r1 %s 192.0.2.10",
			at.Add(-time.Minute).Format("2006-01-02T15:04:05.000000Z"), lb)
		log.Lines = append(log.Lines, slices.Repeat([]string{weakLine}, n)...)
		o, err := stack.S3.Put("logs", log.Key, log.Gzip())
		if err != nil {
			t.Fatal(err)
		}
		if result, err := processor.Invoke(t.Context(), s3.Event(o)); err != nil || result.Error != nil {
			t.Fatal(err, result.Error)
		}
	}
	before := stack.Calls.Counts()
	l := start(t, stack, "digest", map[string]string{"ALERT_TOPIC_ARN": topic, "LISTENER_POLICIES": "ELBSecurityPolicy-2016-08"})
	result, err := l.Invoke(t.Context(), []byte(`{"version":"0","source":"aws.scheduler","detail-type":"Scheduled Event","detail":{}}`))
	if err != nil || result.Error != nil {
		t.Fatal(err, result.Error)
	}
	var answer summary
	if err := json.Unmarshal(result.Payload, &answer); err != nil || answer.LoadBalancers != 2 || answer.Records != 3 {
		t.Errorf("%s, %v", result.Payload, err)
	}
	messages := stack.SNS.Messages()
	if len(messages) != 1 || messages[0].TopicARN != topic || messages[0].Subject != answer.Subject || messages[0].Attributes["rule"] != "weekly-digest" {
		t.Fatalf("messages: %+v", messages)
	}
	var doc digest.Digest
	if err := json.Unmarshal([]byte(messages[0].Messages["sqs"]), &doc); err != nil {
		t.Fatal(err)
	}
	shop := doc.LoadBalancers[0]
	if shop.Name != fmt.Sprintf("app/shop/%016x", 4) || shop.Objects != 2 || shop.Read != 2 || len(shop.Weak) != 1 ||
		shop.Weak[0].Connections != uint64(weak[0]) || shop.Weak[0].Clients[0].Client != "192.0.2.77" || len(shop.Expiring) == 0 || shop.Forecast.Breaks+shop.Forecast.Unknown != uint64(weak[0]) {
		t.Errorf("shop: %+v", shop)
	}
	if api := doc.LoadBalancers[1]; api.Objects != 0 || api.Connections != 0 || api.Change == nil || *api.Change != -1 {
		t.Errorf("of api there are only logs of the week before: %+v", api)
	}
	for _, want := range []string{"192.0.2.77 (30)", "ECDHE-RSA-AES256-SHA", "post-quantum", digest.Recommended, "serial"} {
		if email := strings.Join(strings.Fields(messages[0].Messages["email"]), " "); !strings.Contains(email, want) {
			t.Errorf("%q is missing in\n%s", want, email)
		}
	}
	for call, n := range stack.Calls.Counts() {
		if n > before[call] && call != "s3:GetObject" && call != "s3:ListObjectsV2" && call != "sns:Publish" {
			t.Errorf("%s: %d calls", call, n-before[call])
		}
	}
}

// The digest says that the ledger is empty, because then no logs arrive.
func TestEmpty(t *testing.T) {
	stack := awstest.Stack(t, localaws.Options{}, "logs", "state")
	topic := stack.SNS.CreateTopic("alerts")
	l := start(t, stack, "digest", map[string]string{"ALERT_TOPIC_ARN": topic})
	if result, err := l.Invoke(t.Context(), []byte(`{}`)); err != nil || result.Error != nil {
		t.Fatal(err, result.Error)
	}
	if m := stack.SNS.Messages(); len(m) != 1 || !strings.Contains(m[0].Messages["email"], "The ledger has no records") {
		t.Errorf("%+v", m)
	}
}

func TestFaultyEnvironment(t *testing.T) {
	_, err := newHandler(t.Context(), func(name string) string { return map[string]string{"LISTENER_POLICIES": "x=y=z"}[name] }, slog.New(slog.DiscardHandler))
	for _, want := range []string{"STATE_BUCKET", "ALERT_TOPIC_ARN", "LISTENER_POLICIES"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in %v", want, err)
		}
	}
}

// A large ledger has a number of records of each of many load balancers.
type largeLedger struct {
	loadBalancers, perDay int
	broken                error
	old                   bool // its records have no postures
}

func (l largeLedger) LoadBalancers(context.Context) (list []string, err error) {
	for i := range l.loadBalancers {
		list = append(list, fmt.Sprintf("app/lb-%d/1", i))
	}
	return list, nil
}

func (l largeLedger) Records(_ context.Context, lb string, from, until time.Time) (list []ledger.Record, err error) {
	for i := range l.perDay {
		list = append(list, ledger.Record{Key: fmt.Sprint(lb, i), PeriodEnd: from.Add(time.Duration(i+1) * until.Sub(from) / time.Duration(l.perDay))})
	}
	return list, nil
}

func (l largeLedger) Posture(context.Context, string) (*posture.Posture, error) {
	if l.old || l.broken != nil {
		return nil, l.broken
	}
	return &posture.Posture{Negotiated: []posture.Negotiated{{Protocol: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", KeyExchange: "x25519", Connections: 1}}}, nil
}

type topicFunc func(notice.Message) error

func (f topicFunc) Publish(_ context.Context, m notice.Message) (bool, error) { return false, f(m) }

// The number of records read is bounded, and the digest says what it left out.
func TestBounds(t *testing.T) {
	for _, test := range []struct {
		ledger largeLedger
		read   int
		want   string
	}{
		{largeLedger{loadBalancers: 10, perDay: 300}, 40_000, "sampled from 2,000 of 2,100 log objects"},
		{largeLedger{loadBalancers: 2, perDay: 10}, 280, "70 successful TLS connections"},
		{largeLedger{loadBalancers: 2, perDay: 10, old: true}, 280, "280 records have no data about the TLS in use"},
	} {
		var got notice.Message
		h := handler{ledger: test.ledger, known: secpolicy.Builtin(), now: time.Now, log: slog.New(slog.DiscardHandler), topic: topicFunc(func(m notice.Message) error { got = m; return nil })}
		s, err := h.handle(t.Context())
		if err != nil || s.Records != test.read || !strings.Contains(strings.Join(strings.Fields(got.Texts["email"]), " "), test.want) {
			t.Errorf("%+v: %+v, %v; %q is missing in\n%s", test.ledger, s, err, test.want, got.Texts["email"])
		}
	}
}

// After an error, a retry does everything again.
func TestErrors(t *testing.T) {
	broken := errors.New("broken")
	sent := 0
	h := handler{ledger: largeLedger{loadBalancers: 1, perDay: 1, broken: broken}, known: secpolicy.Builtin(), now: time.Now, log: slog.New(slog.DiscardHandler), topic: topicFunc(func(notice.Message) error { sent++; return nil })}
	if _, err := h.handle(t.Context()); !errors.Is(err, broken) || sent != 0 {
		t.Errorf("%v, %d sent", err, sent)
	}
	h.ledger, h.topic = largeLedger{}, topicFunc(func(notice.Message) error { return broken })
	if _, err := h.handle(t.Context()); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
