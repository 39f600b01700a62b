//go:build unix

package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
)

// endless is a line without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte{' '}, len(p))), nil }

// The first Ctrl-C ends commands that wait for a named pipe's writer or for data, or that
// read a line without an end.
func TestInterrupted(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	idle, feed := io.Pipe()
	defer feed.Close()
	for _, test := range []struct {
		args  string
		stdin io.Reader
	}{
		{"report " + fifo, nil},
		{"report /dev/zero", nil},
		{"report -", endless{}},
		{"report -", idle},
		{"whatif --to ELBSecurityPolicy-2016-08 " + fifo, nil},
		{"cost " + fifo, nil},
		{"hello " + fifo, nil},
		{"hello -", idle},
		{"policy list --policy-file " + fifo, nil},
		{"policy update --input " + fifo + " --output x", nil},
		{"policy update --input - --output x", idle},
		{"listeners --policy-file " + fifo, nil},
		{"local --template " + fifo + " --bootstrap /bin/true ../../events/sample", nil},
		{"local --template /dev/zero --bootstrap /bin/true ../../events/sample", nil},
		{"backfill --function f --state " + fifo + " s3://logs/AWSLogs", nil},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { cancel(errors.New("as signal.NotifyContext does")) })
		status := make(chan int, 1)
		var stderr bytes.Buffer
		go func() { status <- Run(ctx, strings.Fields(test.args), test.stdin, io.Discard, &stderr) }()
		select {
		case got := <-status:
			if got != command.ExitInterrupted || ctx.Err() == nil {
				t.Errorf("%s: exit status %d, %s", test.args, got, &stderr)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s goes on", test.args)
		}
		cancel(nil)
	}
}

// Ctrl-C ends a request that AWS does not answer.
func TestInterruptedRequest(t *testing.T) {
	done := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer silent.Close()
	defer close(done)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": silent.URL, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
	} {
		t.Setenv(name, value)
	}
	for _, args := range [][]string{{"listeners"}, {"report", "--policy", "live", "../../events/sample"}, {"policy", "update", "-o", filepath.Join(t.TempDir(), "p.json")}} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(300*time.Millisecond, cancel)
		status, _, stderr := clitest.Run(ctx, New(), args...)
		if status != command.ExitInterrupted {
			t.Errorf("%q: exit status %d: %s", args, status, stderr)
		}
	}
}
