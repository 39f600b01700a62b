package localaws

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
)

// A harness is a stack with real SDK clients, made the way a function makes
// them: from its environment alone.
type harness struct {
	*Stack
	s3  *s3.Client
	cw  *cloudwatch.Client
	sns *sns.Client
	elb *elb.Client
}

func start(t *testing.T, o Options) *harness {
	t.Helper()
	stack, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, value := range stack.Env() {
		t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(t.Context(),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
		}))
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{stack, s3.NewFromConfig(cfg), cloudwatch.NewFromConfig(cfg), sns.NewFromConfig(cfg), elb.NewFromConfig(cfg)}
	if err := stack.S3.CreateBucket("logs"); err != nil {
		t.Fatal(err)
	}
	return h
}

// wantCode fails unless err is an API error with that code; "" wants success.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("error %v, want code %s", err, code)
	}
	if api.ErrorCode() != code {
		t.Fatalf("error code %s (%v), want %s", api.ErrorCode(), err, code)
	}
}

// settleGoroutines fails if more goroutines remain than there were.
func settleGoroutines(t *testing.T, before int) {
	t.Helper()
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	buf := make([]byte, 1<<20)
	t.Errorf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
}

func TestStackEndsWithNothingLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	stack, err := Start(ctx, Options{Faults: func(string, int) Fault { return Fault{Delay: time.Hour} }})
	if err != nil {
		t.Fatal(err)
	}
	for service, url := range stack.Addresses() {
		if !strings.HasPrefix(url, "http://127.0.0.1:") {
			t.Errorf("%s is at %s", service, url)
		}
	}
	client := &http.Client{Transport: &http.Transport{}}
	failed := make(chan error)
	go func() {
		_, err := client.Get(stack.Addresses()["s3"] + "/logs/key")
		failed <- err
	}()
	for stack.Calls.Counts()["s3:GetObject"] == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel() // as good as Close
	if err := <-failed; err == nil {
		t.Error("a request outlived the stack")
	}
	if err := stack.Close(); err != nil {
		t.Error(err)
	}
	client.CloseIdleConnections()
	settleGoroutines(t, before)
}
