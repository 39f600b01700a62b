package localaws

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
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// TestFaultsOnce hits the first PUT with each fault and looks at what the SDK's
// own retries make of it.
func TestFaultsOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault Fault
		calls int    // PutObject requests until the SDK is content
		code  string // of the error it then reports
	}{
		{"none", Fault{}, 1, ""},
		{"close", Fault{Kind: FaultClose}, 2, ""},
		{"reset", Fault{Kind: FaultReset}, 2, ""},
		{"reply lost", Fault{Kind: FaultReplyLost}, 2, "PreconditionFailed"}, // its own write
		{"reply cut", Fault{Kind: FaultReplyCut}, 2, "PreconditionFailed"},
		{"500", Refuse(500, "InternalError"), 2, ""},
		{"503", Refuse(503, "SlowDown"), 2, ""},
		{"403", Refuse(403, "AccessDenied"), 1, "AccessDenied"},
		{"404", Refuse(404, "NoSuchBucket"), 1, "NoSuchBucket"},
		{"409", Refuse(409, "ConditionalRequestConflict"), 1, "ConditionalRequestConflict"},
		{"412", Refuse(412, "PreconditionFailed"), 1, "PreconditionFailed"},
		{"delay", Fault{Delay: 10 * time.Millisecond}, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t, Options{})
			h.S3.SetFaults(c.fault.Once("s3:PutObject", 1))
			_, err := h.put(t, "k", "body", func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") })
			wantCode(t, err, c.code)
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
	h := start(t, Options{})
	content := bytes.Repeat([]byte("0123456789"), 10000)
	if _, err := h.S3.Put("logs", "k", content); err != nil {
		t.Fatal(err)
	}

	h.S3.SetFaults(func(string, int) Fault { return Fault{Kind: FaultReplyCut} })
	body, _, err := h.get(t, "k")
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(body) != 0 && len(body) != len(content)/2 {
		t.Errorf("cut: %d bytes, %v", len(body), err)
	}

	h.S3.SetFaults(func(string, int) Fault { return Fault{Drip: 100 * time.Millisecond} })
	before := time.Now()
	body, _, err = h.get(t, "k")
	if err != nil || body != string(content) || time.Since(before) < 90*time.Millisecond {
		t.Errorf("slow: %d bytes in %v, %v", len(body), time.Since(before), err)
	}

	h.S3.SetFaults(func(string, int) Fault { return Fault{Delay: time.Minute} })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = h.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("logs"), Key: aws.String("k")})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("delay: %v", err)
	}
}

// TestFaultsInEveryShape looks for errors that the SDK understands.
func TestFaultsInEveryShape(t *testing.T) {
	var fault Fault
	h := start(t, Options{Faults: func(string, int) Fault { return fault }})
	topic := h.SNS.CreateTopic("alerts")
	requests := map[string]func() error{
		"s3:GetObject": func() error { _, _, err := h.get(t, "k"); return err },
		"cloudwatch:PutMetricData": func() error {
			return h.publish(t, "n", one())
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
		fault = Refuse(c.status, c.code)
		for operation, do := range requests {
			h.Calls.Reset()
			err := do()
			wantCode(t, err, c.code)
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

	// A lost reply to data that add up: counted twice, as on AWS.
	fault = Fault{}
	h.Calls.Reset()
	h.CloudWatch.SetFaults(Fault{Kind: FaultReplyLost}.Once("cloudwatch:PutMetricData", 1))
	if err := requests["cloudwatch:PutMetricData"](); err != nil {
		t.Fatal(err)
	}
	if p := h.CloudWatch.Points(); len(p) != 1 || p[0].Samples != 2 {
		t.Errorf("points %+v", p)
	}
}

// TestFaultsOnTheWire sees the bytes without an SDK in between.
func TestFaultsOnTheWire(t *testing.T) {
	h := start(t, Options{Faults: func(string, int) Fault { return Refuse(503, "SlowDown") }})
	r, err := http.Get(h.Addresses()["s3"] + "/logs/k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Content-Type") != "application/xml" || !bytes.HasPrefix(body, []byte(`<?xml`)) || !bytes.Contains(body, []byte("<Error><Code>SlowDown</Code><Message>")) {
		t.Errorf("%v %s", r.Header, body)
	}
}

// TestFaultsEndTheConnection tells a closed connection from a reset one.
func TestFaultsEndTheConnection(t *testing.T) {
	for kind, reset := range map[FaultKind]bool{FaultClose: false, FaultReset: true, FaultReplyLost: true} {
		h := start(t, Options{Faults: func(string, int) Fault { return Fault{Kind: kind} }})
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.Addresses()["s3"], "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /logs/k HTTP/1.1\r\nHost: s3\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if len(got) != 0 || errors.Is(err, syscall.ECONNRESET) != reset || err != nil && !reset {
			t.Errorf("kind %d: read %q, %v", kind, got, err)
		}
	}
}
