package wire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/wire"
)

// A harness is a stack with a bucket and real clients.
type harness struct {
	*localaws.Stack
	s3  *s3.Client
	cw  *cloudwatch.Client
	sns *sns.Client
}

func start(t *testing.T) *harness {
	t.Helper()
	stack := awstest.Start(t, localaws.Options{}, "logs")
	c := awstest.Config(t)
	return &harness{stack, s3.NewFromConfig(c), cloudwatch.NewFromConfig(c), sns.NewFromConfig(c)}
}

func (h *harness) get(t *testing.T) (string, error) {
	t.Helper()
	out, err := h.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("logs"), Key: aws.String("k")})
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	return string(body), err
}

// TestFaultsOnce injects each fault into the first PUT and checks what the SDK's
// own retries lead to.
func TestFaultsOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault wire.Fault
		calls int    // PutObject requests of the SDK, retries included
		code  string // of the error that the SDK returns
	}{
		{"none", wire.Fault{}, 1, ""},
		{"close", wire.Fault{Kind: wire.FaultClose}, 2, ""},
		{"reset", wire.Fault{Kind: wire.FaultReset}, 2, ""},
		{"reply lost", wire.Fault{Kind: wire.FaultReplyLost}, 2, "PreconditionFailed"}, // because of its own write
		{"reply cut", wire.Fault{Kind: wire.FaultReplyCut}, 2, "PreconditionFailed"},
		{"500", wire.Refuse(500, "InternalError"), 2, ""},
		{"503", wire.Refuse(503, "SlowDown"), 2, ""},
		{"403", wire.Refuse(403, "AccessDenied"), 1, "AccessDenied"},
		{"404", wire.Refuse(404, "NoSuchBucket"), 1, "NoSuchBucket"},
		{"409", wire.Refuse(409, "ConditionalRequestConflict"), 1, "ConditionalRequestConflict"},
		{"412", wire.Refuse(412, "PreconditionFailed"), 1, "PreconditionFailed"},
		{"delay", wire.Fault{Delay: 10 * time.Millisecond}, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t)
			h.S3.SetFaults(c.fault.Once("s3:PutObject", 1))
			_, err := h.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("logs"), Key: aws.String("k"), Body: strings.NewReader("body"), IfNoneMatch: aws.String("*")})
			awstest.WantCode(t, err, c.code)
			if got := h.Calls.Counts()["s3:PutObject"]; got != c.calls {
				t.Errorf("%d requests, want %d", got, c.calls)
			}
			_, err = h.S3.Get("logs", "k")
			if stored, want := err == nil, c.code == "" || c.calls == 2; stored != want {
				t.Errorf("stored: %v, want %v", stored, want)
			}
		})
	}
}

func TestFaultsOfBodies(t *testing.T) {
	h := start(t)
	content := bytes.Repeat([]byte("0123456789"), 10000)
	if _, err := h.S3.Put("logs", "k", content); err != nil {
		t.Fatal(err)
	}

	h.S3.SetFaults(func(string, int) wire.Fault { return wire.Fault{Kind: wire.FaultReplyCut} })
	body, err := h.get(t)
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(body) != 0 && len(body) != len(content)/2 {
		t.Errorf("cut: %d bytes, %v", len(body), err)
	}

	h.S3.SetFaults(func(string, int) wire.Fault { return wire.Fault{Drip: 100 * time.Millisecond} })
	before := time.Now()
	body, err = h.get(t)
	if err != nil || body != string(content) || time.Since(before) < 90*time.Millisecond {
		t.Errorf("slow: %d bytes in %v, %v", len(body), time.Since(before), err)
	}

	h.S3.SetFaults(func(string, int) wire.Fault { return wire.Fault{Delay: time.Minute} })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = h.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("logs"), Key: aws.String("k")})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("delay: %v", err)
	}
}

// The SDK understands the errors of every protocol.
func TestFaultsInEveryShape(t *testing.T) {
	var fault wire.Fault
	h := start(t)
	faults := func(string, int) wire.Fault { return fault }
	h.S3.SetFaults(faults)
	h.CloudWatch.SetFaults(faults)
	h.SNS.SetFaults(faults)
	topic := h.SNS.CreateTopic("alerts")
	requests := map[string]func() error{
		"s3:GetObject": func() error { _, err := h.get(t); return err },
		"cloudwatch:PutMetricData": func() error {
			_, err := h.cw.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("n"),
				MetricData: []types.MetricDatum{{MetricName: aws.String("m"), Value: aws.Float64(1)}}})
			return err
		},
		"sns:Publish": func() error {
			_, err := h.sns.Publish(t.Context(), &sns.PublishInput{TopicArn: &topic, Message: aws.String("m")})
			return err
		},
	}
	for _, c := range []struct {
		status int
		code   string
		calls  int
	}{
		{400, "Throttling", 3},
		{403, "AccessDenied", 1},
		{500, "InternalFailure", 3},
		{503, "SlowDown", 3},
	} {
		fault = wire.Refuse(c.status, c.code)
		for operation, do := range requests {
			h.Calls.Reset()
			err := do()
			awstest.WantCode(t, err, c.code)
			var reply *smithyhttp.ResponseError
			if !errors.As(err, &reply) || reply.HTTPStatusCode() != c.status {
				t.Errorf("%s: %v is not status %d", operation, err, c.status)
			}
			var api smithy.APIError
			if errors.As(err, &api) && api.ErrorMessage() == "" {
				t.Errorf("%s: %v has no message", operation, err)
			}
			if got := h.Calls.Counts()[operation]; got != c.calls {
				t.Errorf("%s: %d requests after %d %s, want %d", operation, got, c.status, c.code, c.calls)
			}
		}
	}
	if n := len(h.CloudWatch.Points()) + len(h.SNS.Messages()); n != 0 {
		t.Errorf("%d refused requests were applied", n)
	}

	// Metric data whose reply is lost count twice, as on AWS.
	fault = wire.Fault{}
	h.Calls.Reset()
	h.CloudWatch.SetFaults(wire.Fault{Kind: wire.FaultReplyLost}.Once("cloudwatch:PutMetricData", 1))
	if err := requests["cloudwatch:PutMetricData"](); err != nil {
		t.Fatal(err)
	}
	if p := h.CloudWatch.Points(); len(p) != 1 || p[0].Samples != 2 {
		t.Errorf("points %+v", p)
	}
}

// TestFaultsOnTheWire checks the bytes, without an SDK.
func TestFaultsOnTheWire(t *testing.T) {
	h := start(t)
	h.S3.SetFaults(func(string, int) wire.Fault { return wire.Refuse(503, "SlowDown") })
	r, err := http.Get(h.S3.URL() + "/logs/k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Content-Type") != "application/xml" || !bytes.HasPrefix(body, []byte(`<?xml`)) || !bytes.Contains(body, []byte("<Error><Code>SlowDown</Code><Message>")) {
		t.Errorf("%v %s", r.Header, body)
	}
}

// A closed connection is different from a reset one.
func TestFaultsEndTheConnection(t *testing.T) {
	for kind, reset := range map[wire.FaultKind]bool{wire.FaultClose: false, wire.FaultReset: true, wire.FaultReplyLost: true} {
		h := start(t)
		h.S3.SetFaults(func(string, int) wire.Fault { return wire.Fault{Kind: kind} })
		address := strings.TrimPrefix(h.S3.URL(), "http://")
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /logs/k HTTP/1.1\r\nHost: "+address+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if len(got) != 0 || errors.Is(err, syscall.ECONNRESET) != reset || err != nil && !reset {
			t.Errorf("kind %d: read %q, %v", kind, got, err)
		}
	}
}
