// Package awstest is what tests share that run an AWS SDK against the
// stand-ins.
package awstest

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"

	"tlswatch/internal/localaws"
)

// Start is [Stack] for a test that itself uses an SDK: the environment of the
// test points at the stack.
func Start(t testing.TB, o localaws.Options, buckets ...string) *localaws.Stack {
	t.Helper()
	stack := Stack(t, o, buckets...)
	Setenv(t, stack.Env())
	return stack
}

// Stack brings a stack up until the test ends, with buckets of the given names.
func Stack(t testing.TB, o localaws.Options, buckets ...string) *localaws.Stack {
	t.Helper()
	stack, err := localaws.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range buckets {
		if err := stack.S3.CreateBucket(name); err != nil {
			t.Fatal(err)
		}
	}
	return stack
}

// Setenv sets an environment for the test and hides the user's AWS settings
// from it.
func Setenv(t testing.TB, env map[string]string) {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
	}
	t.Setenv("AWS_CA_BUNDLE", "") // works with no HTTP client but the SDK's own
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
}

// Config is the configuration that a program loads from the environment, with
// shorter pauses between retries.
func Config(t testing.TB, options ...func(*config.LoadOptions) error) aws.Config {
	t.Helper()
	options = append(options, config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
	}))
	c, err := config.LoadDefaultConfig(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// WantCode fails the test unless err is an API error with that code; "" wants
// success.
func WantCode(t testing.TB, err error, code string) {
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

// Settle fails the test if, after a while, more goroutines remain than there
// were before.
func Settle(t testing.TB, before int) {
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

// A Clock is a time that only the test moves.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// NewClock returns a clock that shows t.
func NewClock(t time.Time) *Clock { return &Clock{t: t} }

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Add moves the clock on.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// A Buffer may be read while it is written.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
